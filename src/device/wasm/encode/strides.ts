/** Iteration spaces of the kernels: dimensions reordered and coalesced. */
import { type DType, isHalf } from "../../../core/dtype.js";
import type { Shape } from "../../../core/shape.js";

export interface IterationSpace {
  readonly extents: number[];
  /** Per operand, one stride per extent. */
  readonly strides: number[][];
}

/**
 * Coalesces the dimensions of `shape` in `order` (outermost first): drops extents of 1 and joins neighbours that one stride covers in
 * every operand. At least one dimension is left.
 */
export function coalesce(
  shape: Shape,
  order: readonly number[],
  operands: readonly (readonly number[])[],
): IterationSpace {
  const extents: number[] = [];
  const strides: number[][] = operands.map(() => []);
  for (const d of order) {
    const extent = shape[d];
    if (extent === 1) continue;
    const last = extents.length - 1;
    if (last >= 0 && operands.every((operand, k) => strides[k][last] === extent * operand[d])) {
      extents[last] *= extent;
      operands.forEach((operand, k) => {
        strides[k][last] = operand[d];
      });
    } else {
      extents.push(extent);
      operands.forEach((operand, k) => {
        strides[k].push(operand[d]);
      });
    }
  }
  if (extents.length === 0) {
    extents.push(1);
    for (const list of strides) list.push(0);
  }
  return { extents, strides };
}

/** True if element p in iteration order is element p in memory. */
export function isLinear(extents: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let d = extents.length - 1; d >= 0; d--) {
    if (extents[d] !== 1 && strides[d] !== step) return false;
    step *= extents[d];
  }
  return true;
}

/** Numbers of the float formats in payloads. */
export const Stored = { float16: 0, bfloat16: 1, float32: 2 } as const;

/**
 * Conversions between elements of a view and four-byte lanes. `iota` lanes are the element offsets; no memory is read. 16-bit floats are
 * widened and narrowed: `loadHalf` and `storeHalf` plus the number of the format.
 */
export const Access = {
  ...{ load32: 0, loadU8: 1, loadI8: 2, iota: 3, store32: 4, store8: 5 },
  ...{ loadHalf: 6, storeHalf: 8 },
} as const;

export function loadAccess(dtype: DType): number {
  if (dtype === "float32" || dtype === "int32") return Access.load32;
  if (isHalf(dtype)) return Access.loadHalf + Stored[dtype];
  return dtype === "int8" ? Access.loadI8 : Access.loadU8;
}

export function storeAccess(dtype: DType): number {
  if (isHalf(dtype)) return Access.storeHalf + Stored[dtype];
  return dtype === "float32" || dtype === "int32" ? Access.store32 : Access.store8;
}
