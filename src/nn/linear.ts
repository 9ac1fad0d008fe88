/** Linear: x·weightᵀ + bias. */

import { aBoolean, checkOptions, type Kinds } from "../core/check.js";
import type { Tensor } from "../graph/tensor.js";
import { linear } from "../ops/linalg.js";
import { kaimingUniform, uniformInit } from "./init.js";
import { Module } from "./module.js";
import { type ParameterOptions, parameter, parameterOptions, requireCounts } from "./parameter.js";

/** Options of `Linear`. */
export interface LinearOptions extends ParameterOptions {
  /** Whether a bias is added. Default true. */
  readonly bias?: boolean;
}

const linearOptions: Kinds<LinearOptions> = { ...parameterOptions, bias: aBoolean };

/**
 * x · weightᵀ + bias: x [..., in] → [..., out], float32; weight [out, in] and bias [out], both uniform within 1/√in as in
 * torch.nn.Linear.
 *
 * @example
 * new Linear(784, 10).forward(zeros([64, 784])).shape; // [64, 10]
 *
 * @throws ShapeError for another width of x.
 */
export class Linear extends Module {
  /** [out, in]. Not readonly: assigning another module's weight ties the two. */
  weight: Tensor;
  /** [out], or undefined. */
  bias: Tensor | undefined;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    requireCounts("Linear", { inFeatures, outFeatures });
    const { bias = true, device } = checkOptions("Linear", options, linearOptions);
    this.weight = parameter(kaimingUniform([outFeatures, inFeatures], device));
    const bound = 1 / Math.sqrt(Math.max(1, inFeatures));
    if (bias) this.bias = parameter(uniformInit([outFeatures], bound, this.weight.device));
  }

  override extraRepr(): object {
    const [outFeatures, inFeatures] = this.weight.shape;
    return { inFeatures, outFeatures, bias: this.bias !== undefined };
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }
}
