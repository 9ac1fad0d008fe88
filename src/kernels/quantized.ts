/** What the products of quantized weights, `qmatmul` and `qconv`, have in common: storage formats and the epilogue. */

import type { MapCall } from "./expression.js";
import { activationStep, type FillStep, fill } from "./fill.js";
import type { Operand } from "./operand.js";

/**
 * How weights lie in an int32 buffer of one dimension, four bytes to an element; the layouts are in packed.ts. Values of 8 bits are −128..127, of 7
 * bits −63..63, of 4 bits −7..7 with a scale for every `groupSize` of them along k.
 */
export type WeightFormat =
  | { readonly bits: 8 | 7; readonly groupSize?: undefined }
  | { readonly bits: 4; readonly groupSize: number };

/**
 * What happens to the accumulators of a quantized product. They are int32 and exact: every device has the same bits.
 *
 * - output int32: the accumulators, plus `offsets`.
 * - output float32: float32(accumulator + offset) · scale · inputScale, plus bias, then the activation.
 * - output int8: float32(accumulator + offset) · scale, one product rounded to float32 and then to the nearest whole number
 *   (halves to even), plus `zeroPoint`, limited to −128..127, or from `zeroPoint` on for "relu". NaN gives `zeroPoint`.
 */
export interface QuantizedEpilogue {
  /** float32 [n], stride 0 where all are equal; absent for an int32 output. */
  readonly scales?: Operand;
  /** int32 [n]: what the input's zero point and the bias add to the accumulators. */
  readonly offsets?: Operand;
  /** float32 [n], for a float32 output. */
  readonly bias?: Operand;
  readonly activation?: "relu";
  readonly zeroPoint?: number;
}

/** The dimension of n, output columns or channels, in the outputs of both products. */
const columnDim = 1;

/** The map that writes the epilogue of accumulators that are all 0: the sums are over nothing. */
export function epilogueOfNothing(
  call: QuantizedEpilogue & {
    readonly format: WeightFormat;
    readonly inputScales?: Operand;
    readonly output: Operand;
  },
): MapCall {
  const { output, offsets, scales, inputScales, bias, activation, zeroPoint = 0 } = call;
  const along = (operand: Operand | undefined, dim: number) => operand && spread(operand, output, dim);
  const sums: FillStep[] = [["add", along(offsets, columnDim)]];
  if (output.dtype !== "int32") sums.push(["cast", null, "float32"]);
  const scale = along(scales, columnDim);
  if (output.dtype === "int8") {
    const least = activation === "relu" ? zeroPoint : -128;
    sums.push(["roundedMul", scale], ["round", null], ["add", zeroPoint]);
    sums.push(["max", least], ["min", 127], ["cast", null, "int8"]);
  }
  if (output.dtype === "float32") {
    // With groups of 4 bits there are no sums at all.
    if (call.format.bits !== 4) sums.push(["mul", scale], ["mul", along(inputScales, 0)]);
    sums.push(["add", along(bias, columnDim)], activationStep(activation));
  }
  return fill(output, 0, sums, "int32");
}

/** An operand of one dimension as one of the output's shape. */
function spread(operand: Operand, { view: { shape } }: Operand, dim: number): Operand {
  const { strides, offset } = operand.view;
  return { ...operand, view: { shape, strides: shape.map((_, d) => (d === dim ? strides[0] : 0)), offset } };
}
