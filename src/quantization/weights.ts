/** Rounds a layer's weights to whole numbers. */
import type { WeightFormat } from "../device/kernel.js";
import { weightFormat } from "../ops/packed_weight.js";
import { quantizeDynamic } from "../ops/quantize.js";
import { reshape } from "../ops/reshape.js";
import { noGrad, type Tensor } from "../tensor/tensor.js";

/** Largest magnitude of weights by their bits. */
export const weightLevels: Readonly<Record<WeightFormat["bits"], number>> = { 8: 127, 7: 63, 4: 7 };

export interface WeightQuantization {
  readonly bits: WeightFormat["bits"];
  /** Of 4 bits. */
  readonly groupSize?: number;
}

export interface RoundedWeight {
  /** int8, shape of the weight. */
  readonly values: Tensor;
  /** float32 [out]; for 4 bits [out, in/groupSize]. */
  readonly scale: Tensor;
}

/** Weight [out, in] or [O, C/groups, KH, KW], float32, to whole numbers with a scale for each output channel (or group). Lazy. */
export function roundWeight(weight: Tensor, { bits, groupSize }: WeightQuantization): RoundedWeight {
  const levels = weightLevels[bits];
  const { shape } = weight;
  return noGrad(() => {
    const format = weightFormat(shape, { bits, groupSize });
    if (format.bits === 4) {
      const groups = shape[1] / format.groupSize;
      const grouped = reshape(weight, [shape[0], groups, format.groupSize]);
      const { values, scales } = quantizeDynamic(grouped, 2, { levels });
      return { values: reshape(values, shape), scale: reshape(scales, [shape[0], groups]) };
    }
    const inner = shape.slice(1).map((_, d) => d + 1);
    const { values, scales } = quantizeDynamic(weight, inner, { levels });
    return { values, scale: reshape(scales, [shape[0]]) };
  });
}
