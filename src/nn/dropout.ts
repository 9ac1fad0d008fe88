/** Dropout. */

import type { Tensor } from "../graph/tensor.js";
import { dropout, requireProbability } from "../ops/random.js";
import { Module } from "./module.js";

/**
 * In training, sets elements to 0 with probability p and multiplies the others by 1/(1 − p) (Srivastava et al. 2014); in evaluation,
 * returns x. float32. Random numbers come from the default generator. Default p 0.5.
 *
 * @example
 * const layer = new Dropout(0.1);
 * layer.forward(ones([1000])).mean().lt(1.1); // true
 * layer.eval().forward(tensor([1, 2])); // [1, 2]
 */
export class Dropout extends Module {
  readonly #p: number;

  constructor(p = 0.5) {
    super();
    requireProbability(p, "Dropout");
    this.#p = p;
  }

  override extraRepr(): object {
    return { p: this.#p };
  }

  forward(x: Tensor): Tensor {
    return dropout(x, this.#p, { training: this.training });
  }
}
