/** Shape arithmetic: sizes, broadcasting, dimension numbers. Shapes are plain arrays of non-negative integers. */
import { anInteger, check, integers, wrong } from "./check.js";
import { ArgumentError, ShapeError } from "./errors.js";

/** Extents of a tensor's dimensions, non-negative integers; [] for rank 0. */
export type Shape = readonly number[];

/** Number of elements; 1 for a rank-0 shape. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const extent of shape) size *= extent;
  return size;
}

/** `[32, 128]`, as error messages and tables show a shape. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * The shape both operands broadcast to, by NumPy's rules: aligned at the last dimension, extents equal or 1.
 * @throws ShapeError naming `op` and both shapes.
 */
export function broadcastShapes(a: Shape, b: Shape, op: string): number[] {
  const rank = Math.max(a.length, b.length);
  const result = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const x = i <= a.length ? a[a.length - i] : 1;
    const y = i <= b.length ? b[b.length - i] : 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(`shapes do not broadcast, ${formatShape(a)} and ${formatShape(b)}`, { op });
    }
    result[rank - i] = x === 1 ? y : x;
  }
  return result;
}

/** Turns a possibly negative dimension number into 0..rank-1. */
export function normalizeDim(dim: number, rank: number, op: string): number {
  const result = dim < 0 ? dim + rank : dim;
  if (!Number.isInteger(dim)) throw wrong(op, "dim", dim, anInteger);
  if (result < 0 || result >= rank) {
    throw new ArgumentError(`dim ${dim} is out of range for a tensor of rank ${rank}`, { op });
  }
  return result;
}

/** Normalizes one, several or all (undefined) dimension numbers; sorted, without duplicates. */
export function normalizeDims(
  dims: number | readonly number[] | undefined,
  rank: number,
  op: string,
): number[] {
  if (dims === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = typeof dims === "number" ? [dims] : check(op, "dims", dims, integers);
  const result = list.map((dim) => normalizeDim(dim, rank, op)).sort((a, b) => a - b);
  if (new Set(result).size !== result.length) {
    throw new ArgumentError(`dim appears more than once in [${list.join(", ")}]`, { op });
  }
  return result;
}

/** Checks that a user-given shape consists of non-negative integers and is not absurdly large. */
export function checkShape(shape: Shape, op: string): void {
  check(op, "the shape", shape, integers);
  for (const extent of shape) {
    if (!Number.isInteger(extent) || extent < 0) {
      throw new ShapeError(`extents are non-negative integers, got ${formatShape(shape)}`, { op });
    }
  }
  if (sizeOf(shape) > 2 ** 31 - 1) {
    throw new ShapeError(`${formatShape(shape)} has more than 2^31 - 1 elements`, { op });
  }
}
