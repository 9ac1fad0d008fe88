/** Activations and other layers without parameters, for Sequential. */

import { anInteger, check, checkAll, checkOptions } from "../core/check.js";
import type { Tensor } from "../graph/tensor.js";
import { type GeluOptions, gelu, geluOptions, silu } from "../ops/activation.js";
import { relu, sigmoid, tanh } from "../ops/elementwise.js";
import { softmax } from "../ops/reduce.js";
import { flatten } from "../ops/reshape.js";
import { Module } from "./module.js";

/** max(x, 0), element by element: any shape, float32. */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return relu(x);
  }
}

/** x·Φ(x) (Hendrycks and Gimpel 2016); `approximate: "tanh"` as GPT-2 has it. */
export class GELU extends Module {
  readonly #options: GeluOptions;

  constructor(options: GeluOptions = {}) {
    super();
    this.#options = checkOptions("GELU", options, geluOptions);
  }

  override extraRepr(): object {
    return { ...this.#options };
  }

  forward(x: Tensor): Tensor {
    return gelu(x, this.#options);
  }
}

/** The hyperbolic tangent of each element, float32. */
export class Tanh extends Module {
  forward(x: Tensor): Tensor {
    return tanh(x);
  }
}

/** 1/(1 + e⁻ˣ) of each element, float32. */
export class Sigmoid extends Module {
  forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

/** x·σ(x) of each element (Elfwing et al. 2017), float32. */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return silu(x);
  }
}

/**
 * e^x / Σ e^x along `dim`, float32. For a classifier's loss give `crossEntropy` the logits instead.
 *
 * @example
 * const probabilities = new Softmax(-1).forward(logits); // [64, 10] → [64, 10], rows sum to 1
 */
export class Softmax extends Module {
  readonly #dim: number;

  constructor(dim: number) {
    super();
    this.#dim = check("Softmax", "dim", dim, anInteger);
  }

  override extraRepr(): object {
    return { dim: this.#dim };
  }

  forward(x: Tensor): Tensor {
    return softmax(x, this.#dim);
  }
}

/**
 * Joins the dimensions `startDim`..`endDim`; by default all but the first.
 *
 * @example
 * new Flatten().forward(x); // x [64, 32, 7, 7] → [64, 1568]
 */
export class Flatten extends Module {
  readonly #startDim: number;
  readonly #endDim: number;

  constructor(startDim = 1, endDim = -1) {
    super();
    checkAll("Flatten", { startDim, endDim }, anInteger);
    this.#startDim = startDim;
    this.#endDim = endDim;
  }

  override extraRepr(): object {
    return { startDim: this.#startDim, endDim: this.#endDim };
  }

  forward(x: Tensor): Tensor {
    return flatten(x, this.#startDim, this.#endDim);
  }
}

/** x itself: takes the place of a layer that is left out. */
export class Identity extends Module {
  forward(x: Tensor): Tensor {
    return x;
  }
}
