/**
 * Packing of int8 rows for the products: panels of 4 rows, [⌈k/4⌉][4 rows][4 values], as bytes or (wide) as 16 bits. Behind
 * the last value come zeros, which is right whatever the weights there stand for.
 */

/** What a row needs: where it goes, what is taken off its sums, its input's scale; of convolutions, where its window starts. */
export namespace RowTable {
  export const address: usize = 0;
  export const correction: usize = 4;
  export const scale: usize = 8;
  export const window: usize = 12;
  export const bytes: usize = 16;
}

/** Four values of each of four rows, on their way to memory. */
// @ts-ignore: decorator
@inline
function put(target: usize, x: v128, wide: bool): void {
  if (wide) {
    v128.store(target, i16x8.extend_low_i8x16_s(x));
    v128.store(target, i16x8.extend_high_i8x16_s(x), 16);
  } else {
    v128.store(target, x);
  }
}

/** Four rows' sums of four values each. */
// @ts-ignore: decorator
@inline
function sumQuads(x: v128): v128 {
  return i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(x));
}

/** Appends k values of four rows to a panel and adds them to the four `total`s. Only the last run's k may be other than a multiple of 4. */
export function pack4(target: usize, wide: bool, p0: usize, p1: usize, p2: usize, p3: usize, k: i32, total: usize): void {
  const pitch: usize = wide ? 32 : 16;
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
    put(target, y0, wide);
    put(target + pitch, y1, wide);
    put(target + 2 * pitch, y2, wide);
    put(target + 3 * pitch, y3, wide);
    sums = i32x4.add(sums, i32x4.add(i32x4.add(sumQuads(y0), sumQuads(y1)), i32x4.add(sumQuads(y2), sumQuads(y3))));
    target += pitch << 2;
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
  }
  for (; k > 0; k -= 4) {
    let x = i32x4.splat(word(p0, k));
    x = i32x4.replace_lane(x, 1, word(p1, k));
    x = i32x4.replace_lane(x, 2, word(p2, k));
    x = i32x4.replace_lane(x, 3, word(p3, k));
    put(target, x, wide);
    sums = i32x4.add(sums, sumQuads(x));
    target += pitch;
    p0 += 4;
    p1 += 4;
    p2 += 4;
    p3 += 4;
  }
  v128.store(total, sums);
}

/** Four bytes, zeros from the count-th on. */
// @ts-ignore: decorator
@inline
function word(at: usize, count: i32): i32 {
  if (count >= 4) return load<i32>(at);
  let result: i32 = load<u8>(at);
  if (count > 1) result |= (<i32>load<u8>(at, 1)) << 8;
  if (count > 2) result |= (<i32>load<u8>(at, 2)) << 16;
  return result;
}

/** Elements of any stride, one after the other. */
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

/** One row for the single-row products, zeros up to a multiple of 4, as bytes or as 16 bits; returns the sum. */
export function packRow(target: usize, wide: bool, source: usize, stride: i32, k: i32): i32 {
  let sum = 0;
  for (let p = 0; p < k; p++) {
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
