/**
 * Packing of int8 rows for the products: panels of 4 rows, [⌈k/4⌉][4 rows][4 values] of bytes or (wide)
 * [⌈k/4⌉ · 2][4 rows][2 values] of int16. Values beyond k are zero, so that the weights there do not matter.
 */

import { addPairs } from "./simd";

/** Per row: output address, correction subtracted from the sums, scale of the input; for convolutions the address of the window. */
export { RowTable } from "./generated/agreement";

/** Sums of four neighbouring bytes, one per lane. */
// @ts-ignore: decorator
@inline
function sumQuads(x: v128): v128 {
  return i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(x));
}

/**
 * Appends k values of four rows to a panel: as int16 if `wide`; else as bytes, and then adds each row's values to its int32 in `total`.
 * k must be a multiple of 4, except in the last call for a panel.
 */
export function pack4(target: usize, wide: bool, p0: usize, p1: usize, p2: usize, p3: usize, k: i32, total: usize): void {
  if (wide) packWide(target, p0, p1, p2, p3, k);
  else packNarrow(target, p0, p1, p2, p3, k, total);
}

function packWide(target: usize, p0: usize, p1: usize, p2: usize, p3: usize, k: i32): void {
  for (; k >= 8; k -= 8) {
    const x0 = v128.load8x8_s(p0);
    const x1 = v128.load8x8_s(p1);
    const x2 = v128.load8x8_s(p2);
    const x3 = v128.load8x8_s(p3);
    const a = i32x4.shuffle(x0, x1, 0, 4, 1, 5);
    const b = i32x4.shuffle(x2, x3, 0, 4, 1, 5);
    const c = i32x4.shuffle(x0, x1, 2, 6, 3, 7);
    const d = i32x4.shuffle(x2, x3, 2, 6, 3, 7);
    v128.store(target, i64x2.shuffle(a, b, 0, 2));
    v128.store(target, i64x2.shuffle(a, b, 1, 3), 16);
    v128.store(target, i64x2.shuffle(c, d, 0, 2), 32);
    v128.store(target, i64x2.shuffle(c, d, 1, 3), 48);
    target += 64;
    p0 += 8;
    p1 += 8;
    p2 += 8;
    p3 += 8;
  }
  for (; k > 0; k -= 4) {
    const x = quads(p0, p1, p2, p3, k);
    const low = i16x8.extend_low_i8x16_s(x);
    const high = i16x8.extend_high_i8x16_s(x);
    v128.store(target, i32x4.shuffle(low, high, 0, 2, 4, 6));
    v128.store(target, i32x4.shuffle(low, high, 1, 3, 5, 7), 16);
    target += 32;
    p0 += 4;
    p1 += 4;
    p2 += 4;
    p3 += 4;
  }
}

function packNarrow(target: usize, p0: usize, p1: usize, p2: usize, p3: usize, k: i32, total: usize): void {
  let sums = v128.load(total);
  for (; k >= 16; k -= 16) {
    const x0 = v128.load(p0);
    const x1 = v128.load(p1);
    const x2 = v128.load(p2);
    const x3 = v128.load(p3);
    const a = i32x4.shuffle(x0, x1, 0, 4, 1, 5);
    const b = i32x4.shuffle(x2, x3, 0, 4, 1, 5);
    const c = i32x4.shuffle(x0, x1, 2, 6, 3, 7);
    const d = i32x4.shuffle(x2, x3, 2, 6, 3, 7);
    const y0 = i64x2.shuffle(a, b, 0, 2);
    const y1 = i64x2.shuffle(a, b, 1, 3);
    const y2 = i64x2.shuffle(c, d, 0, 2);
    const y3 = i64x2.shuffle(c, d, 1, 3);
    v128.store(target, y0);
    v128.store(target, y1, 16);
    v128.store(target, y2, 32);
    v128.store(target, y3, 48);
    // Sums of four pairs of bytes fit int16.
    const pairs = i16x8.add(
      i16x8.add(i16x8.extadd_pairwise_i8x16_s(y0), i16x8.extadd_pairwise_i8x16_s(y1)),
      i16x8.add(i16x8.extadd_pairwise_i8x16_s(y2), i16x8.extadd_pairwise_i8x16_s(y3)),
    );
    sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_s(pairs));
    target += 64;
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
  }
  for (; k > 0; k -= 4) {
    const x = quads(p0, p1, p2, p3, k);
    v128.store(target, x);
    sums = i32x4.add(sums, sumQuads(x));
    target += 16;
    p0 += 4;
    p1 += 4;
    p2 += 4;
    p3 += 4;
  }
  v128.store(total, sums);
}

/** Four bytes of each of four rows, zeros from the count-th on. */
// @ts-ignore: decorator
@inline
function quads(p0: usize, p1: usize, p2: usize, p3: usize, count: i32): v128 {
  let x = i32x4.splat(word(p0, count));
  x = i32x4.replace_lane(x, 1, word(p1, count));
  x = i32x4.replace_lane(x, 2, word(p2, count));
  return i32x4.replace_lane(x, 3, word(p3, count));
}

/** Four bytes, zeros from the count-th on. */
function word(at: usize, count: i32): i32 {
  if (count >= 4) return load<i32>(at);
  let result: i32 = load<u8>(at);
  if (count > 1) result |= (<i32>load<u8>(at, 1)) << 8;
  if (count > 2) result |= (<i32>load<u8>(at, 2)) << 16;
  return result;
}

/** Copies strided bytes to contiguous ones. */
export function gatherBytes(target: usize, source: usize, stride: i32, count: i32): void {
  if (stride == 1) {
    for (; count >= 16; count -= 16) {
      v128.store(target, v128.load(source));
      target += 16;
      source += 16;
    }
  }
  for (; count > 0; count--) {
    store<u8>(target, load<u8>(source));
    target++;
    source += stride;
  }
}

/** Packs a single row as bytes or (`wide`) int16, with zeros up to a multiple of 4; returns the sum of the values. */
export function packRow(target: usize, wide: bool, source: usize, stride: i32, k: i32): i32 {
  let sums = i32x4.splat(0);
  let p = 0;
  if (stride == 1) {
    for (; p + 8 <= k; p += 8) {
      const x = v128.load8x8_s(source);
      sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_s(x));
      if (wide) v128.store(target + (<usize>p << 1), x);
      else store<i64>(target + p, load<i64>(source));
      source += 8;
    }
  }
  sums = addPairs(sums, sums);
  let sum = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1);
  for (; p < k; p++) {
    const value = load<i8>(source);
    source += stride;
    sum += value;
    if (wide) store<i16>(target + (<usize>p << 1), value);
    else store<i8>(target + p, value);
  }
  for (let p = k; (p & 3) != 0; p++) {
    if (wide) store<i16>(target + (<usize>p << 1), 0);
    else store<i8>(target + p, 0);
  }
  return sum;
}
