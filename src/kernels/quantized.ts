/** What the products of quantized weights, `qmatmul` and `qconv`, have in common: storage formats and dequantization. */

import type { QuantizedFormat } from "../core/weight_format.js";
import type { WithEpilogue } from "./epilogue.js";
import type { MapCall } from "./expression.js";
import { type FillStep, fill } from "./fill.js";
import type { Operand } from "./operand.js";

/** Weights are in an int32 buffer of one dimension, four bytes to an element; the layouts are in packed.ts. */
export type { QuantizedFormat };

/**
 * A quantized product's accumulators are int32 and exact: every device has the same bits. Its value, on which the epilogue works, is
 *
 * - without `scales` int32: accumulator + offset.
 * - with `scales` float32: float32(accumulator + offset) · scale · inputScale.
 *
 * The output has the value's dtype, or that of the epilogue's result.
 */
export interface QuantizedProduct extends WithEpilogue {
  /** float32 [n], stride 0 where all are equal. */
  readonly scales?: Operand;
  /** int32 [n]: what the input's zero point and the bias add to the accumulators. */
  readonly offsets?: Operand;
}

/** The dimension of n, output columns or channels, in the outputs of both products. */
const columnDim = 1;

/** The map that writes the value of accumulators that are all 0: the sums are over nothing. */
export function valueOfNothing(
  call: QuantizedProduct & {
    readonly format: QuantizedFormat;
    readonly inputScales?: Operand;
    readonly output: Operand;
  },
): MapCall {
  const { output, offsets, scales, inputScales } = call;
  const along = (operand: Operand | undefined, dim: number) => operand && spread(operand, output, dim);
  const steps: FillStep[] = [["add", along(offsets, columnDim)]];
  if (output.dtype === "float32") steps.push(["cast", null, "float32"]);
  // Of groups there are no sums at all.
  if (call.format.groupSize === undefined)
    steps.push(["mul", along(scales, columnDim)], ["mul", along(inputScales, 0)]);
  return fill(output, 0, steps, "int32");
}

/** An operand of one dimension as one of the output's shape. */
function spread(operand: Operand, { view: { shape } }: Operand, dim: number): Operand {
  const { strides, offset } = operand.view;
  return { ...operand, view: { shape, strides: shape.map((_, d) => (d === dim ? strides[0] : 0)), offset } };
}
