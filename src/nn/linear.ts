/** Linear: x·weightᵀ + bias. */
import { linear } from "../ops/linalg.js";
import type { Tensor } from "../tensor/tensor.js";
import { kaimingUniform, uniformInit } from "./init.js";
import { Module } from "./module.js";
import { deviceOf, type ParameterOptions, parameter } from "./parameter.js";

export interface LinearOptions extends ParameterOptions {
  /** Default true. */
  readonly bias?: boolean;
}

/**
 * x [..., in] → [..., out]; weight [out, in], bias [out], both uniform within 1/√in as in torch.nn.Linear.
 *
 * @example
 * const y = new Linear(784, 10).forward(x); // x [64, 784] → y [64, 10]
 */
export class Linear extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    const device = deviceOf(options);
    this.weight = parameter(kaimingUniform([outFeatures, inFeatures], device));
    const bound = 1 / Math.sqrt(Math.max(1, inFeatures));
    if (options.bias ?? true) this.bias = parameter(uniformInit([outFeatures], bound, device));
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }
}
