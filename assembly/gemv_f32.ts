/**
 * Few rows times a matrix, at the speed of memory: the matrix is read once per row, where it lies. Two forms: dots of
 * the row with four of the matrix's columns at once where those are contiguous (weights [n][k]), and sums of four of
 * its rows at once otherwise (weights [k][n]).
 */
import { fma, horizontalSum } from "./simd";

/** Strides in bytes; b is contiguous along n or along k. The scratch holds k + n floats. */
export function gemv(
  m: i32, n: i32, k: i32, a: usize, aM: usize, aK: usize, b: usize, bK: usize, bN: usize,
  output: usize, outputM: usize, outputN: usize, bias: usize, relu: i32, scratch: usize,
): void {
  const row = scratch;
  const result = scratch + ((<usize>k + 3) << 2);
  for (let i = 0; i < m; i++) {
    let x = a + <usize>i * aM;
    if (aK != 4) {
      for (let p = 0; p < k; p++) store<f32>(row + (<usize>p << 2), load<f32>(x + <usize>p * aK));
      x = row;
    }
    if (bK == 4) dots(n, k, x, b, bN, result);
    else sums(n, k, x, b, bK, result);
    for (let j = 0; j < n; j++) {
      let value = load<f32>(result + (<usize>j << 2));
      if (bias != 0) value += load<f32>(bias + (<usize>j << 2));
      if (relu && value < 0) value = 0;
      store<f32>(output + <usize>i * outputM + <usize>j * outputN, value);
    }
  }
}

function dots(n: i32, k: i32, x: usize, b: usize, bN: usize, result: usize): void {
  let j = 0;
  for (; j + 4 <= n; j += 4) dot4(k, x, b + <usize>j * bN, bN, result + (<usize>j << 2));
  for (; j < n; j++) store<f32>(result + (<usize>j << 2), dot(k, x, b + <usize>j * bN));
}

/** Four dot products that share one operand. */
// @ts-ignore: decorator
@inline
function dot4(k: i32, x: usize, b: usize, bN: usize, result: usize): void {
  let b1 = b + bN;
  let b2 = b1 + bN;
  let b3 = b2 + bN;
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  let p = 0;
  for (; p + 4 <= k; p += 4) {
    const v = v128.load(x);
    s0 = fma(v, v128.load(b), s0);
    s1 = fma(v, v128.load(b1), s1);
    s2 = fma(v, v128.load(b2), s2);
    s3 = fma(v, v128.load(b3), s3);
    x += 16;
    b += 16;
    b1 += 16;
    b2 += 16;
    b3 += 16;
  }
  let r0 = horizontalSum(s0), r1 = horizontalSum(s1), r2 = horizontalSum(s2), r3 = horizontalSum(s3);
  for (; p < k; p++) {
    const v = load<f32>(x);
    r0 += v * load<f32>(b);
    r1 += v * load<f32>(b1);
    r2 += v * load<f32>(b2);
    r3 += v * load<f32>(b3);
    x += 4;
    b += 4;
    b1 += 4;
    b2 += 4;
    b3 += 4;
  }
  store<f32>(result, r0);
  store<f32>(result, r1, 4);
  store<f32>(result, r2, 8);
  store<f32>(result, r3, 12);
}

function dot(k: i32, x: usize, b: usize): f32 {
  let s = f32x4.splat(0);
  let p = 0;
  for (; p + 4 <= k; p += 4) {
    s = fma(v128.load(x), v128.load(b), s);
    x += 16;
    b += 16;
  }
  let r = horizontalSum(s);
  for (; p < k; p++) {
    r += load<f32>(x) * load<f32>(b);
    x += 4;
    b += 4;
  }
  return r;
}

function sums(n: i32, k: i32, x: usize, b: usize, bK: usize, result: usize): void {
  for (let j = 0; j < n; j++) store<f32>(result + (<usize>j << 2), 0);
  let p = 0;
  for (; p + 4 <= k; p += 4) sum4(n, x + (<usize>p << 2), b + <usize>p * bK, bK, result);
  for (; p < k; p++) sum1(n, load<f32>(x + (<usize>p << 2)), b + <usize>p * bK, result);
}

/** result += x₀·b₀ + x₁·b₁ + x₂·b₂ + x₃·b₃ */
// @ts-ignore: decorator
@inline
function sum4(n: i32, x: usize, b: usize, bK: usize, result: usize): void {
  let b1 = b + bK;
  let b2 = b1 + bK;
  let b3 = b2 + bK;
  const x0 = v128.load32_splat(x);
  const x1 = v128.load32_splat(x, 4);
  const x2 = v128.load32_splat(x, 8);
  const x3 = v128.load32_splat(x, 12);
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    const first = fma(x1, v128.load(b1), fma(x0, v128.load(b), v128.load(result)));
    v128.store(result, fma(x3, v128.load(b3), fma(x2, v128.load(b2), first)));
    result += 16;
    b += 16;
    b1 += 16;
    b2 += 16;
    b3 += 16;
  }
  for (; j < n; j++) {
    const first = load<f32>(result) + f32x4.extract_lane(x0, 0) * load<f32>(b) + f32x4.extract_lane(x1, 0) * load<f32>(b1);
    store<f32>(result, first + f32x4.extract_lane(x2, 0) * load<f32>(b2) + f32x4.extract_lane(x3, 0) * load<f32>(b3));
    result += 4;
    b += 4;
    b1 += 4;
    b2 += 4;
    b3 += 4;
  }
}

function sum1(n: i32, x: f32, b: usize, result: usize): void {
  for (let j = 0; j < n; j++) {
    store<f32>(result, load<f32>(result) + x * load<f32>(b));
    result += 4;
    b += 4;
  }
}
