/** Shared by the kernels with indices, `gather` and `scatterAdd`. */
import { type Shape, sizeOf } from "../core/shape.js";
import { type ElementStorage, itemBytes } from "./bytes.js";
import type { Operand } from "./operand.js";

/** The words of the error for an index outside its axis: `crossEntropy: label 7 of 3 classes`. */
export interface IndexReport {
  /** The function that the user called. */
  readonly op: string;
  /** Name of the index: index, label. */
  readonly item: string;
  /** Name of the indexed elements: rows, classes. */
  readonly unit: string;
}

/** Bytes of the indexed elements; an element that is indexed twice counts twice. */
export function pickedBytes(
  call: { readonly shape: Shape; readonly output: Operand },
  stored: ElementStorage,
): number {
  return sizeOf(call.shape) * itemBytes(call.output.dtype, stored);
}
