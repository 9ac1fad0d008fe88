/**
 * Loops over a block for the functions with many constants, which are read from their tables once per block. The same
 * arguments as in map_unary.ts.
 */
import * as math from "./math";
import { constant } from "./math";
import { fma, fnma } from "./simd";

export function exp(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const c0 = constant(math.expTable, 0);
  const c1 = constant(math.expTable, 1);
  const c2 = constant(math.expTable, 2);
  const c3 = constant(math.expTable, 3);
  const c4 = constant(math.expTable, 4);
  const c5 = constant(math.expTable, 5);
  const c6 = constant(math.expTable, 6);
  const c7 = constant(math.expTable, 7);
  const c8 = constant(math.expTable, 8);
  const c9 = constant(math.expTable, 9);
  const c10 = constant(math.expTable, 10);
  const c11 = constant(math.expTable, 11);
  const c12 = constant(math.expTable, 12);
  while (lanes > 0) {
    const x = v128.load(a);
    v128.store(d, math.exp(x, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12));
    a += 16;
    d += 16;
    lanes -= 4;
  }
}

/** e^x − 1: with x = n·ln 2 + r, (e^r − 1) + (1 − 2^-n), times 2^n in two halves, so that nothing cancels near 0. */
export function expm1(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const c1 = constant(math.expTable, 1);
  const c2 = constant(math.expTable, 2);
  const c3 = constant(math.expTable, 3);
  const c4 = constant(math.expTable, 4);
  const c5 = constant(math.expTable, 5);
  const c6 = constant(math.expTable, 6);
  const c7 = constant(math.expTable, 7);
  const c8 = constant(math.expTable, 8);
  const c9 = constant(math.expTable, 9);
  const c10 = constant(math.expTable, 10);
  const c11 = constant(math.expTable, 11);
  const one = constant(math.expTable, 12);
  // From here down the result rounds to −1.
  const least = f32x4.splat(-18);
  // x²/2 is below half a unit in the last place of x: keeps −0 and subnormal numbers.
  const tiny = f32x4.splat(5.9604645e-8);
  while (lanes > 0) {
    const input = v128.load(a);
    // In this operand order both keep NaN.
    const x = f32x4.pmax(f32x4.pmin(input, c1), least);
    const shifted = f32x4.add(f32x4.mul(x, c2), c3);
    const n = f32x4.sub(shifted, c3);
    const r = fnma(n, c5, fnma(n, c4, x));
    let p = fma(c6, r, c7);
    p = fma(p, r, c8);
    p = fma(p, r, c9);
    p = fma(p, r, c10);
    p = fma(p, r, c11);
    p = fma(p, f32x4.mul(r, r), r);
    const power = i32x4.sub(shifted, c3);
    // Beyond 30 the bound does not change 1 − 2^-n.
    const inverse = i32x4.sub(one, i32x4.shl(i32x4.min_s(power, i32x4.splat(30)), 23));
    p = f32x4.add(p, f32x4.sub(one, inverse));
    const half = i32x4.shr_s(power, 1);
    const first = i32x4.add(i32x4.shl(half, 23), one);
    const second = i32x4.add(i32x4.shl(i32x4.sub(power, half), 23), one);
    const y = f32x4.mul(f32x4.mul(p, first), second);
    v128.store(d, v128.bitselect(input, y, f32x4.lt(f32x4.abs(input), tiny)));
    a += 16;
    d += 16;
    lanes -= 4;
  }
}

export function log(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const c0 = constant(math.logTable, 0);
  const c1 = constant(math.logTable, 1);
  const c2 = constant(math.logTable, 2);
  const c3 = constant(math.logTable, 3);
  const c4 = constant(math.logTable, 4);
  const c5 = constant(math.logTable, 5);
  const c6 = constant(math.logTable, 6);
  const c7 = constant(math.logTable, 7);
  const c8 = constant(math.logTable, 8);
  const c9 = constant(math.logTable, 9);
  const c10 = constant(math.logTable, 10);
  const c11 = constant(math.logTable, 11);
  const c12 = constant(math.logTable, 12);
  const c13 = constant(math.logTable, 13);
  const c14 = constant(math.logTable, 14);
  while (lanes > 0) {
    const x = v128.load(a);
    v128.store(d, math.log(x, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14));
    a += 16;
    d += 16;
    lanes -= 4;
  }
}

/** log(1 + x): the logarithm of u = 1 + x, rounded, times x / (u − 1), which makes up for the rounding (Higham 2002, 1.14.1). */
export function log1p(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const c0 = constant(math.logTable, 0);
  const c1 = constant(math.logTable, 1);
  const c2 = constant(math.logTable, 2);
  const c3 = constant(math.logTable, 3);
  const c4 = constant(math.logTable, 4);
  const c5 = constant(math.logTable, 5);
  const c6 = constant(math.logTable, 6);
  const c7 = constant(math.logTable, 7);
  const c8 = constant(math.logTable, 8);
  const c9 = constant(math.logTable, 9);
  const c10 = constant(math.logTable, 10);
  const c11 = constant(math.logTable, 11);
  const c12 = constant(math.logTable, 12);
  const c13 = constant(math.logTable, 13);
  const c14 = constant(math.logTable, 14);
  const infinity = f32x4.splat(Infinity);
  while (lanes > 0) {
    const x = v128.load(a);
    const u = f32x4.add(x, c12);
    const y = math.log(u, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14);
    const z = f32x4.mul(y, f32x4.div(x, f32x4.sub(u, c12)));
    v128.store(d, v128.bitselect(x, z, v128.or(f32x4.eq(u, c12), f32x4.eq(x, infinity))));
    a += 16;
    d += 16;
    lanes -= 4;
  }
}

export function tanh(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const c0 = constant(math.tanhTable, 0);
  const c1 = constant(math.tanhTable, 1);
  const c2 = constant(math.tanhTable, 2);
  const c3 = constant(math.tanhTable, 3);
  const c4 = constant(math.tanhTable, 4);
  const c5 = constant(math.tanhTable, 5);
  const c6 = constant(math.tanhTable, 6);
  const c7 = constant(math.tanhTable, 7);
  const c8 = constant(math.tanhTable, 8);
  const c9 = constant(math.tanhTable, 9);
  const c10 = constant(math.tanhTable, 10);
  const c11 = constant(math.tanhTable, 11);
  const c12 = constant(math.tanhTable, 12);
  while (lanes > 0) {
    const x = v128.load(a);
    v128.store(d, math.tanh(x, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12));
    a += 16;
    d += 16;
    lanes -= 4;
  }
}

export function erf(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const c0 = constant(math.erfTable, 0);
  const c1 = constant(math.erfTable, 1);
  const c2 = constant(math.erfTable, 2);
  const c3 = constant(math.erfTable, 3);
  const c4 = constant(math.erfTable, 4);
  const c5 = constant(math.erfTable, 5);
  const c6 = constant(math.erfTable, 6);
  const c7 = constant(math.erfTable, 7);
  const c8 = constant(math.erfTable, 8);
  const c9 = constant(math.erfTable, 9);
  const c10 = constant(math.erfTable, 10);
  const c11 = constant(math.erfTable, 11);
  const c12 = constant(math.erfTable, 12);
  const c13 = constant(math.erfTable, 13);
  while (lanes > 0) {
    const x = v128.load(a);
    v128.store(d, math.erf(x, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13));
    a += 16;
    d += 16;
    lanes -= 4;
  }
}

/** 1 / (1 + e^-x). */
export function sigmoid(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const c0 = constant(math.expTable, 0);
  const c1 = constant(math.expTable, 1);
  const c2 = constant(math.expTable, 2);
  const c3 = constant(math.expTable, 3);
  const c4 = constant(math.expTable, 4);
  const c5 = constant(math.expTable, 5);
  const c6 = constant(math.expTable, 6);
  const c7 = constant(math.expTable, 7);
  const c8 = constant(math.expTable, 8);
  const c9 = constant(math.expTable, 9);
  const c10 = constant(math.expTable, 10);
  const c11 = constant(math.expTable, 11);
  const c12 = constant(math.expTable, 12);
  while (lanes > 0) {
    const x = v128.load(a);
    v128.store(d, f32x4.div(c12, f32x4.add(c12, math.exp(f32x4.neg(x), c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12))));
    a += 16;
    d += 16;
    lanes -= 4;
  }
}
