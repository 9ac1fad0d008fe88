/**
 * Epilogues: an expression that a product or a convolution applies to blocks of its output as soon as they are complete, while
 * they are in the cache. Encoded as `map` over the output in place, behind the kernel's own payload.
 */
import { open, setBlockOrigin } from "./expression";
import { mapRange } from "./map";

let outputs: usize = 0;

/** @param present 0: there is none. @returns the expression, to be given to `finishRows`; 0 if there is none. */
export function openEpilogue(present: i32, expression: usize): usize {
  if (!present) return 0;
  outputs = open(expression);
  return expression;
}

/** Columns `from` to `to` of `rows` rows of a matrix of `width` columns, whose first element has the number `start`. */
export function finishRows(expression: usize, start: i32, width: i32, rows: i32, from: i32, to: i32): void {
  if (to - from == width) mapRange(expression, outputs, start, start + rows * width);
  else for (let i = 0; i < rows; i++) mapRange(expression, outputs, start + i * width + from, start + i * width + to);
}

/** `count` elements from number `start` on, whose values lie in a block at `values`. */
export function finishValues(expression: usize, start: i32, count: i32, values: usize): void {
  setBlockOrigin(values - (<isize>start << 2));
  mapRange(expression, outputs, start, start + count);
}
