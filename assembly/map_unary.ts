/**
 * Loops of one operand over a block of four-byte lanes: destination, operand, two unused words and the number of
 * lanes, which is rounded up to a multiple of four.
 */
import { Stored } from "./generated/agreement";
import { roundHalves } from "./half";
import * as math from "./math";

// Constant arguments of inlined functions fold, so each exported loop keeps only its own branch.
const enum Op {
  abs, relu,
  // Rare or slow, and not worth the code of four vectors at a time.
  neg, sign, round, floatToInt, intToFloat, sqrt, rsqrt, reciprocal, floor, ceil, trunc, isnan, not, negInt, absInt, signInt, reluInt,
  intToU8, intToI8, floatToU8, floatToI8, floatToBool, intToBool,
}

// @ts-ignore: decorator
@inline
function apply(op: Op, x: v128): v128 {
  if (op == Op.neg) return f32x4.neg(x);
  if (op == Op.abs) return f32x4.abs(x);
  if (op == Op.sign) {
    const one = f32x4.splat(1);
    const zero = f32x4.splat(0);
    return f32x4.sub(v128.and(f32x4.gt(x, zero), one), v128.and(f32x4.lt(x, zero), one));
  }
  if (op == Op.sqrt) return f32x4.sqrt(x);
  if (op == Op.rsqrt) return f32x4.div(f32x4.splat(1), f32x4.sqrt(x));
  if (op == Op.reciprocal) return f32x4.div(f32x4.splat(1), x);
  if (op == Op.relu) return f32x4.pmax(x, f32x4.splat(0));
  if (op == Op.floor) return f32x4.floor(x);
  if (op == Op.ceil) return f32x4.ceil(x);
  if (op == Op.round) return f32x4.nearest(x);
  if (op == Op.trunc) return f32x4.trunc(x);
  if (op == Op.isnan) return i32x4.shr_u(f32x4.ne(x, x), 31);
  if (op == Op.not) return i32x4.shr_u(i32x4.eq(x, i32x4.splat(0)), 31);
  if (op == Op.negInt) return i32x4.neg(x);
  if (op == Op.absInt) return i32x4.abs(x);
  if (op == Op.signInt) return v128.or(i32x4.shr_s(x, 31), i32x4.shr_u(i32x4.neg(x), 31));
  if (op == Op.reluInt) return i32x4.max_s(x, i32x4.splat(0));
  if (op == Op.floatToInt) return i32x4.trunc_sat_f32x4_s(x);
  if (op == Op.intToFloat) return f32x4.convert_i32x4_s(x);
  if (op == Op.intToU8) return v128.and(x, i32x4.splat(0xff));
  if (op == Op.intToI8) return i32x4.shr_s(i32x4.shl(x, 24), 24);
  if (op == Op.floatToU8) {
    return i32x4.min_s(i32x4.max_s(i32x4.trunc_sat_f32x4_s(x), i32x4.splat(0)), i32x4.splat(255));
  }
  if (op == Op.floatToI8) {
    return i32x4.min_s(i32x4.max_s(i32x4.trunc_sat_f32x4_s(x), i32x4.splat(-128)), i32x4.splat(127));
  }
  if (op == Op.floatToBool) return i32x4.shr_u(f32x4.ne(x, f32x4.splat(0)), 31);
  return i32x4.shr_u(i32x4.ne(x, i32x4.splat(0)), 31);
}

// @ts-ignore: decorator
@inline
function each(op: Op, d: usize, a: usize, lanes: i32): void {
  if (op < Op.neg) {
    while (lanes >= 16) {
      const x0 = v128.load(a);
      const x1 = v128.load(a, 16);
      const x2 = v128.load(a, 32);
      const x3 = v128.load(a, 48);
      v128.store(d, apply(op, x0));
      v128.store(d, apply(op, x1), 16);
      v128.store(d, apply(op, x2), 32);
      v128.store(d, apply(op, x3), 48);
      a += 64;
      d += 64;
      lanes -= 16;
    }
  }
  while (lanes > 0) {
    v128.store(d, apply(op, v128.load(a)));
    a += 16;
    d += 16;
    lanes -= 4;
  }
}

export function neg(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.neg, d, a, lanes);
}
export function abs(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.abs, d, a, lanes);
}
export function sign(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.sign, d, a, lanes);
}
export function sqrt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.sqrt, d, a, lanes);
}
export function rsqrt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.rsqrt, d, a, lanes);
}
export function reciprocal(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.reciprocal, d, a, lanes);
}
export function relu(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.relu, d, a, lanes);
}
export function floor(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.floor, d, a, lanes);
}
export function ceil(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.ceil, d, a, lanes);
}
export function round(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.round, d, a, lanes);
}
export function trunc(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.trunc, d, a, lanes);
}
export function isnan(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.isnan, d, a, lanes);
}
export function not(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.not, d, a, lanes);
}
export function negInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.negInt, d, a, lanes);
}
export function absInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.absInt, d, a, lanes);
}
export function signInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.signInt, d, a, lanes);
}
export function reluInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.reluInt, d, a, lanes);
}
export function floatToInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.floatToInt, d, a, lanes);
}
export function intToFloat(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.intToFloat, d, a, lanes);
}
export function intToU8(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.intToU8, d, a, lanes);
}
export function intToI8(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.intToI8, d, a, lanes);
}
export function floatToU8(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.floatToU8, d, a, lanes);
}
export function floatToI8(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.floatToI8, d, a, lanes);
}
export function floatToBool(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.floatToBool, d, a, lanes);
}
export function intToBool(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.intToBool, d, a, lanes);
}
export function floatToF16(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  roundHalves(Stored.float16, d, a, lanes);
}
export function floatToBf16(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  roundHalves(Stored.bfloat16, d, a, lanes);
}
/** sin (quarter 0) or cos (quarter 1). */
function sines(d: usize, a: usize, lanes: i32, quarter: i32): void {
  for (; lanes > 0; lanes -= 4) {
    v128.store(d, math.sine(v128.load(a), quarter));
    a += 16;
    d += 16;
  }
}
export function sin(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  sines(d, a, lanes, 0);
}
export function cos(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  sines(d, a, lanes, 1);
}
