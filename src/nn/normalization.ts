/** BatchNorm2d and LayerNorm. */

import { aBoolean, aNumber, checkOptions, type Kinds } from "../core/check.js";
import { checkShape } from "../core/shape.js";
import { deviceOf } from "../device/default.js";
import type { Tensor } from "../graph/tensor.js";
import { ones, zeros } from "../ops/creation.js";
import { add } from "../ops/elementwise.js";
import { batchNorm, layerNorm } from "../ops/normalization.js";
import { assign } from "../runtime/assign.js";
import { useFloat32Storage } from "../runtime/host_data.js";
import { realize } from "../runtime/realize.js";
import { Module } from "./module.js";
import { type ParameterOptions, parameter, parameterOptions, requireCounts } from "./parameter.js";

/** Options of `BatchNorm2d`. */
export interface BatchNormOptions extends ParameterOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
  /** Weight of the new batch in the running statistics. Default 0.1. */
  readonly momentum?: number;
  /** Learned scale and shift. Default true. */
  readonly affine?: boolean;
}

const batchNormOptions = (): Kinds<BatchNormOptions> => ({
  ...parameterOptions,
  eps: aNumber,
  momentum: aNumber,
  affine: aBoolean,
});

/**
 * Normalizes each channel of x [N, C, H, W] over N, H, W (Ioffe and Szegedy 2015), as torch.nn.BatchNorm2d. In training it uses the
 * batch's statistics and updates the running ones; in evaluation it uses the running ones. weight and bias [C] start as ones and
 * zeros, running_mean and running_var [C] as zeros and ones, num_batches_tracked (int32) as 0. float32.
 *
 * @example
 * const layer = new BatchNorm2d(1).eval();
 * layer.forward(tensor([[[[0, 3]]]])); // [[[[0, 3.0000]]]]
 * [...layer.stateDict().keys()]; // ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
 */
export class BatchNorm2d extends Module {
  readonly weight: Tensor | undefined;
  readonly bias: Tensor | undefined;
  readonly runningMean: Tensor;
  readonly runningVar: Tensor;
  readonly numBatchesTracked: Tensor;
  readonly eps: number;
  readonly #momentum: number;

  constructor(channels: number, options: BatchNormOptions = {}) {
    super();
    const op = "BatchNorm2d";
    requireCounts(op, { channels });
    const { eps = 1e-5, momentum = 0.1, affine = true } = checkOptions(op, options, batchNormOptions());
    const device = deviceOf(op, options.device);
    if (affine) {
      this.weight = parameter(ones([channels], { device }));
      this.bias = parameter(zeros([channels], { device }));
    }
    this.runningMean = this.registerBuffer("runningMean", zeros([channels], { device }));
    this.runningVar = this.registerBuffer("runningVar", ones([channels], { device }));
    // Weights saved before PyTorch 0.4.1 lack it, and PyTorch loads them.
    this.numBatchesTracked = this.registerBuffer("numBatchesTracked", zeros([], { device, dtype: "int32" }), {
      optional: true,
    });
    realize([this.runningMean, this.runningVar, this.numBatchesTracked]);
    // A variance leaves the range of half floats long before its channel does.
    for (const statistic of [this.runningMean, this.runningVar]) useFloat32Storage(statistic);
    this.eps = eps;
    this.#momentum = momentum;
  }

  override extraRepr(): object {
    return { channels: this.runningMean.size, eps: this.eps, momentum: this.#momentum };
  }

  forward(x: Tensor): Tensor {
    if (this.training) assign(this.numBatchesTracked, add(this.numBatchesTracked, 1));
    return batchNorm(x, this.runningMean, this.runningVar, this.weight, this.bias, {
      training: this.training,
      momentum: this.#momentum,
      eps: this.eps,
    });
  }
}

/** Options of `LayerNorm`. */
export interface LayerNormOptions extends ParameterOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
  /** Whether a bias is added. Default true. */
  readonly bias?: boolean;
}

const layerNormOptions = (): Kinds<LayerNormOptions> => ({
  ...parameterOptions,
  eps: aNumber,
  bias: aBoolean,
});

/**
 * Normalizes x over its last dimensions `normalizedShape` (Ba et al. 2016), as torch.nn.LayerNorm; float32. weight and bias have
 * that shape and start as ones and zeros.
 *
 * @example
 * new LayerNorm(3).forward(tensor([[1, 2, 3]])); // [[-1.2247, 0, 1.2247]]
 */
export class LayerNorm extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly #shape: readonly number[];
  readonly #eps: number;

  constructor(normalizedShape: number | readonly number[], options: LayerNormOptions = {}) {
    super();
    const { eps = 1e-5, bias = true, device } = checkOptions("LayerNorm", options, layerNormOptions());
    this.#shape = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
    checkShape(this.#shape, "LayerNorm");
    this.weight = parameter(ones(this.#shape, { device }));
    if (bias) this.bias = parameter(zeros(this.#shape, { device }));
    this.#eps = eps;
  }

  override extraRepr(): object {
    return { normalizedShape: this.#shape, eps: this.#eps };
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.#shape, this.weight, this.bias, this.#eps);
  }
}
