/** Rounds a layer's weights to whole numbers. */

import type { Shape } from "../core/shape.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import type { QuantizedFormat } from "../kernels/kernel.js";
import { eq, where } from "../ops/comparison.js";
import { clamp, div, round, sub } from "../ops/elementwise.js";
import { weightFormat } from "../ops/packed_weight.js";
import { cast } from "../ops/promotion.js";
import { quantizeDynamic } from "../ops/quantize.js";
import { max, min } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { pad } from "../ops/slice.js";

/** Largest magnitude of weights by their bits. */
export const weightLevels: Readonly<Record<QuantizedFormat["bits"], number>> = { 8: 127, 7: 63, 4: 7 };

export interface WeightQuantization {
  readonly bits: QuantizedFormat["bits"];
  /** Of 4 bits. */
  readonly groupSize?: number;
  /** Of 4 bits: each group has a minimum, and the levels 0..15 from there on. Default false: levels −7..7. */
  readonly asymmetric?: boolean;
}

/** Columns of a row of `columns` weights in whole groups: the last group is padded with zeros. */
export function wholeGroups(columns: number, groupSize: number): number {
  return Math.ceil(columns / groupSize) * groupSize;
}

/** x [..., in] with zeros up to whole groups, which add nothing to a product and do not change a group's scale. */
export function padToGroups(x: Tensor, groupSize: number): Tensor {
  const columns = x.shape[x.rank - 1];
  const missing = wholeGroups(columns, groupSize) - columns;
  return missing === 0 ? x : pad(x, [...x.shape.slice(1).map(() => [0, 0] as const), [0, missing]]);
}

export interface RoundedWeight {
  /** int8, shape of the weight; for 4 bits with columns in whole groups. */
  readonly values: Tensor;
  /** float32 [out]; for 4 bits [out, ⌈in/groupSize⌉]. */
  readonly scale: Tensor;
  /** float32 [out, ⌈in/groupSize⌉], if asymmetric: the weights are (value + 8) · scale + minimum. */
  readonly minimums?: Tensor;
}

/** Weight [out, in] or [O, C/groups, KH, KW], float32, to whole numbers with a scale for each output channel (or group). Lazy. */
export function roundWeight(
  weight: Tensor,
  { bits, groupSize, asymmetric }: WeightQuantization,
): RoundedWeight {
  const levels = weightLevels[bits];
  const { shape } = weight;
  return noGrad(() => {
    const padded = bits === 4 && groupSize !== undefined ? padToGroups(weight, groupSize) : weight;
    const format = weightFormat(padded.shape, { bits, groupSize });
    if (format.groupSize !== undefined) {
      const groups = padded.shape[1] / format.groupSize;
      const grouped = reshape(padded, [shape[0], groups, format.groupSize]);
      if (asymmetric) return fromMinimum(grouped, padded.shape);
      const { values, scales } = quantizeDynamic(grouped, 2, { levels });
      return { values: reshape(values, padded.shape), scale: reshape(scales, [shape[0], groups]) };
    }
    const inner = shape.slice(1).map((_, d) => d + 1);
    const { values, scales } = quantizeDynamic(weight, inner, { levels });
    return { values, scale: reshape(scales, [shape[0]]) };
  });
}

/** Groups [out, groups, size] with levels 0..15 from their minimum on, which stand 8 lower: int8 of `shape`. */
function fromMinimum(grouped: Tensor, shape: Shape): RoundedWeight {
  const minimum = min(grouped, 2, { keepdim: true });
  const scale = div(sub(max(grouped, 2, { keepdim: true }), minimum), levelsOf4);
  const steps = where(eq(scale, 0), 0, div(sub(grouped, minimum), scale));
  const values = cast(sub(clamp(round(steps), { min: 0, max: levelsOf4 }), 8), "int8");
  const factors = grouped.shape.slice(0, 2);
  return {
    values: reshape(values, shape),
    scale: reshape(scale, factors),
    minimums: reshape(minimum, factors),
  };
}

/** Highest level of 4 bits. */
export const levelsOf4 = 15;
