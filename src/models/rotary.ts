/**
 * Rotary positions (Su et al. 2021): elements i and i + headDim/2 of a query or key are a pair, rotated by its position times the
 * frequency of the pair.
 */

import { deviceOf } from "../device/default.js";
import type { Device } from "../device/device.js";
import type { Tensor } from "../graph/tensor.js";
import { Module } from "../nn/module.js";
import type { ParameterOptions } from "../nn/parameter.js";
import { stack } from "../ops/concat.js";
import { tensor } from "../ops/creation.js";
import { add, cos, exp, log, maximum, mul, neg, sin, sub } from "../ops/elementwise.js";
import { cast } from "../ops/promotion.js";
import { max } from "../ops/reduce.js";
import { reshape, unsqueeze } from "../ops/reshape.js";
import { flip } from "../ops/slice.js";
import type { RotaryConfig } from "./rotary_config.js";

/** Cosines and sines of the angles. */
export interface Rotation {
  /** float32 [1 or N, 1, T, headDim / 2] */
  readonly cos: Tensor;
  /** float32 [1 or N, 1, T, 2, headDim / 2]: −sin for the first element of a pair, sin for the second. */
  readonly sin: Tensor;
}

/** The angles of positions. Its frequencies are no part of the state. */
export class Rotary extends Module<[positions: Tensor], Rotation> {
  /** [headDim / 2] */
  readonly frequencies: Tensor;
  readonly #config: RotaryConfig;

  constructor(config: RotaryConfig, options: ParameterOptions = {}) {
    super();
    const derive = (device: Device) => tensor(config.frequencies, { device });
    this.frequencies = this.registerBuffer("frequencies", derive(deviceOf("Rotary", options.device)), {
      derive,
    });
    this.#config = config;
  }

  /** int32 positions [T] or [N, T]. */
  forward(positions: Tensor): Rotation {
    const at = cast(positions.rank === 1 ? unsqueeze(positions, 0) : positions, "float32");
    const angles = mul(unsqueeze(unsqueeze(at, 1), 3), this.#frequenciesAt(at));
    const { scale } = this.#config;
    const scaled = (x: Tensor) => (scale === 1 ? x : mul(x, scale));
    const sines = scaled(sin(angles));
    return { cos: scaled(cos(angles)), sin: stack([neg(sines), sines], 3) };
  }

  /**
   * [headDim / 2], or for the kind `dynamic` [N, 1, 1, headDim / 2]: θ′ = θ · (factor · length / maxPositions − (factor − 1))^(d / (d − 2)) for
   * a sequence whose last position in this call is length − 1.
   */
  #frequenciesAt(at: Tensor): Tensor {
    const { dynamic, frequencies } = this.#config;
    if (dynamic === undefined) return this.frequencies;
    const { factor, maxPositions } = dynamic;
    const lengths = maximum(add(max(at, -1, { keepdim: true }), 1), maxPositions);
    const ratio = sub(mul(lengths, factor / maxPositions), factor - 1);
    const { device } = at;
    const exponents = frequencies.map((_, i) => -i / (frequencies.length - 1));
    const lower = exp(mul(unsqueeze(unsqueeze(log(ratio), 2), 3), tensor(exponents, { device })));
    return mul(lower, this.frequencies);
  }
}

/**
 * x [N, heads, T, headDim], rotated. As [..., 2, headDim / 2] a row holds both elements of its pairs, and the row with them exchanged is
 * a view: one kernel computes x · cos + exchanged · [−sin, sin].
 */
export function rotate(x: Tensor, { cos, sin }: Rotation): Tensor {
  const pairs = reshape(x, [...x.shape.slice(0, 3), 2, x.shape[3] / 2]);
  const along = mul(pairs, unsqueeze(cos, 3));
  return reshape(add(along, mul(flip(pairs, 3), sin)), x.shape);
}
