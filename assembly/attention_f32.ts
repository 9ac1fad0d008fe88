/**
 * Attention: softmax(scale · q · kᵀ + mask) · v, a block of rows at a time, of which alone the scores are stored. Keys and
 * values are packed once for all rows; tiles above the diagonal are left out where it is causal. A few rows read keys and
 * values where they lie.
 *
 * Payload, 32-bit words: rows, keys, width (of queries and keys), width of the values; addresses of q, k, v, mask (0: none),
 * output and scratch; strides in elements q.row, q.e, k.key, k.e, v.key, v.d, mask.row, mask.key, output.row, output.d;
 * scale; causal (0 or 1); whether the mask is bool (else float32); batch rank and count; then rank words each of extents and
 * of q's, k's, v's, the mask's and the output's strides.
 */
import { kernelDirect, merge, Mode } from "./gemm_f32";
import { gemv } from "./gemv_f32";
import { constant, exp, expTable } from "./math";
import { pack } from "./pack_f32";
import { horizontalSum } from "./simd";
import { locate, offsetAt } from "./walk";

/** Rows whose scores are stored at a time. */
const blockRows: i32 = 32;
/** Terms in one accumulator, of which a panel fits half the first cache. */
const blockTerms: i32 = 256;
/** Rows up to which keys and values are read for each. */
const fewRows: i32 = 3;
/** Vectors of weights summed in float32. */
const vectorsBetweenFlushes: i32 = 128;

namespace At {
  export const rows: usize = 0;
  export const keys: usize = 4;
  export const width: usize = 8;
  export const valueWidth: usize = 12;
  export const q: usize = 16;
  export const k: usize = 20;
  export const v: usize = 24;
  export const mask: usize = 28;
  export const output: usize = 32;
  export const scratch: usize = 36;
  export const qRow: usize = 40;
  export const qE: usize = 44;
  export const kKey: usize = 48;
  export const kE: usize = 52;
  export const vKey: usize = 56;
  export const vD: usize = 60;
  export const maskRow: usize = 64;
  export const maskKey: usize = 68;
  export const outputRow: usize = 72;
  export const outputD: usize = 76;
  export const scale: usize = 80;
  export const causal: usize = 84;
  export const isBool: usize = 88;
  export const rank: usize = 92;
  export const batches: usize = 96;
  export const extents: usize = 100;
}

const place: usize = memory.data(256, 16);

export function attention(payload: usize): void {
  const rank = load<i32>(payload, At.rank);
  const batches = load<i32>(payload, At.batches);
  const extents = payload + At.extents;
  const bytes = <usize>rank << 2;
  const maskShift = load<i32>(payload, At.isBool) ? 0 : 2;
  for (let batch = 0; batch < batches; batch++) {
    locate(place, extents, rank, batch);
    const q = load<usize>(payload, At.q) + (offsetAt(place, extents + bytes, rank) << 2);
    const k = load<usize>(payload, At.k) + (offsetAt(place, extents + 2 * bytes, rank) << 2);
    const v = load<usize>(payload, At.v) + (offsetAt(place, extents + 3 * bytes, rank) << 2);
    let mask = load<usize>(payload, At.mask);
    if (mask != 0) mask += offsetAt(place, extents + 4 * bytes, rank) << maskShift;
    const output = load<usize>(payload, At.output) + (offsetAt(place, extents + 5 * bytes, rank) << 2);
    attend(payload, q, k, v, mask, output);
  }
}

// @ts-ignore: decorator
@inline
function strideAt(payload: usize, at: usize): usize {
  return <usize>(load<i32>(payload + at) << 2);
}

/** One matrix of the batch. */
function attend(payload: usize, q: usize, k: usize, v: usize, mask: usize, output: usize): void {
  const rows = load<i32>(payload, At.rows);
  const keys = load<i32>(payload, At.keys);
  const width = load<i32>(payload, At.width);
  const valueWidth = load<i32>(payload, At.valueWidth);
  const scratch = load<usize>(payload, At.scratch);
  const qRow = strideAt(payload, At.qRow);
  const qE = strideAt(payload, At.qE);
  const kKey = strideAt(payload, At.kKey);
  const kE = strideAt(payload, At.kE);
  const vKey = strideAt(payload, At.vKey);
  const vD = strideAt(payload, At.vD);
  const outputRow = strideAt(payload, At.outputRow);
  const outputD = strideAt(payload, At.outputD);
  const causal = load<i32>(payload, At.causal);
  const pitch = <usize>((keys + 7) & ~7) << 2;
  const sums = scratch;
  const scores = sums + (blockRows << 2);
  const tile = scores + blockRows * pitch;
  const rest = tile + 128;

  if (rows <= fewRows && (kE == 4 || kKey == 4) && (vD == 4 || vKey == 4)) {
    const seen = causal ? min(rows, keys) : keys;
    gemv(rows, seen, width, q, qRow, qE, k, kE, kKey, scores, pitch, 4, 0, 0, rest);
    weighRows(payload, mask, 0, rows, scores, pitch, sums, seen);
    gemv(rows, valueWidth, seen, scores, pitch, 4, v, vKey, vD, output, outputRow, outputD, 0, 0, rest);
    divideRows(rows, valueWidth, output, outputRow, outputD, sums);
    return;
  }

  const lines = rest;
  const packedK = lines + ((<usize>(blockRows * width) << 2));
  const packedV = packedK + pitch * width;
  pack(packedK, k, keys, width, kKey, kE, 8);
  pack(packedV, v, valueWidth, keys, vD, vKey, 8);
  for (let first = 0; first < rows; first += blockRows) {
    const count = min(blockRows, rows - first);
    let block = q + <usize>first * qRow;
    let step = qRow;
    if (qE != 4) {
      copyRows(lines, block, count, width, qRow, qE);
      block = lines;
      step = <usize>width << 2;
    }
    scoreRows(block, step, count, width, packedK, causal ? min(first + count, keys) : keys, causal ? first : keys, scores, pitch);
    weighRows(payload, mask, first, count, scores, pitch, sums, keys);
    const to = output + <usize>first * outputRow;
    addValues(scores, pitch, count, packedV, keys, causal ? first : keys, valueWidth, to, outputRow, outputD, tile);
    divideRows(count, valueWidth, to, outputRow, outputD, sums);
  }
}

function copyRows(target: usize, source: usize, rows: i32, width: i32, row: usize, step: usize): void {
  for (let i = 0; i < rows; i++) {
    for (let e = 0; e < width; e++) {
      store<f32>(target, load<f32>(source + <usize>i * row + <usize>e * step));
      target += 4;
    }
  }
}

/** Scores of the first `seen` keys. Row 0 sees the keys up to `diagonal` itself, those behind it one more each. */
function scoreRows(
  q: usize, row: usize, rows: i32, width: i32, packedK: usize, seen: i32, diagonal: i32, scores: usize, pitch: usize,
): void {
  for (let j = 0; j < seen; j += 8) {
    const to = scores + (<usize>j << 2);
    for (let i = max(0, j - diagonal) & ~3; i < rows; i += 4) {
      const height = min(4, rows - i);
      let panel = packedK + (<usize>(j * width) << 2);
      let a = q + <usize>i * row;
      for (let e = 0; e < width; e += blockTerms) {
        const a1 = height > 1 ? a + row : a;
        const a2 = height > 2 ? a1 + row : a1;
        const a3 = height > 3 ? a2 + row : a2;
        const depth = min(blockTerms, width - e);
        kernelDirect(depth, a, a1, a2, a3, panel, to + <usize>i * pitch, pitch, e > 0 ? Mode.accumulate : 0, 0);
        a += <usize>depth << 2;
        panel += <usize>depth << 5;
      }
    }
  }
}

/** Scores become weights, up to a factor: those of each row add up to what is in `sums`. */
function weighRows(payload: usize, mask: usize, first: i32, rows: i32, scores: usize, pitch: usize, sums: usize, keys: i32): void {
  const causal = load<i32>(payload, At.causal);
  let scale = load<f32>(payload, At.scale);
  for (let i = 0; i < rows; i++) {
    const row = scores + <usize>i * pitch;
    const seen = causal ? min(first + i + 1, keys) : keys;
    if (mask != 0) {
      const isBool = load<i32>(payload, At.isBool);
      const shift = isBool ? 0 : 2;
      const from = mask + ((first + i) * load<i32>(payload, At.maskRow) << shift);
      maskRow(row, seen, load<f32>(payload, At.scale), from, load<i32>(payload, At.maskKey) << shift, isBool);
      scale = 1;
    }
    store<f32>(sums + (<usize>i << 2), weigh(row, seen, scale));
    // Rows of a tile go on to where the last of them ends.
    const end = min((first + i) | 3, keys - 1) + 1;
    for (let j = (seen + 3) & ~3; j < end; j++) store<f32>(row + (<usize>j << 2), 0);
  }
}

function maskRow(row: usize, n: i32, scale: f32, mask: usize, step: i32, isBool: i32): void {
  const scales = f32x4.splat(scale);
  const hidden = f32x4.splat(-Infinity);
  let j = 0;
  if (step == (isBool ? 1 : 4)) {
    for (; j + 4 <= n; j += 4) {
      const x = f32x4.mul(v128.load(row), scales);
      if (isBool) {
        const shown = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(mask)));
        v128.store(row, v128.bitselect(x, hidden, i32x4.ne(shown, i32x4.splat(0))));
      } else v128.store(row, f32x4.add(x, v128.load(mask)));
      row += 16;
      mask += step << 2;
    }
  }
  for (; j < n; j++) {
    const x = load<f32>(row) * scale;
    if (isBool) store<f32>(row, load<u8>(mask) != 0 ? x : -Infinity);
    else store<f32>(row, x + load<f32>(mask));
    row += 4;
    mask += step;
  }
}

/**
 * e^(scale · x − largest) in place of each score x; returns their sum. A NaN passes the maximum by, and makes the sum NaN.
 * The last vector's lanes behind the row become 0.
 */
function weigh(row: usize, n: i32, scale: f32): f32 {
  const scales = f32x4.splat(scale);
  const whole = n & ~3;
  let largest = f32x4.splat(-Infinity);
  for (let j = 0; j < whole; j += 4) {
    const at = row + (<usize>j << 2);
    const x = f32x4.mul(v128.load(at), scales);
    v128.store(at, x);
    largest = f32x4.pmax(largest, x);
  }
  if (whole < n) {
    const at = row + (<usize>whole << 2);
    const inside = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(n - whole));
    const x = v128.bitselect(f32x4.mul(v128.load(at), scales), f32x4.splat(-Infinity), inside);
    v128.store(at, x);
    largest = f32x4.pmax(largest, x);
  }
  largest = f32x4.pmax(largest, i32x4.shuffle(largest, largest, 2, 3, 0, 1));
  largest = f32x4.pmax(largest, i32x4.shuffle(largest, largest, 1, 0, 3, 2));
  const c0 = constant(expTable, 0);
  const c1 = constant(expTable, 1);
  const c2 = constant(expTable, 2);
  const c3 = constant(expTable, 3);
  const c4 = constant(expTable, 4);
  const c5 = constant(expTable, 5);
  const c6 = constant(expTable, 6);
  const c7 = constant(expTable, 7);
  const c8 = constant(expTable, 8);
  const c9 = constant(expTable, 9);
  const c10 = constant(expTable, 10);
  const c11 = constant(expTable, 11);
  const c12 = constant(expTable, 12);
  let total: f64 = 0;
  let vectors = (n + 3) >> 2;
  while (vectors > 0) {
    let sum = f32x4.splat(0);
    let count = min(vectors, vectorsBetweenFlushes);
    vectors -= count;
    for (; count > 0; count--) {
      const x = f32x4.sub(v128.load(row), largest);
      const weight = exp(x, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12);
      v128.store(row, weight);
      sum = f32x4.add(sum, weight);
      row += 16;
    }
    total += <f64>horizontalSum(sum);
  }
  return <f32>total;
}

/** The sums of values, weighted. As in scoreRows, tiles end where their last row does. */
function addValues(
  weights: usize, pitch: usize, rows: i32, packedV: usize, keys: i32, diagonal: i32, valueWidth: i32,
  output: usize, outputRow: usize, outputD: usize, tile: usize,
): void {
  const seen = min(diagonal + rows, keys);
  for (let p = 0; p < seen; p += blockTerms) {
    const mode = p > 0 ? Mode.accumulate : 0;
    for (let d = 0; d < valueWidth; d += 8) {
      const width = min(8, valueWidth - d);
      const panel = packedV + (<usize>(d * keys + 8 * p) << 2);
      for (let i = 0; i < rows; i += 4) {
        const depth = min(blockTerms, min(diagonal + i + 4, keys) - p);
        if (depth <= 0) continue;
        const height = min(4, rows - i);
        const a = weights + <usize>i * pitch + (<usize>p << 2);
        const a1 = height > 1 ? a + pitch : a;
        const a2 = height > 2 ? a1 + pitch : a1;
        const a3 = height > 3 ? a2 + pitch : a2;
        const to = output + <usize>i * outputRow + <usize>d * outputD;
        if (height == 4 && width == 8 && outputD == 4) {
          kernelDirect(depth, a, a1, a2, a3, panel, to, outputRow, mode, 0);
        } else {
          kernelDirect(depth, a, a1, a2, a3, panel, tile, 32, 0, 0);
          merge(tile, to, outputRow, outputD, height, width, mode, 0);
        }
      }
    }
  }
}

function divideRows(rows: i32, width: i32, output: usize, row: usize, step: usize, sums: usize): void {
  for (let i = 0; i < rows; i++) {
    const sum = load<f32>(sums + (<usize>i << 2));
    const inverse = f32x4.splat(1 / sum);
    let to = output + <usize>i * row;
    let d = 0;
    if (step == 4) {
      for (; d + 4 <= width; d += 4) {
        v128.store(to, f32x4.mul(v128.load(to), inverse));
        to += 16;
      }
    }
    for (; d < width; d++) {
      store<f32>(to, load<f32>(to) / sum);
      to += step;
    }
  }
}
