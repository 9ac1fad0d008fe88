/**
 * GEMV: few rows times a matrix that is read once, unpacked, at memory bandwidth. If the matrix's columns are contiguous (weights
 * [n][k]), dot products with four columns at a time, a quarter of the matrix apart: memory serves four long streams up to twice as fast as
 * neighbouring columns, two of which may share a page. Otherwise (weights [k][n]) sums of four of its rows at a time. Two rows share the
 * loads of the matrix (8 accumulators or factors and 6 loads fit 15 vector registers). The order of each row's sums, and so its bits,
 * does not depend on the number of rows.
 *
 * A matrix of 16-bit floats gives the same bits as its float32 values: one row widens them in registers; for several rows, four columns
 * are widened into scratch memory.
 */
import { Stored } from "./generated/agreement";
import { constant, loadBfloat16, widen, widenBinary16 } from "./half";
import { fma } from "./simd";

/** Four columns' sums of each of two rows. */
const sums: usize = memory.data(32, 16);
/** Columns of [k][n] summed at a time: four rows of them take half the L1 cache. */
const sumColumns: i32 = 1024;

/**
 * Strides in bytes; b is contiguous along k or, for float32, along n. Scratch memory: m · (k + n + 3) floats, then 4 · k floats if b has
 * 16-bit elements.
 */
export function gemv(
  aFormat: i32, bFormat: i32, m: i32, n: i32, k: i32, a: usize, aM: usize, aK: usize, b: usize, bK: usize, bN: usize,
  output: usize, outputM: usize, outputN: usize, bias: usize, relu: i32, scratch: usize,
): void {
  const isHalf = bFormat != Stored.float32;
  const widened = scratch + (<usize>(m * (k + n + 3)) << 2);
  if (aK != 4 || aFormat != Stored.float32) {
    for (let i = 0; i < m; i++) {
      const row = scratch + (<usize>(i * k) << 2);
      const from = a + <usize>i * aM;
      if (aFormat != Stored.float32) widen(aFormat, row, from, aK, k);
      else for (let p = 0; p < k; p++) store<f32>(row + (<usize>p << 2), load<f32>(from + <usize>p * aK));
    }
    a = scratch;
    aM = <usize>k << 2;
  }
  let result = output;
  let resultM = outputM;
  if (outputN != 4) {
    result = scratch + (<usize>(m * (k + 3)) << 2);
    resultM = <usize>n << 2;
  }
  if (bK == (isHalf ? 2 : 4)) {
    const quarter = n >> 2;
    const apart = <usize>quarter * bN;
    const pitch = isHalf ? <usize>k << 2 : apart;
    for (let j = 0; j < quarter; j++) {
      let columns = b + <usize>j * bN;
      const to = result + (<usize>j << 2);
      if (isHalf) {
        if (m == 1 && (k & 3) == 0) {
          if (bFormat == Stored.bfloat16) dot_bf16_1x4(k, a, columns, apart);
          else dot_f16_1x4(k, a, columns, apart);
          scatter(sums, to, quarter);
          continue;
        }
        for (let c = 0; c < 4; c++) widen(bFormat, widened + <usize>c * pitch, columns + <usize>c * apart, 2, k);
        columns = widened;
      }
      for (let i = 0; i < m; i++) {
        const x = a + <usize>i * aM;
        const row = to + <usize>i * resultM;
        if (i + 1 < m) {
          dot_f32_2x4(k, x, x + aM, columns, pitch);
          scatter(sums + 16, row + resultM, quarter);
          i++;
        } else dot_f32_1x4(k, x, columns, pitch);
        scatter(sums, row, quarter);
      }
    }
    let j = 4 * quarter;
    for (; j < n; j++) {
      let column = b + <usize>j * bN;
      if (isHalf) {
        widen(bFormat, widened, column, 2, k);
        column = widened;
      }
      for (let i = 0; i < m; i++) {
        // The same column four times, in the time of one.
        dot_f32_1x4(k, a + <usize>i * aM, column, 0);
        store<f32>(result + <usize>i * resultM + (<usize>j << 2), load<f32>(sums));
      }
    }
  } else {
    // One row's sums need no blocks, which read the matrix in shorter pieces.
    const width = m == 1 ? n : sumColumns;
    for (let j = 0; j < n; j += width) {
      axpyRows(m, min(n - j, width), k, a, aM, b + (<usize>j << 2), bK, result + (<usize>j << 2), resultM);
    }
  }
  if (bias == 0 && !relu && result == output) return;
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let value = load<f32>(result + (<usize>j << 2));
      if (bias != 0) value += load<f32>(bias + (<usize>j << 2));
      if (relu && value < 0) value = 0;
      store<f32>(output + <usize>j * outputN, value);
    }
    result += resultM;
    output += outputM;
  }
}

/** Four sums to columns that are `apart`. */
function scatter(from: usize, to: usize, apart: i32): void {
  for (let c = 0; c < 4; c++) store<f32>(to + (<usize>(c * apart) << 2), load<f32>(from + (<usize>c << 2)));
}

/** The sums of the lanes of four accumulators, in the order of `horizontalSum`. */
// @ts-ignore: decorator
@inline
function horizontalSums(s0: v128, s1: v128, s2: v128, s3: v128): v128 {
  const x = f32x4.add(i32x4.shuffle(s0, s1, 0, 1, 4, 5), i32x4.shuffle(s0, s1, 2, 3, 6, 7));
  const y = f32x4.add(i32x4.shuffle(s2, s3, 0, 1, 4, 5), i32x4.shuffle(s2, s3, 2, 3, 6, 7));
  return f32x4.add(i32x4.shuffle(x, y, 0, 2, 4, 6), i32x4.shuffle(x, y, 1, 3, 5, 7));
}

/** Adds the terms beyond the whole vectors to four dot products. Not inlined: called after the last use of the accumulators. */
function dotRest(k: i32, x: usize, b: usize, bN: usize, to: usize): void {
  if ((k & 3) == 0) return;
  let sum = v128.load(to);
  for (let p = k & ~3; p < k; p++) {
    const at = <usize>p << 2;
    let c = v128.load32_zero(b + at);
    c = v128.load32_lane(b + bN + at, c, 1);
    c = v128.load32_lane(b + 2 * bN + at, c, 2);
    c = v128.load32_lane(b + 3 * bN + at, c, 3);
    sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(x + at), c));
  }
  v128.store(to, sum);
}

/** One row, four columns; the results in `sums`. */
function dot_f32_1x4(k: i32, x: usize, b: usize, bN: usize): void {
  const b1 = b + bN;
  const b2 = b1 + bN;
  const b3 = b2 + bN;
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  const end = <usize>(k & ~3) << 2;
  for (let at: usize = 0; at < end; at += 16) {
    const v = v128.load(x + at);
    s0 = fma(v, v128.load(b + at), s0);
    s1 = fma(v, v128.load(b1 + at), s1);
    s2 = fma(v, v128.load(b2 + at), s2);
    s3 = fma(v, v128.load(b3 + at), s3);
  }
  v128.store(sums, horizontalSums(s0, s1, s2, s3));
  dotRest(k, x, b, bN, sums);
}

/** One row, four columns of 16-bit floats; k is a multiple of 4. */
function dot_bf16_1x4(k: i32, x: usize, b: usize, bN: usize): void {
  const b1 = b + bN;
  const b2 = b1 + bN;
  const b3 = b2 + bN;
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  const end = <usize>k << 1;
  for (let at: usize = 0; at < end; at += 8) {
    const v = v128.load(x + at + at);
    s0 = fma(v, loadBfloat16(b + at), s0);
    s1 = fma(v, loadBfloat16(b1 + at), s1);
    s2 = fma(v, loadBfloat16(b2 + at), s2);
    s3 = fma(v, loadBfloat16(b3 + at), s3);
  }
  v128.store(sums, horizontalSums(s0, s1, s2, s3));
}

function dot_f16_1x4(k: i32, x: usize, b: usize, bN: usize): void {
  const b1 = b + bN;
  const b2 = b1 + bN;
  const b3 = b2 + bN;
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  const mask = constant(0), factor = constant(1), beyond = constant(2), infinite = constant(3);
  const end = <usize>k << 1;
  for (let at: usize = 0; at < end; at += 8) {
    const v = v128.load(x + at + at);
    s0 = fma(v, widenBinary16(v128.load16x4_s(b + at), mask, factor, beyond, infinite), s0);
    s1 = fma(v, widenBinary16(v128.load16x4_s(b1 + at), mask, factor, beyond, infinite), s1);
    s2 = fma(v, widenBinary16(v128.load16x4_s(b2 + at), mask, factor, beyond, infinite), s2);
    s3 = fma(v, widenBinary16(v128.load16x4_s(b3 + at), mask, factor, beyond, infinite), s3);
  }
  v128.store(sums, horizontalSums(s0, s1, s2, s3));
}

/** Two rows, four columns. */
function dot_f32_2x4(k: i32, x: usize, y: usize, b: usize, bN: usize): void {
  const b1 = b + bN;
  const b2 = b1 + bN;
  const b3 = b2 + bN;
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
  const end = <usize>(k & ~3) << 2;
  for (let at: usize = 0; at < end; at += 16) {
    const v = v128.load(x + at);
    const w = v128.load(y + at);
    const c0 = v128.load(b + at);
    s0 = fma(v, c0, s0);
    t0 = fma(w, c0, t0);
    const c1 = v128.load(b1 + at);
    s1 = fma(v, c1, s1);
    t1 = fma(w, c1, t1);
    const c2 = v128.load(b2 + at);
    s2 = fma(v, c2, s2);
    t2 = fma(w, c2, t2);
    const c3 = v128.load(b3 + at);
    s3 = fma(v, c3, s3);
    t3 = fma(w, c3, t3);
  }
  v128.store(sums, horizontalSums(s0, s1, s2, s3));
  v128.store(sums, horizontalSums(t0, t1, t2, t3), 16);
  dotRest(k, x, b, bN, sums);
  dotRest(k, y, b, bN, sums + 16);
}

/** The sums of all rows over a block of columns. */
function axpyRows(m: i32, n: i32, k: i32, a: usize, aM: usize, b: usize, bK: usize, result: usize, resultM: usize): void {
  for (let i = 0; i < m; i++) memory.fill(result + <usize>i * resultM, 0, <usize>n << 2);
  let p = 0;
  for (; p + 4 <= k; p += 4) {
    let x = a + (<usize>p << 2);
    let to = result;
    let i = 0;
    for (; i + 2 <= m; i += 2) {
      axpy_f32_2x4(n, x, x + aM, b, bK, to, to + resultM);
      x += aM << 1;
      to += resultM << 1;
    }
    if (i < m) axpy_f32_1x4(n, x, b, bK, to);
    b += bK << 2;
  }
  for (; p < k; p++) {
    for (let i = 0; i < m; i++) {
      axpy_f32_1x1(n, load<f32>(a + <usize>i * aM + (<usize>p << 2)), b, result + <usize>i * resultM);
    }
    b += bK;
  }
}

/** to += x₀·b₀ + x₁·b₁ + x₂·b₂ + x₃·b₃ */
function axpy_f32_1x4(n: i32, x: usize, b: usize, bK: usize, to: usize): void {
  const b1 = b + bK;
  const b2 = b1 + bK;
  const b3 = b2 + bK;
  const x0 = v128.load32_splat(x);
  const x1 = v128.load32_splat(x, 4);
  const x2 = v128.load32_splat(x, 8);
  const x3 = v128.load32_splat(x, 12);
  const end = <usize>(n & ~3) << 2;
  for (let at: usize = 0; at < end; at += 16) {
    const first = fma(x1, v128.load(b1 + at), fma(x0, v128.load(b + at), v128.load(to + at)));
    v128.store(to + at, fma(x3, v128.load(b3 + at), fma(x2, v128.load(b2 + at), first)));
  }
  axpyRest(n, x, b, bK, to);
}

/** The same of two rows. */
function axpy_f32_2x4(n: i32, x: usize, y: usize, b: usize, bK: usize, to: usize, toY: usize): void {
  const b1 = b + bK;
  const b2 = b1 + bK;
  const b3 = b2 + bK;
  const x0 = v128.load32_splat(x);
  const x1 = v128.load32_splat(x, 4);
  const x2 = v128.load32_splat(x, 8);
  const x3 = v128.load32_splat(x, 12);
  const y0 = v128.load32_splat(y);
  const y1 = v128.load32_splat(y, 4);
  const y2 = v128.load32_splat(y, 8);
  const y3 = v128.load32_splat(y, 12);
  const end = <usize>(n & ~3) << 2;
  for (let at: usize = 0; at < end; at += 16) {
    let s = v128.load(to + at);
    let t = v128.load(toY + at);
    const c0 = v128.load(b + at);
    s = fma(x0, c0, s);
    t = fma(y0, c0, t);
    const c1 = v128.load(b1 + at);
    s = fma(x1, c1, s);
    t = fma(y1, c1, t);
    const c2 = v128.load(b2 + at);
    s = fma(x2, c2, s);
    t = fma(y2, c2, t);
    const c3 = v128.load(b3 + at);
    v128.store(to + at, fma(x3, c3, s));
    v128.store(toY + at, fma(y3, c3, t));
  }
  axpyRest(n, x, b, bK, to);
  axpyRest(n, y, b, bK, toY);
}

/** The columns beyond the whole vectors. */
function axpyRest(n: i32, x: usize, b: usize, bK: usize, to: usize): void {
  for (let j = n & ~3; j < n; j++) {
    const at = <usize>j << 2;
    const first = load<f32>(to + at) + load<f32>(x) * load<f32>(b + at) + load<f32>(x, 4) * load<f32>(b + bK + at);
    const second = first + load<f32>(x, 8) * load<f32>(b + 2 * bK + at);
    store<f32>(to + at, second + load<f32>(x, 12) * load<f32>(b + 3 * bK + at));
  }
}

function axpy_f32_1x1(n: i32, x: f32, b: usize, result: usize): void {
  for (let j = 0; j < n; j++) {
    store<f32>(result, load<f32>(result) + x * load<f32>(b));
    result += 4;
    b += 4;
  }
}
