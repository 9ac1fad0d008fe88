/** Dimensions as the kernels walk them: reordered, and joined where one stride per operand can walk both. */
import { type DType, isHalf } from "../../../core/dtype.js";
import type { Shape } from "../../../core/shape.js";

export interface Walk {
  readonly extents: number[];
  /** Per operand, one stride per extent. */
  readonly strides: number[][];
}

/**
 * Takes the dimensions of `shape` in `order` (outermost first), drops extents of 1 and joins neighbours that every
 * operand can walk with one stride. At least one dimension is left.
 */
export function collapse(
  shape: Shape,
  order: readonly number[],
  operands: readonly (readonly number[])[],
): Walk {
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

/** True if element p of the walk is element p behind the operand's address. */
export function isLinear(extents: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let d = extents.length - 1; d >= 0; d--) {
    if (extents[d] !== 1 && strides[d] !== step) return false;
    step *= extents[d];
  }
  return true;
}

/** How kernels tell floats of different widths apart. */
export const Stored = { float16: 0, bfloat16: 1, float32: 2 } as const;

/**
 * How the elements of a view become four-byte lanes. `iota` lanes are the offsets themselves, without memory behind. Halves are
 * widened and narrowed: the number of their format comes on top of `loadHalf` and `storeHalf`.
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
