/** RMSNorm: LayerNorm without the mean and the shift. */
import { aNumber, checkOptions, type Kinds } from "../core/check.js";
import { ShapeError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { ones } from "../ops/creation.js";
import { add, mul, rsqrt, square } from "../ops/elementwise.js";
import { mean } from "../ops/reduce.js";
import { Module } from "./module.js";
import { type ParameterOptions, parameter, parameterOptions, requireCounts } from "./parameter.js";

/** Options of `RMSNorm`. */
export interface RmsNormOptions extends ParameterOptions {
  /** Added to the mean square. Default 1e-6. */
  readonly eps?: number;
}

const rmsNormOptions = (): Kinds<RmsNormOptions> => ({ ...parameterOptions, eps: aNumber });

/**
 * x / √(mean(x²) + eps) · weight over the last dimension, of `width` elements (Zhang and Sennrich 2019), as torch.nn.RMSNorm. weight
 * starts as ones.
 *
 * @example
 * new RMSNorm(2).forward(tensor([[3, 4]])); // [[0.8485, 1.1314]]
 */
export class RMSNorm extends Module {
  readonly weight: Tensor;
  readonly #eps: number;

  constructor(width: number, options: RmsNormOptions = {}) {
    super();
    requireCounts("RMSNorm", { width });
    const { eps = 1e-6, device } = checkOptions("RMSNorm", options, rmsNormOptions());
    this.weight = parameter(ones([width], { device }));
    this.#eps = eps;
  }

  override extraRepr(): object {
    return { width: this.weight.size, eps: this.#eps };
  }

  /** @throws ShapeError if the last dimension is not `width`. */
  forward(x: Tensor): Tensor {
    const [width] = this.weight.shape;
    if (requireTensor("RMSNorm", x).shape[x.rank - 1] !== width) {
      throw new ShapeError(`the last dimension is ${width}, got ${formatShape(x.shape)}`, { op: "RMSNorm" });
    }
    return mul(mul(x, rsqrt(add(mean(square(x), -1, { keepdim: true }), this.#eps))), this.weight);
  }
}
