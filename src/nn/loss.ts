/** Losses as modules; the functions themselves are in ops/loss.ts. */

import { checkOptions } from "../core/check.js";
import type { Tensor } from "../graph/tensor.js";
import {
  type CrossEntropyOptions,
  crossEntropy,
  crossEntropyOptions,
  type LossOptions,
  lossOptions,
  mseLoss,
} from "../ops/loss.js";
import { Module } from "./module.js";

/**
 * `crossEntropy` as a module: logits [N, C, ...] and int32 classes [N, ...]; the mean by default, a rank-0 tensor.
 *
 * @example
 * const classes = tensor([0], { dtype: "int32" });
 * new CrossEntropyLoss({ labelSmoothing: 0.1 }).forward(tensor([[2, 1, 0]]), classes); // 0.5076
 */
export class CrossEntropyLoss extends Module {
  readonly #options: CrossEntropyOptions;

  constructor(options: CrossEntropyOptions = {}) {
    super();
    this.#options = checkOptions("CrossEntropyLoss", options, crossEntropyOptions);
  }

  forward(logits: Tensor, target: Tensor): Tensor {
    return crossEntropy(logits, target, this.#options);
  }
}

/**
 * `mseLoss` as a module: the mean squared error of two tensors of one shape, float32; the mean by default, a rank-0 tensor.
 *
 * @example
 * new MSELoss().forward(tensor([1, 2]), tensor([1, 4])); // 2
 */
export class MSELoss extends Module {
  readonly #options: LossOptions;

  constructor(options: LossOptions = {}) {
    super();
    this.#options = checkOptions("MSELoss", options, lossOptions);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return mseLoss(input, target, this.#options);
  }
}
