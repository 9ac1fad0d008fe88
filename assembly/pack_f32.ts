/**
 * Packing for the matrix product: copies a block of a strided operand into contiguous panels, [panel][k][width]. A panel holds `width`
 * rows of A or columns of B, here called lines; missing lines are zero.
 */

import { Stored, widenedBytes } from "./generated/agreement";
import { widen } from "./half";

/** Values along k widened at a time: 8 lines of them take a quarter of the L1 cache. */
const widenedK: i32 = widenedBytes / 32;

/** log2 of the bytes of an element. */
// @ts-ignore: decorator
@inline
export function shiftOf(format: i32): usize {
  return format == Stored.float32 ? 2 : 1;
}

/** As `pack`, for floats of any format; 16-bit floats are widened to float32 in `widened`, a part of a panel at a time. */
export function packAny(
  format: i32, target: usize, source: usize, lines: i32, k: i32, line: usize, step: usize, width: i32, widened: usize,
): void {
  if (format == Stored.float32) {
    pack(target, source, lines, k, line, step, width);
    return;
  }
  for (let first = 0; first < lines; first += width) {
    const count = min(width, lines - first);
    const from = source + <usize>first * line;
    for (let p = 0; p < k; p += widenedK) {
      const depth = min(widenedK, k - p);
      const part = from + <usize>p * step;
      if (line == 2) {
        for (let q = 0; q < depth; q++) widen(format, widened + (<usize>(q * width) << 2), part + <usize>q * step, 2, count);
        pack(target + (<usize>(p * width) << 2), widened, count, depth, 4, <usize>width << 2, width);
      } else {
        for (let i = 0; i < count; i++) widen(format, widened + (<usize>(i * depth) << 2), part + <usize>i * line, step, depth);
        pack(target + (<usize>(p * width) << 2), widened, count, depth, <usize>depth << 2, 4, width);
      }
    }
    target += <usize>(k * width) << 2;
  }
}

/** For strides without a vector form: one element at a time. `line` is the stride along the panel's width, `step` along k (bytes). */
function packScalar(target: usize, source: usize, lines: i32, k: i32, line: usize, step: usize, width: i32): void {
  for (let p = 0; p < k; p++) {
    let from = source;
    for (let i = 0; i < lines; i++) {
      store<f32>(target + (<usize>i << 2), load<f32>(from));
      from += line;
    }
    for (let i = lines; i < width; i++) store<f32>(target + (<usize>i << 2), 0);
    target += <usize>width << 2;
    source += step;
  }
}

/** 8 neighbouring elements for each k. */
function packRows8(target: usize, source: usize, k: i32, step: usize): void {
  for (let p = 0; p < k; p++) {
    v128.store(target, v128.load(source));
    v128.store(target, v128.load(source, 16), 16);
    target += 32;
    source += step;
  }
}

/** 4 neighbouring elements for each k. */
function packRows4(target: usize, source: usize, k: i32, step: usize): void {
  for (let p = 0; p < k; p++) {
    v128.store(target, v128.load(source));
    target += 16;
    source += step;
  }
}

/** Transposes 4 lines that are contiguous along k in blocks of 4 × 4; rows of the target are `pitch` bytes apart. */
// @ts-ignore: decorator
@inline
function packTransposed4(target: usize, source: usize, k: i32, line: usize, pitch: usize): void {
  const s1 = source + line;
  const s2 = s1 + line;
  const s3 = s2 + line;
  let p = 0;
  let at: usize = 0;
  for (; p + 4 <= k; p += 4) {
    const x0 = v128.load(source + at);
    const x1 = v128.load(s1 + at);
    const x2 = v128.load(s2 + at);
    const x3 = v128.load(s3 + at);
    const a = i32x4.shuffle(x0, x1, 0, 4, 1, 5);
    const b = i32x4.shuffle(x2, x3, 0, 4, 1, 5);
    const c = i32x4.shuffle(x0, x1, 2, 6, 3, 7);
    const d = i32x4.shuffle(x2, x3, 2, 6, 3, 7);
    v128.store(target, i64x2.shuffle(a, b, 0, 2));
    v128.store(target + pitch, i64x2.shuffle(a, b, 1, 3));
    v128.store(target + pitch + pitch, i64x2.shuffle(c, d, 0, 2));
    v128.store(target + pitch + pitch + pitch, i64x2.shuffle(c, d, 1, 3));
    target += pitch << 2;
    at += 16;
  }
  for (; p < k; p++) {
    store<f32>(target, load<f32>(source + at));
    store<f32>(target, load<f32>(s1 + at), 4);
    store<f32>(target, load<f32>(s2 + at), 8);
    store<f32>(target, load<f32>(s3 + at), 12);
    target += pitch;
    at += 4;
  }
}

/** Packs `lines` × k elements into panels of `width`, 4 or 8. `line` and `step` are strides in bytes. */
export function pack(target: usize, source: usize, lines: i32, k: i32, line: usize, step: usize, width: i32): void {
  const panelBytes = <usize>(k * width) << 2;
  for (let first = 0; first < lines; first += width) {
    const from = source + <usize>first * line;
    if (lines - first < width) packScalar(target, from, lines - first, k, line, step, width);
    else if (line == 4 && width == 8) packRows8(target, from, k, step);
    else if (line == 4) packRows4(target, from, k, step);
    else if (step == 4) {
      for (let i = 0; i < width; i += 4) {
        packTransposed4(target + (<usize>i << 2), from + <usize>i * line, k, line, <usize>width << 2);
      }
    } else packScalar(target, from, width, k, line, step, width);
    target += panelBytes;
  }
}
