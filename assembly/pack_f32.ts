/**
 * Packing for the matrix product: a block of an operand with any strides becomes panels that the micro-kernel reads
 * straight through. A panel holds `width` rows (of A) or columns (of B): [panel][k][width], missing ones zero.
 */

/** Where strides do not help: one element at a time. `line` goes along the panel's width, `step` along k (bytes). */
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

/** 4 lines that are contiguous along k, transposed 4 × 4 into every `pitch` bytes of the target. */
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
