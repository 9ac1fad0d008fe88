/**
 * Epilogues: an expression that a product or a convolution applies to each block of its output once it is complete and still in the
 * cache. Encoded as an in-place `map` over the output, after the kernel's own payload.
 */
import { open, setBlockOrigin } from "./expression";
import { mapRange } from "./map";

let outputs: usize = 0;

/** @param present 0 if the kernel has no epilogue. @returns the expression, for `applyToRows`; 0 without epilogue. */
export function openEpilogue(present: i32, expression: usize): usize {
  if (!present) return 0;
  outputs = open(expression);
  return expression;
}

/** Applies it to columns `from` to `to` of `rows` rows of a matrix with `width` columns, whose first element has index `start`. */
export function applyToRows(expression: usize, start: i32, width: i32, rows: i32, from: i32, to: i32): void {
  if (to - from == width) mapRange(expression, outputs, start, start + rows * width);
  else for (let i = 0; i < rows; i++) mapRange(expression, outputs, start + i * width + from, start + i * width + to);
}

/** Applies it to `count` elements from index `start` on, whose values are in a block at `values`. */
export function applyToValues(expression: usize, start: i32, count: i32, values: usize): void {
  setBlockOrigin(values - (<isize>start << 2));
  mapRange(expression, outputs, start, start + count);
}
