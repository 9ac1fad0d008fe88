/** Dropout. */
import { dropout } from "../ops/random.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";

/** While training, sets elements to 0 with probability p and scales the others by 1/(1 − p). */
export class Dropout extends Module {
  readonly #p: number;

  constructor(p = 0.5) {
    super();
    this.#p = p;
  }

  forward(x: Tensor): Tensor {
    return dropout(x, this.#p, { training: this.training });
  }
}
