/**
 * Scaling, masking and softmax numerators of one contiguous row of attention scores, for the GEMV path. attention_f32.ts has the
 * same for panels of 8 rows.
 */
import { constant, exp, expTable } from "./math";
import { horizontalSum } from "./simd";

/** Vectors of weights summed in float32 before they are added to the float64 total. */
const vectorsPerPartialSum: i32 = 128;

/** The maximum that softmax subtracts; 0 for rows without a visible key, whose maximum is −∞: −∞ − (−∞) would be NaN. */
// @ts-ignore: decorator
@inline
export function finiteOrZero(largest: v128): v128 {
  return v128.andnot(largest, f32x4.eq(largest, f32x4.splat(-Infinity)));
}

/** Scales and masks the scores in place. `step` is the stride of the mask in bytes; bool masks scores where it is false. */
export function maskRow(row: usize, n: i32, scale: f32, mask: usize, step: i32, isBool: i32): void {
  const scales = f32x4.splat(scale);
  const hidden = f32x4.splat(-Infinity);
  let j = 0;
  if (step == (isBool ? 1 : 4)) {
    for (; j + 4 <= n; j += 4) {
      const x = f32x4.mul(v128.load(row), scales);
      if (isBool) {
        const shown = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(mask)));
        v128.store(row, v128.bitselect(x, hidden, i32x4.ne(shown, i32x4.splat(0))));
      } else v128.store(row, f32x4.add(x, v128.load(mask)));
      row += 16;
      mask += step << 2;
    }
  }
  for (; j < n; j++) {
    const x = load<f32>(row) * scale;
    if (isBool) store<f32>(row, load<u8>(mask) != 0 ? x : -Infinity);
    else store<f32>(row, x + load<f32>(mask));
    row += 4;
    mask += step;
  }
}

/**
 * Softmax numerators of a row, in place: e^(scale · x − maximum); returns their sum, 0 without a visible key. The maximum ignores NaN;
 * the sum then becomes NaN. Lanes of the last vector beyond the row become 0.
 */
export function rowNumerators(row: usize, n: i32, scale: f32): f32 {
  const scales = f32x4.splat(scale);
  const whole = n & ~3;
  let largest = f32x4.splat(-Infinity);
  for (let j = 0; j < whole; j += 4) {
    const at = row + (<usize>j << 2);
    const x = f32x4.mul(v128.load(at), scales);
    v128.store(at, x);
    largest = f32x4.pmax(largest, x);
  }
  if (whole < n) {
    const at = row + (<usize>whole << 2);
    const inside = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(n - whole));
    const x = v128.bitselect(f32x4.mul(v128.load(at), scales), f32x4.splat(-Infinity), inside);
    v128.store(at, x);
    largest = f32x4.pmax(largest, x);
  }
  largest = f32x4.pmax(largest, i32x4.shuffle(largest, largest, 2, 3, 0, 1));
  largest = f32x4.pmax(largest, i32x4.shuffle(largest, largest, 1, 0, 3, 2));
  largest = finiteOrZero(largest);
  const c0 = constant(expTable, 0);
  const c1 = constant(expTable, 1);
  const c2 = constant(expTable, 2);
  const c3 = constant(expTable, 3);
  const c4 = constant(expTable, 4);
  const c5 = constant(expTable, 5);
  const c6 = constant(expTable, 6);
  const c7 = constant(expTable, 7);
  const c8 = constant(expTable, 8);
  const c9 = constant(expTable, 9);
  const c10 = constant(expTable, 10);
  const c11 = constant(expTable, 11);
  const c12 = constant(expTable, 12);
  let total: f64 = 0;
  let vectors = (n + 3) >> 2;
  while (vectors > 0) {
    let sum = f32x4.splat(0);
    let count = min(vectors, vectorsPerPartialSum);
    vectors -= count;
    for (; count > 0; count--) {
      const x = f32x4.sub(v128.load(row), largest);
      const weight = exp(x, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12);
      v128.store(row, weight);
      sum = f32x4.add(sum, weight);
      row += 16;
    }
    total += <f64>horizontalSum(sum);
  }
  return <f32>total;
}
