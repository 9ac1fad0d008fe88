/** Embedding: a table of learned vectors. */
import { embedding } from "../ops/indexing.js";
import { randn } from "../ops/random.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";
import { deviceOf, type ParameterOptions, parameter } from "./parameter.js";

/** int32 index [...] → rows [..., dim] of weight [count, dim], which starts standard normal. */
export class Embedding extends Module {
  readonly weight: Tensor;

  constructor(count: number, dim: number, options: ParameterOptions = {}) {
    super();
    this.weight = parameter(randn([count, dim], { device: deviceOf(options) }));
  }

  forward(index: Tensor): Tensor {
    return embedding(this.weight, index);
  }
}
