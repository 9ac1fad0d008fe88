/** Rounds a layer's weights to whole numbers. */

import { noGrad, type Tensor } from "../graph/tensor.js";
import type { QuantizedFormat } from "../kernels/kernel.js";
import { weightFormat } from "../ops/packed_weight.js";
import { quantizeDynamic } from "../ops/quantize.js";
import { reshape } from "../ops/reshape.js";
import { pad } from "../ops/slice.js";

/** Largest magnitude of weights by their bits. */
export const weightLevels: Readonly<Record<QuantizedFormat["bits"], number>> = { 8: 127, 7: 63, 4: 7 };

export interface WeightQuantization {
  readonly bits: QuantizedFormat["bits"];
  /** Of 4 bits. */
  readonly groupSize?: number;
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
}

/** Weight [out, in] or [O, C/groups, KH, KW], float32, to whole numbers with a scale for each output channel (or group). Lazy. */
export function roundWeight(weight: Tensor, { bits, groupSize }: WeightQuantization): RoundedWeight {
  const levels = weightLevels[bits];
  const { shape } = weight;
  return noGrad(() => {
    const padded = bits === 4 && groupSize !== undefined ? padToGroups(weight, groupSize) : weight;
    const format = weightFormat(padded.shape, { bits, groupSize });
    if (format.bits === 4) {
      const groups = padded.shape[1] / format.groupSize;
      const grouped = reshape(padded, [shape[0], groups, format.groupSize]);
      const { values, scales } = quantizeDynamic(grouped, 2, { levels });
      return { values: reshape(values, padded.shape), scale: reshape(scales, [shape[0], groups]) };
    }
    const inner = shape.slice(1).map((_, d) => d + 1);
    const { values, scales } = quantizeDynamic(weight, inner, { levels });
    return { values, scale: reshape(scales, [shape[0]]) };
  });
}
