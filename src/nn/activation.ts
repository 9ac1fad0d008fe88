/** Activations and other layers without parameters, for Sequential. */

import { anInteger, check, checkAll, checkOptions } from "../core/check.js";
import type { Tensor } from "../graph/tensor.js";
import { type GeluOptions, gelu, geluOptions, silu } from "../ops/activation.js";
import { relu, sigmoid, tanh } from "../ops/elementwise.js";
import { flatten } from "../ops/reshape.js";
import { softmax } from "../ops/softmax.js";
import { Module } from "./module.js";

/**
 * max(x, 0) elementwise; any shape. See `relu`.
 *
 * @example
 * new ReLU().forward(tensor([-1, 2])); // [0, 2]
 */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return relu(x);
  }
}

/**
 * x·Φ(x) elementwise (Hendrycks and Gimpel 2016), float32; `approximate: "tanh"` is the form used by GPT-2. See `gelu`.
 *
 * @example
 * new GELU().forward(tensor([1])); // [0.8413]
 */
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

/**
 * The hyperbolic tangent elementwise, float32.
 *
 * @example
 * new Tanh().forward(tensor([1])); // [0.7616]
 */
export class Tanh extends Module {
  forward(x: Tensor): Tensor {
    return tanh(x);
  }
}

/**
 * 1/(1 + e⁻ˣ) elementwise, float32.
 *
 * @example
 * new Sigmoid().forward(tensor([0])); // [0.5]
 */
export class Sigmoid extends Module {
  forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

/**
 * x · sigmoid(x) elementwise (Elfwing et al. 2018), float32.
 *
 * @example
 * new SiLU().forward(tensor([1])); // [0.7311]
 */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return silu(x);
  }
}

/**
 * eˣ / Σ eˣ along `dim`, float32. For a classifier's loss give `crossEntropy` the logits instead.
 *
 * @example
 * new Softmax(-1).forward(tensor([[0, 1]])); // [[0.2689, 0.7311]]
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
 * Joins the dimensions `startDim`..`endDim` (inclusive) into one; by default all but the first.
 *
 * @example
 * new Flatten().forward(zeros([64, 32, 7, 7])).shape; // [64, 1568]
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

/**
 * Returns its input: a placeholder for a layer that is left out.
 *
 * @example
 * new Identity().forward(tensor([1, 2])); // [1, 2]
 */
export class Identity extends Module {
  forward(x: Tensor): Tensor {
    return x;
  }
}
