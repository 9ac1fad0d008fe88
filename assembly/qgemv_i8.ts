/** Few int8 rows times packed weights of 8 or 7 bits, a piece of a panel at a time (qgemv.ts). */
import { pieceSteps } from "./generated/agreement";
import { multiplyPieces } from "./qgemv";
import { isWide } from "./qgemm_i8";
import { addPairs, onesI16, relaxedDot } from "./simd";

/** Eight int32 sums. */
export const exact: usize = memory.data(32, 16);

let allSteps: i32 = 0;

/** Contiguous packed rows (`packRow`) × all panels of weights. `sums` is scratch memory: eight sums for each row and stream. */
export function multiplyRows(
  dequantization: usize, rows: i32, table: usize, packed: usize, panels: usize, steps: i32, n: i32, sums: usize,
): void {
  const wide = isWide(dequantization);
  allSteps = steps;
  multiplyPieces(
    wide ? exactPiece : relaxedPiece, (steps + pieceSteps - 1) / pieceSteps, rows, packed, <usize>steps << (wide ? 3 : 2), panels,
    <usize>steps << 5, n, dequantization, table, sums, false,
  );
}

/** Adds to eight int32 sums. */
// @ts-ignore: decorator
@inline
function addSums(sums: usize, x: v128, y: v128): void {
  v128.store(sums, i32x4.add(v128.load(sums), x));
  v128.store(sums, i32x4.add(v128.load(sums, 16), y), 16);
}

function exactPiece(piece: i32, x: usize, b: usize, index: i32, sums: usize): void {
  const first = piece * pieceSteps;
  exact1x8c4(min(pieceSteps, allSteps - first), x + (<usize>first << 3), b + (<usize>first << 5));
  addSums(sums, v128.load(exact), v128.load(exact, 16));
}

/** Writes the exact sums of a row of int16 × eight columns to `exact`. */
export function exact1x8c4(steps: i32, x: usize, b: usize): void {
  let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  for (; steps > 0; steps--) {
    const a = v128.load64_splat(x);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(a, v128.load8x8_s(b)));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(a, v128.load8x8_s(b, 8)));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(a, v128.load8x8_s(b, 16)));
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(a, v128.load8x8_s(b, 24)));
    x += 8;
    b += 32;
  }
  v128.store(exact, addPairs(c0, c1));
  v128.store(exact, addPairs(c2, c3), 16);
}

function relaxedPiece(piece: i32, x: usize, b: usize, index: i32, sums: usize): void {
  if (!ASC_FEATURE_RELAXED_SIMD) return;
  let c0 = i32x4.splat(0), c1 = c0;
  const ones = v128.load(onesI16);
  const first = piece * pieceSteps;
  x += <usize>first << 2;
  b += <usize>first << 5;
  for (let steps = min(pieceSteps, allSteps - first); steps > 0; steps--) {
    const a = v128.load32_splat(x);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(b)), ones));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(b, 16)), ones));
    x += 4;
    b += 32;
  }
  addSums(sums, c0, c1);
}
