/** Pooling layers on x [N, C, H, W]. */
import type { Pair } from "../ops/convolution.js";
import { type AvgPoolOptions, avgPool2d, maxPool2d, type PoolOptions } from "../ops/pooling.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";

/** The maximum of each window; the stride defaults to the kernel. */
export class MaxPool2d extends Module {
  readonly #kernel: Pair;
  readonly #options: PoolOptions;

  constructor(kernelSize: Pair, options: PoolOptions = {}) {
    super();
    this.#kernel = kernelSize;
    this.#options = options;
  }

  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.#kernel, this.#options);
  }
}

/** The average of each window; the stride defaults to the kernel. */
export class AvgPool2d extends Module {
  readonly #kernel: Pair;
  readonly #options: AvgPoolOptions;

  constructor(kernelSize: Pair, options: AvgPoolOptions = {}) {
    super();
    this.#kernel = kernelSize;
    this.#options = options;
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.#kernel, this.#options);
  }
}
