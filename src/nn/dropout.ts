/** Dropout. */

import type { Tensor } from "../graph/tensor.js";
import { dropout, requireProbability } from "../ops/random.js";
import { Module } from "./module.js";

/**
 * While training, sets elements to 0 with probability p and scales the others by 1/(1 − p) (Srivastava et al. 2014);
 * x unchanged when evaluating. Draws from the seeded default generator. p is 0.5 by default.
 *
 * @example
 * const layer = new Dropout(0.1);
 * layer.forward(x); // random
 * layer.eval().forward(x); // x
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
