/** Reduces lanes to one value, and accumulates rows into one row. Values are passed as bits, for float32 and int32 alike. */
import { Reduction } from "./generated/agreement";

/** The bits of the identity of the reduction. */
// @ts-ignore: decorator
@inline
export function identity(op: i32, isInt: i32): i32 {
  if (op == Reduction.sum) return 0;
  if (op == Reduction.prod) return isInt ? 1 : 0x3f800000;
  if (op == Reduction.max || op == Reduction.argmax) return isInt ? i32.MIN_VALUE : <i32>0xff800000;
  return isInt ? i32.MAX_VALUE : 0x7f800000;
}

// @ts-ignore: decorator
@inline
function combine(op: i32, isInt: i32, x: v128, y: v128): v128 {
  if (isInt) {
    if (op == Reduction.sum) return i32x4.add(x, y);
    if (op == Reduction.max) return i32x4.max_s(x, y);
    if (op == Reduction.min) return i32x4.min_s(x, y);
    return i32x4.mul(x, y);
  }
  if (op == Reduction.sum) return f32x4.add(x, y);
  if (op == Reduction.max) return f32x4.max(x, y);
  if (op == Reduction.min) return f32x4.min(x, y);
  return f32x4.mul(x, y);
}

/** No loop of four vectors at a time for int32, to keep the binary small: integer reductions are rare. */
// @ts-ignore: decorator
@inline
function isRare(op: i32, isInt: i32): bool {
  return isInt != 0;
}

// @ts-ignore: decorator
@inline
function reduceVectors(op: i32, isInt: i32, at: usize, n: i32): i32 {
  const neutral = i32x4.splat(identity(op, isInt));
  let s0 = neutral;
  if (!isRare(op, isInt) && n >= 16) {
    let s1 = neutral;
    let s2 = neutral;
    let s3 = neutral;
    do {
      s0 = combine(op, isInt, s0, v128.load(at));
      s1 = combine(op, isInt, s1, v128.load(at, 16));
      s2 = combine(op, isInt, s2, v128.load(at, 32));
      s3 = combine(op, isInt, s3, v128.load(at, 48));
      at += 64;
      n -= 16;
    } while (n >= 16);
    s0 = combine(op, isInt, combine(op, isInt, s0, s1), combine(op, isInt, s2, s3));
  }
  while (n >= 4) {
    s0 = combine(op, isInt, s0, v128.load(at));
    at += 16;
    n -= 4;
  }
  s0 = combine(op, isInt, s0, i32x4.shuffle(s0, s0, 2, 3, 0, 1));
  s0 = combine(op, isInt, s0, i32x4.shuffle(s0, s0, 1, 0, 3, 2));
  while (n > 0) {
    s0 = combine(op, isInt, s0, v128.load32_splat(at));
    at += 4;
    n--;
  }
  return i32x4.extract_lane(s0, 0);
}

/**
 * max and min of float32. V8 compiles f32x4.max to about seven instructions and f32x4.pmax, which drops NaN, to one: NaN are detected
 * separately.
 */
// @ts-ignore: decorator
@inline
function reduceExtreme(op: i32, at: usize, n: i32): i32 {
  let s0 = i32x4.splat(identity(op, 0));
  let s1 = s0;
  let nan = i32x4.splat(0);
  while (n >= 8) {
    const x0 = v128.load(at);
    const x1 = v128.load(at, 16);
    s0 = op == Reduction.max ? f32x4.pmax(s0, x0) : f32x4.pmin(s0, x0);
    s1 = op == Reduction.max ? f32x4.pmax(s1, x1) : f32x4.pmin(s1, x1);
    nan = v128.or(nan, v128.or(f32x4.ne(x0, x0), f32x4.ne(x1, x1)));
    at += 32;
    n -= 8;
  }
  if (v128.any_true(nan)) return 0x7fc00000;
  s0 = op == Reduction.max ? f32x4.pmax(s0, s1) : f32x4.pmin(s0, s1);
  s0 = combine(op, 0, s0, i32x4.shuffle(s0, s0, 2, 3, 0, 1));
  let result = f32x4.extract_lane(combine(op, 0, s0, i32x4.shuffle(s0, s0, 1, 0, 3, 2)), 0);
  while (n > 0) {
    const x = load<f32>(at);
    result = op == Reduction.max ? max(result, x) : min(result, x);
    at += 4;
    n--;
  }
  return reinterpret<i32>(result);
}

function sumFloat(at: usize, n: i32): i32 {
  return reduceVectors(Reduction.sum, 0, at, n);
}
function maxFloat(at: usize, n: i32): i32 {
  return reduceExtreme(Reduction.max, at, n);
}
function minFloat(at: usize, n: i32): i32 {
  return reduceExtreme(Reduction.min, at, n);
}
function prodFloat(at: usize, n: i32): i32 {
  return reduceVectors(Reduction.prod, 0, at, n);
}
function sumInt(at: usize, n: i32): i32 {
  return reduceVectors(Reduction.sum, 1, at, n);
}
function maxInt(at: usize, n: i32): i32 {
  return reduceVectors(Reduction.max, 1, at, n);
}
function minInt(at: usize, n: i32): i32 {
  return reduceVectors(Reduction.min, 1, at, n);
}
function prodInt(at: usize, n: i32): i32 {
  return reduceVectors(Reduction.prod, 1, at, n);
}

/** Reduces `n` contiguous lanes; returns the bits. */
export function reduceLanes(op: i32, isInt: i32, at: usize, n: i32): i32 {
  if (isInt) {
    if (op == Reduction.sum) return sumInt(at, n);
    if (op == Reduction.max) return maxInt(at, n);
    if (op == Reduction.min) return minInt(at, n);
    return prodInt(at, n);
  }
  if (op == Reduction.sum) return sumFloat(at, n);
  if (op == Reduction.max) return maxFloat(at, n);
  if (op == Reduction.min) return minFloat(at, n);
  return prodFloat(at, n);
}

/** Combines two partial results: max and min of float32, all reductions of int32. */
export function combineBits(op: i32, isInt: i32, x: i32, y: i32): i32 {
  if (isInt) {
    if (op == Reduction.sum) return x + y;
    if (op == Reduction.max) return max(x, y);
    if (op == Reduction.min) return min(x, y);
    return x * y;
  }
  const a = reinterpret<f32>(x);
  const b = reinterpret<f32>(y);
  return reinterpret<i32>(op == Reduction.max ? max(a, b) : min(a, b));
}

/** Whether x replaces the best value so far; NaN is better than any number, but not than NaN. */
export function isBetter(op: i32, isInt: i32, x: i32, best: i32): bool {
  if (isInt) return op == Reduction.max ? x > best : x < best;
  const a = reinterpret<f32>(x);
  const b = reinterpret<f32>(best);
  if (b != b) return false;
  return a != a || (op == Reduction.max ? a > b : a < b);
}

/** Position of the first lane that equals `value` (or is NaN, if it is NaN); there must be one. */
export function find(isInt: i32, at: usize, value: i32): i32 {
  let i = 0;
  if (isInt) {
    while (load<i32>(at + (<usize>i << 2)) != value) i++;
    return i;
  }
  const wanted = reinterpret<f32>(value);
  if (wanted != wanted) {
    for (;;) {
      const x = load<f32>(at + (<usize>i << 2));
      if (x != x) break;
      i++;
    }
    return i;
  }
  while (load<f32>(at + (<usize>i << 2)) != wanted) i++;
  return i;
}

// @ts-ignore: decorator
@inline
function accumulateVectors(op: i32, isInt: i32, to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  if (!isRare(op, isInt)) {
    while (n >= 16) {
      let s0 = v128.load(to);
      let s1 = v128.load(to, 16);
      let s2 = v128.load(to, 32);
      let s3 = v128.load(to, 48);
      let at = from;
      let r = rows;
      do {
        s0 = combine(op, isInt, s0, v128.load(at));
        s1 = combine(op, isInt, s1, v128.load(at, 16));
        s2 = combine(op, isInt, s2, v128.load(at, 32));
        s3 = combine(op, isInt, s3, v128.load(at, 48));
        at += rowBytes;
      } while (--r > 0);
      v128.store(to, s0);
      v128.store(to, s1, 16);
      v128.store(to, s2, 32);
      v128.store(to, s3, 48);
      to += 64;
      from += 64;
      n -= 16;
    }
  }
  // The rest of the row. Vectors may read past its end; of the last one only the row's lanes are stored.
  while (n > 0) {
    let s = v128.load(to);
    let at = from;
    let r = rows;
    do {
      s = combine(op, isInt, s, v128.load(at));
      at += rowBytes;
    } while (--r > 0);
    if (n >= 4) {
      v128.store(to, s);
    } else {
      store<i32>(to, i32x4.extract_lane(s, 0));
      if (n > 1) store<i32>(to, i32x4.extract_lane(s, 1), 4);
      if (n > 2) store<i32>(to, i32x4.extract_lane(s, 2), 8);
    }
    to += 16;
    from += 16;
    n -= 4;
  }
}

function sumRowsFloat(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  accumulateVectors(Reduction.sum, 0, to, from, n, rows, rowBytes);
}
function maxRowsFloat(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  accumulateVectors(Reduction.max, 0, to, from, n, rows, rowBytes);
}
function minRowsFloat(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  accumulateVectors(Reduction.min, 0, to, from, n, rows, rowBytes);
}
function prodRowsFloat(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  accumulateVectors(Reduction.prod, 0, to, from, n, rows, rowBytes);
}
function sumRowsInt(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  accumulateVectors(Reduction.sum, 1, to, from, n, rows, rowBytes);
}
function maxRowsInt(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  accumulateVectors(Reduction.max, 1, to, from, n, rows, rowBytes);
}
function minRowsInt(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  accumulateVectors(Reduction.min, 1, to, from, n, rows, rowBytes);
}
function prodRowsInt(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  accumulateVectors(Reduction.prod, 1, to, from, n, rows, rowBytes);
}

/** Accumulates the first `n` lanes of `rows` rows, `columns` lanes apart, into the row at `to`. */
export function accumulateRows(
  op: i32,
  isInt: i32,
  to: usize,
  from: usize,
  n: i32,
  rows: i32,
  columns: i32,
): void {
  const rowBytes = <usize>columns << 2;
  if (isInt) {
    if (op == Reduction.sum) sumRowsInt(to, from, n, rows, rowBytes);
    else if (op == Reduction.max) maxRowsInt(to, from, n, rows, rowBytes);
    else if (op == Reduction.min) minRowsInt(to, from, n, rows, rowBytes);
    else prodRowsInt(to, from, n, rows, rowBytes);
  } else if (op == Reduction.sum) sumRowsFloat(to, from, n, rows, rowBytes);
  else if (op == Reduction.max) maxRowsFloat(to, from, n, rows, rowBytes);
  else if (op == Reduction.min) minRowsFloat(to, from, n, rows, rowBytes);
  else prodRowsFloat(to, from, n, rows, rowBytes);
}
