/** Embedding: a table of learned vectors. */

import { checkOptions } from "../core/check.js";
import type { Tensor } from "../graph/tensor.js";
import { embedding } from "../ops/indexing.js";
import { randn } from "../ops/random.js";
import { Module } from "./module.js";
import { type ParameterOptions, parameter, parameterOptions, requireCounts } from "./parameter.js";

/**
 * A table of vectors: int32 index [...] → rows [..., dim] of weight [count, dim], which starts standard normal as in
 * torch.nn.Embedding.
 *
 * @example
 * const tokens = tensor([[3, 1, 4]], { dtype: "int32" });
 * new Embedding(65, 128).forward(tokens).shape; // [1, 3, 128]
 *
 * @throws IndexError from the next read for an index outside 0..count−1.
 */
export class Embedding extends Module {
  /** Not readonly: assigning another module's weight ties the two. */
  weight: Tensor;

  constructor(count: number, dim: number, options: ParameterOptions = {}) {
    super();
    requireCounts("Embedding", { count, dim });
    const { device } = checkOptions("Embedding", options, parameterOptions);
    this.weight = parameter(randn([count, dim], { device }));
  }

  override extraRepr(): object {
    const [count, dim] = this.weight.shape;
    return { count, dim };
  }

  forward(index: Tensor): Tensor {
    return embedding(this.weight, index);
  }
}
