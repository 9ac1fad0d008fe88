/**
 * int8 matrix product: tiles of 4 rows × 8 columns with int32 sums, from packed rows (pack_i8.ts) and panels of weights
 * (src/device/packed.ts). Names tell rows × columns and how many values of a row stand together (c4).
 *
 * Exact products: rows widened to 16 bits when they are packed, weights while they are loaded. The relaxed binary has a
 * faster way for weights that are stored as 0..127: there the sum of two products of 8 bits fits 16 bits.
 */
import { Finish, finishTile } from "./quantized_epilogue";
import { RowTable } from "./pack_i8";
import { onesI16, relaxedDot } from "./simd";

/** Whether rows are packed as 16 bits, for the exact products. */
// @ts-ignore: decorator
@inline
export function isWide(finish: usize): bool {
  if (ASC_FEATURE_RELAXED_SIMD) return load<i32>(finish, Finish.storedOffset) == 0;
  return true;
}

/**
 * Packed rows × all panels of weights → finished rows from output column `first` on. `table` has an entry per row,
 * `steps` is ⌈k/4⌉, `tile` room for one tile.
 */
export function multiplyBlock(
  finish: usize, rows: i32, table: usize, packed: usize, panels: usize, steps: i32, n: i32, first: i32, tile: usize,
): void {
  const wide = isWide(finish);
  const rowBytes = <usize>steps << (wide ? 3 : 2);
  for (let j = 0; j < n; j += 8) {
    const width = min(8, n - j);
    for (let i = 0; i < rows; i += 4) {
      tile4x8c4(wide, steps, packed + <usize>i * rowBytes, panels, tile);
      finishTile(finish, tile, table + <usize>i * RowTable.bytes, min(4, rows - i), first + j, width);
    }
    panels += <usize>steps << 5;
  }
}

/** The sums of one tile, [4, 8]. */
// @ts-ignore: decorator
@inline
function tile4x8c4(wide: bool, steps: i32, a: usize, b: usize, tile: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (!wide) {
      relaxed4x8c4(steps, a, b, tile);
      return;
    }
  }
  exact4x4c4(steps, a, b, tile);
  exact4x4c4(steps, a, b + 16, tile + 16);
}

/**
 * Half a tile: 8 accumulators and 6 loads, which is all that 15 vector registers hold. A lane sums two of a column's four
 * products, so that lanes are added in pairs at the end.
 */
function exact4x4c4(steps: i32, a: usize, b: usize, tile: usize): void {
  let c00 = i32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  for (; steps > 0; steps--) {
    const b0 = v128.load8x8_s(b);
    const b1 = v128.load8x8_s(b, 8);
    const a0 = v128.load64_splat(a);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(a0, b0));
    c01 = i32x4.add(c01, i32x4.dot_i16x8_s(a0, b1));
    const a1 = v128.load64_splat(a, 8);
    c10 = i32x4.add(c10, i32x4.dot_i16x8_s(a1, b0));
    c11 = i32x4.add(c11, i32x4.dot_i16x8_s(a1, b1));
    const a2 = v128.load64_splat(a, 16);
    c20 = i32x4.add(c20, i32x4.dot_i16x8_s(a2, b0));
    c21 = i32x4.add(c21, i32x4.dot_i16x8_s(a2, b1));
    const a3 = v128.load64_splat(a, 24);
    c30 = i32x4.add(c30, i32x4.dot_i16x8_s(a3, b0));
    c31 = i32x4.add(c31, i32x4.dot_i16x8_s(a3, b1));
    a += 32;
    b += 32;
  }
  v128.store(tile, addPairs(c00, c01));
  v128.store(tile, addPairs(c10, c11), 32);
  v128.store(tile, addPairs(c20, c21), 64);
  v128.store(tile, addPairs(c30, c31), 96);
}

/** Sums of neighbouring lanes. */
// @ts-ignore: decorator
@inline
export function addPairs(x: v128, y: v128): v128 {
  return i32x4.add(i32x4.shuffle(x, y, 0, 2, 4, 6), i32x4.shuffle(x, y, 1, 3, 5, 7));
}

function relaxed4x8c4(steps: i32, a: usize, b: usize, tile: usize): void {
  let c00 = i32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  const ones = v128.load(onesI16);
  for (; steps > 0; steps--) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.load32_splat(a);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(relaxedDot(a0, b0), ones));
    c01 = i32x4.add(c01, i32x4.dot_i16x8_s(relaxedDot(a0, b1), ones));
    const a1 = v128.load32_splat(a, 4);
    c10 = i32x4.add(c10, i32x4.dot_i16x8_s(relaxedDot(a1, b0), ones));
    c11 = i32x4.add(c11, i32x4.dot_i16x8_s(relaxedDot(a1, b1), ones));
    const a2 = v128.load32_splat(a, 8);
    c20 = i32x4.add(c20, i32x4.dot_i16x8_s(relaxedDot(a2, b0), ones));
    c21 = i32x4.add(c21, i32x4.dot_i16x8_s(relaxedDot(a2, b1), ones));
    const a3 = v128.load32_splat(a, 12);
    c30 = i32x4.add(c30, i32x4.dot_i16x8_s(relaxedDot(a3, b0), ones));
    c31 = i32x4.add(c31, i32x4.dot_i16x8_s(relaxedDot(a3, b1), ones));
    a += 16;
    b += 32;
  }
  v128.store(tile, c00);
  v128.store(tile, c01, 16);
  v128.store(tile, c10, 32);
  v128.store(tile, c11, 48);
  v128.store(tile, c20, 64);
  v128.store(tile, c21, 80);
  v128.store(tile, c30, 96);
  v128.store(tile, c31, 112);
}
