/** What the kernels that take indices, `gather` and `scatterAdd`, have in common. */
import { type Shape, sizeOf } from "../core/shape.js";
import { itemBytes, type Stored } from "./bytes.js";
import type { Operand } from "./operand.js";

/** How an index outside its axis is reported: `crossEntropy: label 7 of 3 classes`. */
export interface IndexReport {
  /** The function that the user called. */
  readonly op: string;
  /** What the index is called: index, label. */
  readonly item: string;
  /** What it counts: rows, classes. */
  readonly unit: string;
}

/** Bytes of the elements that the indices pick; those picked twice are touched twice. */
export function pickedBytes(
  call: { readonly shape: Shape; readonly output: Operand },
  stored: Stored,
): number {
  return sizeOf(call.shape) * itemBytes(call.output.dtype, stored);
}
