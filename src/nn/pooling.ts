/** Pooling layers on x [N, C, H, W]. */

import { checkOptions } from "../core/check.js";
import type { Tensor } from "../graph/tensor.js";
import { asPair, type Pair } from "../ops/convolution.js";
import {
  type AvgPoolOptions,
  adaptiveAvgPool2d,
  avgPool2d,
  avgPoolOptions,
  maxPool2d,
  type PoolOptions,
  poolOptions,
} from "../ops/pooling.js";
import { Module } from "./module.js";

/**
 * The maximum of each window: x [N, C, H, W] → [N, C, H', W']. The stride defaults to the kernel size, padding to 0.
 *
 * @example
 * new MaxPool2d(2).forward(zeros([64, 16, 28, 28])).shape; // [64, 16, 14, 14]
 */
export class MaxPool2d extends Module {
  readonly #kernel: Pair;
  readonly #options: PoolOptions;

  constructor(kernelSize: Pair, options: PoolOptions = {}) {
    super();
    this.#kernel = asPair(kernelSize, "kernelSize", 1, "MaxPool2d");
    this.#options = checkOptions("MaxPool2d", options, poolOptions);
  }

  override extraRepr(): object {
    return { kernelSize: this.#kernel, ...this.#options };
  }

  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.#kernel, this.#options);
  }
}

/**
 * The mean of each window: x [N, C, H, W] → [N, C, H', W']. The stride defaults to the kernel size, padding to 0.
 *
 * @example
 * new AvgPool2d(7).forward(zeros([64, 32, 7, 7])).shape; // [64, 32, 1, 1]
 */
export class AvgPool2d extends Module {
  readonly #kernel: Pair;
  readonly #options: AvgPoolOptions;

  constructor(kernelSize: Pair, options: AvgPoolOptions = {}) {
    super();
    this.#kernel = asPair(kernelSize, "kernelSize", 1, "AvgPool2d");
    this.#options = checkOptions("AvgPool2d", options, avgPoolOptions());
  }

  override extraRepr(): object {
    return { kernelSize: this.#kernel, ...this.#options };
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.#kernel, this.#options);
  }
}

/**
 * The mean over height and width: x [N, C, H, W] → [N, C, 1, 1] for any H and W. The output size 1 is the only one supported.
 *
 * @example
 * new AdaptiveAvgPool2d(1).forward(zeros([64, 512, 7, 7])).shape; // [64, 512, 1, 1]
 *
 * @throws ArgumentError from `forward` for another output size.
 */
export class AdaptiveAvgPool2d extends Module {
  readonly #outputSize: Pair;

  constructor(outputSize: Pair) {
    super();
    this.#outputSize = asPair(outputSize, "outputSize", 1, "AdaptiveAvgPool2d");
  }

  override extraRepr(): object {
    return { outputSize: this.#outputSize };
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.#outputSize);
  }
}
