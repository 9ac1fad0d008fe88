/** Folding vectors of lanes into one value, and rows into an accumulating row. */
import { Fold } from "./generated/agreement";

/** The bits of the neutral element. */
// @ts-ignore: decorator
@inline
export function identity(op: i32, isInt: i32): i32 {
  if (op == Fold.sum) return 0;
  if (op == Fold.prod) return isInt ? 1 : 0x3f800000;
  if (op == Fold.max || op == Fold.argmax) return isInt ? i32.MIN_VALUE : <i32>0xff800000;
  return isInt ? i32.MAX_VALUE : 0x7f800000;
}

// @ts-ignore: decorator
@inline
function join(op: i32, isInt: i32, x: v128, y: v128): v128 {
  if (isInt) {
    if (op == Fold.sum) return i32x4.add(x, y);
    if (op == Fold.max) return i32x4.max_s(x, y);
    if (op == Fold.min) return i32x4.min_s(x, y);
    return i32x4.mul(x, y);
  }
  if (op == Fold.sum) return f32x4.add(x, y);
  if (op == Fold.max) return f32x4.max(x, y);
  if (op == Fold.min) return f32x4.min(x, y);
  return f32x4.mul(x, y);
}

/** Integers are rare, and not worth the code of four vectors at a time. */
// @ts-ignore: decorator
@inline
function isRare(op: i32, isInt: i32): bool {
  return isInt != 0;
}

// @ts-ignore: decorator
@inline
function foldVectors(op: i32, isInt: i32, at: usize, n: i32): i32 {
  const neutral = i32x4.splat(identity(op, isInt));
  let s0 = neutral;
  if (!isRare(op, isInt) && n >= 16) {
    let s1 = neutral;
    let s2 = neutral;
    let s3 = neutral;
    do {
      s0 = join(op, isInt, s0, v128.load(at));
      s1 = join(op, isInt, s1, v128.load(at, 16));
      s2 = join(op, isInt, s2, v128.load(at, 32));
      s3 = join(op, isInt, s3, v128.load(at, 48));
      at += 64;
      n -= 16;
    } while (n >= 16);
    s0 = join(op, isInt, join(op, isInt, s0, s1), join(op, isInt, s2, s3));
  }
  while (n >= 4) {
    s0 = join(op, isInt, s0, v128.load(at));
    at += 16;
    n -= 4;
  }
  s0 = join(op, isInt, s0, i32x4.shuffle(s0, s0, 2, 3, 0, 1));
  s0 = join(op, isInt, s0, i32x4.shuffle(s0, s0, 1, 0, 3, 2));
  while (n > 0) {
    s0 = join(op, isInt, s0, v128.load32_splat(at));
    at += 4;
    n--;
  }
  return i32x4.extract_lane(s0, 0);
}

/**
 * max and min of float32: V8 spends about seven instructions on f32x4.max, one on pmax, which loses NaN; so NaN are
 * noted on the side.
 */
// @ts-ignore: decorator
@inline
function foldExtreme(op: i32, at: usize, n: i32): i32 {
  let s0 = i32x4.splat(identity(op, 0));
  let s1 = s0;
  let nan = i32x4.splat(0);
  while (n >= 8) {
    const x0 = v128.load(at);
    const x1 = v128.load(at, 16);
    s0 = op == Fold.max ? f32x4.pmax(s0, x0) : f32x4.pmin(s0, x0);
    s1 = op == Fold.max ? f32x4.pmax(s1, x1) : f32x4.pmin(s1, x1);
    nan = v128.or(nan, v128.or(f32x4.ne(x0, x0), f32x4.ne(x1, x1)));
    at += 32;
    n -= 8;
  }
  if (v128.any_true(nan)) return 0x7fc00000;
  s0 = op == Fold.max ? f32x4.pmax(s0, s1) : f32x4.pmin(s0, s1);
  s0 = join(op, 0, s0, i32x4.shuffle(s0, s0, 2, 3, 0, 1));
  let result = f32x4.extract_lane(join(op, 0, s0, i32x4.shuffle(s0, s0, 1, 0, 3, 2)), 0);
  while (n > 0) {
    const x = load<f32>(at);
    result = op == Fold.max ? max(result, x) : min(result, x);
    at += 4;
    n--;
  }
  return reinterpret<i32>(result);
}

function sumFloat(at: usize, n: i32): i32 {
  return foldVectors(Fold.sum, 0, at, n);
}
function maxFloat(at: usize, n: i32): i32 {
  return foldExtreme(Fold.max, at, n);
}
function minFloat(at: usize, n: i32): i32 {
  return foldExtreme(Fold.min, at, n);
}
function prodFloat(at: usize, n: i32): i32 {
  return foldVectors(Fold.prod, 0, at, n);
}
function sumInt(at: usize, n: i32): i32 {
  return foldVectors(Fold.sum, 1, at, n);
}
function maxInt(at: usize, n: i32): i32 {
  return foldVectors(Fold.max, 1, at, n);
}
function minInt(at: usize, n: i32): i32 {
  return foldVectors(Fold.min, 1, at, n);
}
function prodInt(at: usize, n: i32): i32 {
  return foldVectors(Fold.prod, 1, at, n);
}

/** The bits of `n` lanes folded. */
export function fold(op: i32, isInt: i32, at: usize, n: i32): i32 {
  if (isInt) {
    if (op == Fold.sum) return sumInt(at, n);
    if (op == Fold.max) return maxInt(at, n);
    if (op == Fold.min) return minInt(at, n);
    return prodInt(at, n);
  }
  if (op == Fold.sum) return sumFloat(at, n);
  if (op == Fold.max) return maxFloat(at, n);
  if (op == Fold.min) return minFloat(at, n);
  return prodFloat(at, n);
}

/** Two folded values made one: max and min of float32, and everything on int32. */
export function joinBits(op: i32, isInt: i32, x: i32, y: i32): i32 {
  if (isInt) {
    if (op == Fold.sum) return x + y;
    if (op == Fold.max) return max(x, y);
    if (op == Fold.min) return min(x, y);
    return x * y;
  }
  const a = reinterpret<f32>(x);
  const b = reinterpret<f32>(y);
  return reinterpret<i32>(op == Fold.max ? max(a, b) : min(a, b));
}

/** Whether x takes the place of the best value so far; NaN is better than any number, but not than NaN. */
export function isBetter(op: i32, isInt: i32, x: i32, best: i32): bool {
  if (isInt) return op == Fold.max ? x > best : x < best;
  const a = reinterpret<f32>(x);
  const b = reinterpret<f32>(best);
  if (b != b) return false;
  return a != a || (op == Fold.max ? a > b : a < b);
}

/** Position of the first lane that equals `value`, which occurs. */
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
function joinRows(op: i32, isInt: i32, to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  if (!isRare(op, isInt)) {
    while (n >= 16) {
      let s0 = v128.load(to);
      let s1 = v128.load(to, 16);
      let s2 = v128.load(to, 32);
      let s3 = v128.load(to, 48);
      let at = from;
      let r = rows;
      do {
        s0 = join(op, isInt, s0, v128.load(at));
        s1 = join(op, isInt, s1, v128.load(at, 16));
        s2 = join(op, isInt, s2, v128.load(at, 32));
        s3 = join(op, isInt, s3, v128.load(at, 48));
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
  // What is left of the row: vectors may read past its end, but only whole ones are stored.
  while (n > 0) {
    let s = v128.load(to);
    let at = from;
    let r = rows;
    do {
      s = join(op, isInt, s, v128.load(at));
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
  joinRows(Fold.sum, 0, to, from, n, rows, rowBytes);
}
function maxRowsFloat(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  joinRows(Fold.max, 0, to, from, n, rows, rowBytes);
}
function minRowsFloat(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  joinRows(Fold.min, 0, to, from, n, rows, rowBytes);
}
function prodRowsFloat(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  joinRows(Fold.prod, 0, to, from, n, rows, rowBytes);
}
function sumRowsInt(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  joinRows(Fold.sum, 1, to, from, n, rows, rowBytes);
}
function maxRowsInt(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  joinRows(Fold.max, 1, to, from, n, rows, rowBytes);
}
function minRowsInt(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  joinRows(Fold.min, 1, to, from, n, rows, rowBytes);
}
function prodRowsInt(to: usize, from: usize, n: i32, rows: i32, rowBytes: usize): void {
  joinRows(Fold.prod, 1, to, from, n, rows, rowBytes);
}

/** Joins `rows` rows of `columns` lanes each, of which `n` take part, into the row at `to`. */
export function foldRows(
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
    if (op == Fold.sum) sumRowsInt(to, from, n, rows, rowBytes);
    else if (op == Fold.max) maxRowsInt(to, from, n, rows, rowBytes);
    else if (op == Fold.min) minRowsInt(to, from, n, rows, rowBytes);
    else prodRowsInt(to, from, n, rows, rowBytes);
  } else if (op == Fold.sum) sumRowsFloat(to, from, n, rows, rowBytes);
  else if (op == Fold.max) maxRowsFloat(to, from, n, rows, rowBytes);
  else if (op == Fold.min) minRowsFloat(to, from, n, rows, rowBytes);
  else prodRowsFloat(to, from, n, rows, rowBytes);
}
