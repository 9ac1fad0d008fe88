/** Operands of kernel calls: slots of a Program, read or written through strided views. */
import type { DType } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import type { View } from "../core/view.js";

/** A slot read or written through a strided view (in elements of `dtype`). */
export interface Operand {
  readonly slot: number;
  readonly dtype: DType;
  readonly view: View;
}

/** Whether the operand has no elements. */
export function isEmpty({ view }: Operand): boolean {
  return sizeOf(view.shape) === 0;
}
