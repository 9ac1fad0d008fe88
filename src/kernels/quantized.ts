/** Shared by the products with quantized weights, `qmatmul` and `qconv`: storage format and dequantization. */
import type { QuantizedFormat } from "../core/weight_format.js";
import type { WithEpilogue } from "./epilogue.js";
import type { MapCall } from "./expression.js";
import { type FillStep, fill } from "./fill.js";
import type { Operand } from "./operand.js";

/** Weights are stored in a 1-D int32 buffer, four bytes per element; packed.ts defines the layouts. */
export type { QuantizedFormat };

/**
 * A quantized product accumulates exactly in int32: every device computes the same bits. Its value, the input of the epilogue, is
 *
 * - without `scales` int32: accumulator + offset.
 * - with `scales` float32: float32(accumulator + offset) · scale · inputScale.
 *
 * The output has the value's dtype, or that of the epilogue's result.
 */
export interface QuantizedProduct extends WithEpilogue {
  /** float32 [n]: scale of each column or channel; stride 0 if all are equal. */
  readonly scales?: Operand;
  /** int32 [n], added to the accumulators: the correction for the input's zero point, and the bias. */
  readonly offsets?: Operand;
}

/** Dimension of the columns ([m, n]) or channels ([N, O, OH, OW]) in the output. */
const columnDim = 1;

/** Replaces a product over k = 0: the map that dequantizes accumulators of 0. */
export function emptyProduct(
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
  // With groups the value is a sum over groups, and there are no groups.
  if (call.format.groupSize === undefined)
    steps.push(["mul", along(scales, columnDim)], ["mul", along(inputScales, 0)]);
  return fill(output, 0, steps, "int32");
}

/** Broadcasts a 1-D operand along dimension `dim` of the output's shape. */
function spread(operand: Operand, { view: { shape } }: Operand, dim: number): Operand {
  const { strides, offset } = operand.view;
  return { ...operand, view: { shape, strides: shape.map((_, d) => (d === dim ? strides[0] : 0)), offset } };
}
