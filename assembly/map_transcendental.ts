/**
 * Loops over a block for the functions with many constants, which are read from their tables once per block. The same
 * arguments as in map_unary.ts.
 */
import * as math from "./math";
import { constant } from "./math";

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
