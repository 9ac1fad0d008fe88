/**
 * Loops of two and three operands over a block of four-byte lanes. `…Scalar` loops take one value (at `b`) instead of a block;
 * comparisons give 0 or 1.
 */
import { fma, fnma } from "./simd";

// Constant arguments of inlined functions fold, so each exported loop keeps only its own branch.
const enum Op {
  add, sub, mul, max,
  // Rare or slow, and not worth the code of four vectors at a time.
  div, min, subFrom, divInto, eq, ne, lt, gt, le, ge, addInt, subInt, mulInt, maxInt, minInt, eqInt, neInt, ltInt, leInt, gtInt, geInt, and, or, xor,
}

// @ts-ignore: decorator
@inline
function apply(op: Op, x: v128, y: v128): v128 {
  if (op == Op.add) return f32x4.add(x, y);
  if (op == Op.sub) return f32x4.sub(x, y);
  if (op == Op.mul) return f32x4.mul(x, y);
  if (op == Op.div) return f32x4.div(x, y);
  if (op == Op.max) return f32x4.max(x, y);
  if (op == Op.min) return f32x4.min(x, y);
  if (op == Op.eq) return i32x4.shr_u(f32x4.eq(x, y), 31);
  if (op == Op.ne) return i32x4.shr_u(f32x4.ne(x, y), 31);
  if (op == Op.lt) return i32x4.shr_u(f32x4.lt(x, y), 31);
  if (op == Op.le) return i32x4.shr_u(f32x4.le(x, y), 31);
  if (op == Op.gt) return i32x4.shr_u(f32x4.gt(x, y), 31);
  if (op == Op.ge) return i32x4.shr_u(f32x4.ge(x, y), 31);
  if (op == Op.addInt) return i32x4.add(x, y);
  if (op == Op.subInt) return i32x4.sub(x, y);
  if (op == Op.mulInt) return i32x4.mul(x, y);
  if (op == Op.maxInt) return i32x4.max_s(x, y);
  if (op == Op.minInt) return i32x4.min_s(x, y);
  if (op == Op.eqInt) return i32x4.shr_u(i32x4.eq(x, y), 31);
  if (op == Op.neInt) return i32x4.shr_u(i32x4.ne(x, y), 31);
  if (op == Op.ltInt) return i32x4.shr_u(i32x4.lt_s(x, y), 31);
  if (op == Op.leInt) return i32x4.shr_u(i32x4.le_s(x, y), 31);
  if (op == Op.gtInt) return i32x4.shr_u(i32x4.gt_s(x, y), 31);
  if (op == Op.geInt) return i32x4.shr_u(i32x4.ge_s(x, y), 31);
  if (op == Op.and) return v128.and(x, y);
  if (op == Op.or) return v128.or(x, y);
  if (op == Op.subFrom) return f32x4.sub(y, x);
  if (op == Op.divInto) return f32x4.div(y, x);
  return v128.xor(x, y);
}

// @ts-ignore: decorator
@inline
function each(op: Op, d: usize, a: usize, b: usize, lanes: i32): void {
  if (op < Op.div) {
    while (lanes >= 16) {
      const x0 = v128.load(a);
      const x1 = v128.load(a, 16);
      const x2 = v128.load(a, 32);
      const x3 = v128.load(a, 48);
      const y0 = v128.load(b);
      const y1 = v128.load(b, 16);
      const y2 = v128.load(b, 32);
      const y3 = v128.load(b, 48);
      v128.store(d, apply(op, x0, y0));
      v128.store(d, apply(op, x1, y1), 16);
      v128.store(d, apply(op, x2, y2), 32);
      v128.store(d, apply(op, x3, y3), 48);
      a += 64;
      b += 64;
      d += 64;
      lanes -= 16;
    }
  }
  while (lanes > 0) {
    v128.store(d, apply(op, v128.load(a), v128.load(b)));
    a += 16;
    b += 16;
    d += 16;
    lanes -= 4;
  }
}

// @ts-ignore: decorator
@inline
function eachScalar(op: Op, d: usize, a: usize, b: usize, lanes: i32): void {
  const y = v128.load32_splat(b);
  if (op < Op.div) {
    while (lanes >= 16) {
      const x0 = v128.load(a);
      const x1 = v128.load(a, 16);
      const x2 = v128.load(a, 32);
      const x3 = v128.load(a, 48);
      v128.store(d, apply(op, x0, y));
      v128.store(d, apply(op, x1, y), 16);
      v128.store(d, apply(op, x2, y), 32);
      v128.store(d, apply(op, x3, y), 48);
      a += 64;
      d += 64;
      lanes -= 16;
    }
  }
  while (lanes > 0) {
    v128.store(d, apply(op, v128.load(a), y));
    a += 16;
    d += 16;
    lanes -= 4;
  }
}

export function where(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const zero = i32x4.splat(0);
  while (lanes > 0) {
    v128.store(d, v128.bitselect(v128.load(c), v128.load(b), i32x4.eq(v128.load(a), zero)));
    a += 16;
    b += 16;
    c += 16;
    d += 16;
    lanes -= 4;
  }
}

/** a · b + c. */
export function mulAdd(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  while (lanes > 0) {
    v128.store(d, fma(v128.load(a), v128.load(b), v128.load(c)));
    a += 16;
    b += 16;
    c += 16;
    d += 16;
    lanes -= 4;
  }
}

/** c - a · b. */
export function mulSubFrom(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  while (lanes > 0) {
    v128.store(d, fnma(v128.load(a), v128.load(b), v128.load(c)));
    a += 16;
    b += 16;
    c += 16;
    d += 16;
    lanes -= 4;
  }
}

/** a · (the number at b) + c. */
export function mulAddScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const y = v128.load32_splat(b);
  while (lanes >= 8) {
    const x0 = v128.load(a);
    const x1 = v128.load(a, 16);
    const z0 = v128.load(c);
    const z1 = v128.load(c, 16);
    v128.store(d, fma(x0, y, z0));
    v128.store(d, fma(x1, y, z1), 16);
    a += 32;
    c += 32;
    d += 32;
    lanes -= 8;
  }
  while (lanes > 0) {
    v128.store(d, fma(v128.load(a), y, v128.load(c)));
    a += 16;
    c += 16;
    d += 16;
    lanes -= 4;
  }
}

/** c - a · (the number at b). */
export function mulSubFromScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const y = v128.load32_splat(b);
  while (lanes > 0) {
    v128.store(d, fnma(v128.load(a), y, v128.load(c)));
    a += 16;
    c += 16;
    d += 16;
    lanes -= 4;
  }
}

/** Fills the block with the 16 bytes at a. */
export function fill(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  const x = v128.load(a);
  while (lanes > 0) {
    v128.store(d, x);
    d += 16;
    lanes -= 4;
  }
}

export function add(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.add, d, a, b, lanes);
}
export function sub(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.sub, d, a, b, lanes);
}
export function mul(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.mul, d, a, b, lanes);
}
export function div(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.div, d, a, b, lanes);
}
export function max(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.max, d, a, b, lanes);
}
export function min(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.min, d, a, b, lanes);
}
export function eq(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.eq, d, a, b, lanes);
}
export function ne(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.ne, d, a, b, lanes);
}
export function lt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.lt, d, a, b, lanes);
}
export function le(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.le, d, a, b, lanes);
}
export function gt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.gt, d, a, b, lanes);
}
export function ge(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.ge, d, a, b, lanes);
}
export function addInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.addInt, d, a, b, lanes);
}
export function subInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.subInt, d, a, b, lanes);
}
export function mulInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.mulInt, d, a, b, lanes);
}
export function maxInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.maxInt, d, a, b, lanes);
}
export function minInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.minInt, d, a, b, lanes);
}
export function eqInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.eqInt, d, a, b, lanes);
}
export function neInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.neInt, d, a, b, lanes);
}
export function ltInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.ltInt, d, a, b, lanes);
}
export function leInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.leInt, d, a, b, lanes);
}
export function gtInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.gtInt, d, a, b, lanes);
}
export function geInt(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.geInt, d, a, b, lanes);
}
export function and(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.and, d, a, b, lanes);
}
export function or(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.or, d, a, b, lanes);
}
export function xor(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  each(Op.xor, d, a, b, lanes);
}
export function addScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.add, d, a, b, lanes);
}
export function subScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.sub, d, a, b, lanes);
}
export function mulScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.mul, d, a, b, lanes);
}
export function divScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.div, d, a, b, lanes);
}
export function maxScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.max, d, a, b, lanes);
}
export function minScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.min, d, a, b, lanes);
}
export function subFromScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.subFrom, d, a, b, lanes);
}
export function divIntoScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.divInto, d, a, b, lanes);
}
export function eqScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.eq, d, a, b, lanes);
}
export function neScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.ne, d, a, b, lanes);
}
export function ltScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.lt, d, a, b, lanes);
}
export function leScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.le, d, a, b, lanes);
}
export function gtScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.gt, d, a, b, lanes);
}
export function geScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.ge, d, a, b, lanes);
}
export function addIntScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.addInt, d, a, b, lanes);
}
export function mulIntScalar(d: usize, a: usize, b: usize, c: usize, lanes: i32): void {
  eachScalar(Op.mulInt, d, a, b, lanes);
}
