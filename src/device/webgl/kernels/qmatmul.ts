/** qmatmul: tiles of the product (quantized_product.ts), then the sums are put together and dequantized. */
import { sizeOf } from "../../../core/shape.js";
import type { QmatmulCall } from "../../../kernels/kernel.js";
import type { PassBuilder } from "../shader/builder.js";
import { mergeSums } from "./quantized_merge.js";
import { quantizedTiles } from "./quantized_product.js";
import { dequantizationOf, type SumKind } from "./quantized_values.js";

export function prepareQmatmul(call: QmatmulCall, builder: PassBuilder): void {
  const { input, weight, format, output, scales, inputScales, minimums } = call;
  if (sizeOf(output.view.shape) === 0) return;
  const { shape, strides, offset } = input.view;
  const matrix = { ...input, view: { shape: [1, ...shape], strides: [0, ...strides], offset } };
  const n = output.view.shape[1];
  const factors = { input: matrix, weight, format, n, scales, inputScales, minimums };
  const sums = quantizedTiles(factors, builder);
  const isGrouped = format.groupSize !== undefined;
  const kind: SumKind = isGrouped ? "groups" : input.dtype === "int8" ? "integers" : "floats";
  const [rows, columns] = [
    [1, 0],
    [0, 1],
  ];
  const steps = {
    matrix: { strides: [0, 0], offset: 0 },
    row: { strides: rows, offset: 0 },
    column: { strides: columns, offset: 0 },
  };
  mergeSums(sums, output, steps, dequantizationOf(call, kind, columns, rows), builder);
}
