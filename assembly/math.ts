/**
 * Vector math on four float32 lanes. Constants come from small tables in memory, as V8 rebuilds `v128.const` at every
 * use inside loops; the loops (map_transcendental.ts) read them once and pass c0, c1, … on. Sources: Cephes (exp, log, sin, cos), Eigen's rational approximations (tanh, erf).
 */
import { fma, fnma } from "./simd";

// biome-ignore format: tables
export const expTable = memory.data<f32>([
  -104.0, 89.0, 1.44269504, 12582912.0, 0.693359375, -2.12194440e-4,
  1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1.0,
], 16);

export const logTable = memory.data<f32>([
  7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
  -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
  -2.12194440e-4, 0.5, 0.693359375, 1.0, 1.17549435e-38, 8388608.0,
], 16);

export const tanhTable = memory.data<f32>([
  7.90531110763549805, 8.3,
  -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-8,
  1.48572235717979e-5, 6.37261928875436e-4, 4.89352455891786e-3,
  1.19825839466702e-6, 1.18534705686654e-4, 2.26843463243900e-3, 4.89352518554385e-3,
], 16);

export const erfTable = memory.data<f32>([
  4.0, 4.0,
  -2.72614225801306e-10, 2.77068142495902e-8, -2.10102402082508e-6, -5.69250639462346e-5,
  -7.34990630326855e-4, -2.95459980854025e-3, -1.60960333262415e-2,
  -1.45660718464996e-5, -2.13374055278905e-4, -1.68282697438203e-3, -7.37332916720468e-3, -1.42647390514189e-2,
], 16);

const sineTable = memory.data<f32>([
  -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1,
  2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2, 0.5, 1.0,
], 16);

const reductionTable = memory.data<f64>([0.6366197723675814, 1.5707963267948966], 16);

// @ts-ignore: decorator
@inline
export function constant(table: usize, index: usize): v128 {
  return v128.load32_splat(table + (index << 2));
}

/** e^x within 1 ulp; the power of two is applied as two factors, so that results near overflow and underflow are correct. */
// @ts-ignore: decorator
@inline
export function exp(
  input: v128,
  c0: v128, c1: v128, c2: v128, c3: v128, c4: v128, c5: v128, c6: v128, c7: v128,
  c8: v128, c9: v128, c10: v128, c11: v128, c12: v128,
): v128 {
  // x is clamped where the result rounds to 0 (common for masked attention scores): the power of two would make denormals, which cost
  // about a hundred cycles each. pmin in this operand order keeps NaN.
  const vanishes = f32x4.lt(input, c0);
  const x = v128.andnot(f32x4.pmin(input, c1), vanishes);
  // The low bits of x / ln 2 + 1.5 · 2^23 are round(x / ln 2).
  const shifted = f32x4.add(f32x4.mul(x, c2), c3);
  const n = f32x4.sub(shifted, c3);
  const r = fnma(n, c5, fnma(n, c4, x));
  let p = fma(c6, r, c7);
  p = fma(p, r, c8);
  p = fma(p, r, c9);
  p = fma(p, r, c10);
  p = fma(p, r, c11);
  p = f32x4.add(fma(p, f32x4.mul(r, r), r), c12);
  const power = i32x4.sub(shifted, c3);
  const half = i32x4.shr_s(power, 1);
  const one = c12;
  const first = i32x4.add(i32x4.shl(half, 23), one);
  const second = i32x4.add(i32x4.shl(i32x4.sub(power, half), 23), one);
  return v128.andnot(f32x4.mul(f32x4.mul(p, first), second), vanishes);
}

/** Natural logarithm within 1 ulp, denormals included; log 0 = -Infinity, of negative numbers NaN. */
// @ts-ignore: decorator
@inline
export function log(
  input: v128,
  c0: v128, c1: v128, c2: v128, c3: v128, c4: v128, c5: v128, c6: v128, c7: v128,
  c8: v128, c9: v128, c10: v128, c11: v128, c12: v128, c13: v128, c14: v128,
): v128 {
  const one = c12;
  const tiny = f32x4.lt(input, c13);
  const x = v128.bitselect(f32x4.mul(input, c14), input, tiny);
  // Exponent such that the mantissa lies in [√½, √2).
  const e = i32x4.shr_s(i32x4.sub(x, i32x4.splat(0x3f3504f3)), 23);
  const f = f32x4.sub(i32x4.sub(x, i32x4.shl(e, 23)), one);
  const n = f32x4.convert_i32x4_s(i32x4.sub(e, v128.and(tiny, i32x4.splat(23))));
  const f2 = f32x4.mul(f, f);
  let p = fma(c0, f, c1);
  p = fma(p, f, c2);
  p = fma(p, f, c3);
  p = fma(p, f, c4);
  p = fma(p, f, c5);
  p = fma(p, f, c6);
  p = fma(p, f, c7);
  p = fma(p, f, c8);
  p = f32x4.mul(f32x4.mul(p, f), f2);
  p = fma(n, c9, p);
  p = fnma(c10, f2, p);
  let y = fma(n, c11, f32x4.add(f, p));
  const infinity = i32x4.splat(0x7f800000);
  y = v128.bitselect(y, input, f32x4.lt(input, infinity));
  const zero = i32x4.splat(0);
  y = v128.or(y, f32x4.lt(input, zero));
  return v128.bitselect(i32x4.splat(0xff800000), y, f32x4.eq(input, zero));
}

// @ts-ignore: decorator
@inline
function signedOne(x: v128): v128 {
  return v128.or(v128.and(x, i32x4.splat(0x80000000)), i32x4.splat(0x3f800000));
}

// @ts-ignore: decorator
@inline
export function tanh(
  input: v128,
  c0: v128, c1: v128, c2: v128, c3: v128, c4: v128, c5: v128, c6: v128,
  c7: v128, c8: v128, c9: v128, c10: v128, c11: v128, c12: v128,
): v128 {
  const limit = c0;
  const x = f32x4.pmax(f32x4.pmin(input, limit), f32x4.neg(limit));
  const z = f32x4.mul(x, x);
  let p = fma(c2, z, c3);
  p = fma(p, z, c4);
  p = fma(p, z, c5);
  p = fma(p, z, c6);
  p = fma(p, z, c7);
  p = fma(p, z, c8);
  let q = fma(c9, z, c10);
  q = fma(q, z, c11);
  q = fma(q, z, c12);
  const y = f32x4.div(f32x4.mul(x, p), q);
  return v128.bitselect(signedOne(input), y, f32x4.gt(f32x4.abs(input), c1));
}

// @ts-ignore: decorator
@inline
export function erf(
  input: v128,
  c0: v128, c1: v128, c2: v128, c3: v128, c4: v128, c5: v128, c6: v128,
  c7: v128, c8: v128, c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
): v128 {
  const limit = c0;
  const x = f32x4.pmax(f32x4.pmin(input, limit), f32x4.neg(limit));
  const z = f32x4.mul(x, x);
  let p = fma(c2, z, c3);
  p = fma(p, z, c4);
  p = fma(p, z, c5);
  p = fma(p, z, c6);
  p = fma(p, z, c7);
  p = fma(p, z, c8);
  let q = fma(c9, z, c10);
  q = fma(q, z, c11);
  q = fma(q, z, c12);
  q = fma(q, z, c13);
  const y = f32x4.div(f32x4.mul(x, p), q);
  return v128.bitselect(signedOne(input), y, f32x4.gt(f32x4.abs(input), c1));
}

/**
 * sin (quarter 0) or cos (quarter 1). x is reduced by multiples of π/2 in float64, which stays exact enough far
 * beyond 1e5 without a multi-part π.
 */
// @ts-ignore: decorator
@inline
export function sine(x: v128, quarter: i32): v128 {
  const twoOverPi = v128.load64_splat(reductionTable);
  const halfPi = v128.load64_splat(reductionTable + 8);
  const low = f64x2.promote_low_f32x4(x);
  const high = f64x2.promote_low_f32x4(i32x4.shuffle(x, x, 2, 3, 2, 3));
  const nLow = f64x2.nearest(f64x2.mul(low, twoOverPi));
  const nHigh = f64x2.nearest(f64x2.mul(high, twoOverPi));
  const rLow = f32x4.demote_f64x2_zero(f64x2.sub(low, f64x2.mul(nLow, halfPi)));
  const rHigh = f32x4.demote_f64x2_zero(f64x2.sub(high, f64x2.mul(nHigh, halfPi)));
  const r = i32x4.shuffle(rLow, rHigh, 0, 1, 4, 5);
  let n = i32x4.shuffle(
    i32x4.trunc_sat_f64x2_s_zero(nLow),
    i32x4.trunc_sat_f64x2_s_zero(nHigh),
    0, 1, 4, 5,
  );
  n = i32x4.add(n, i32x4.splat(quarter));
  const z = f32x4.mul(r, r);
  let s = fma(constant(sineTable, 0), z, constant(sineTable, 1));
  s = fma(s, z, constant(sineTable, 2));
  s = fma(f32x4.mul(s, z), r, r);
  let c = fma(constant(sineTable, 3), z, constant(sineTable, 4));
  c = fma(c, z, constant(sineTable, 5));
  c = fma(f32x4.mul(c, z), z, fnma(z, constant(sineTable, 6), constant(sineTable, 7)));
  const y = v128.bitselect(c, s, i32x4.shr_s(i32x4.shl(n, 31), 31));
  const signed = v128.xor(y, i32x4.shl(i32x4.shr_u(n, 1), 31));
  // The reduction turns -0 into 0: sin takes x itself there.
  return v128.bitselect(x, signed, v128.and(f32x4.eq(x, f32x4.splat(0)), i32x4.splat(quarter - 1)));
}
