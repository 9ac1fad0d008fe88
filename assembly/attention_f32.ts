/**
 * Attention: softmax(scale · q · kᵀ + mask) · v, a block of rows at a time, of which alone the scores are stored. Keys and
 * values are packed once for all rows; tiles above the diagonal are left out where it is causal. A few rows read keys and
 * values where they lie.
 *
 * Scores stand in panels of 8 rows, [key][8]: products of 4 keys and 8 queries write them, the softmax of 8 rows goes down
 * the keys without crossing lanes, and a half of the panel is the packed left side of the product with the values.
 *
 * Payload, 32-bit words: rows, keys, width (of queries and keys), width of the values; addresses of q, k, v, mask (0: none),
 * output and scratch; strides in elements q.row, q.e, k.key, k.e, v.key, v.d, mask.row, mask.key, output.row, output.d;
 * scale; causal (0 or 1); whether the mask is bool (else float32); batch rank and count; then rank words each of extents and
 * of q's, k's, v's, the mask's and the output's strides.
 */
import { finiteOrZero, maskRow, weighRow } from "./attention_row_f32";
import { kernelPacked, merge, Mode } from "./gemm_f32";
import { gemv } from "./gemv_f32";
import { constant, exp, expTable } from "./math";
import { pack } from "./pack_f32";
import { locate, offsetAt } from "./walk";

/** Rows whose scores are stored at a time: four panels, for which each tile of keys stays in the first cache. */
const blockRows: i32 = 32;
/** Terms in one accumulator, of which a panel fits half the first cache. */
const blockTerms: i32 = 256;
/** Rows up to which keys and values are read for each. */
const fewRows: i32 = 3;
/** Weights summed in one accumulator. */
const blockWeights: i32 = 128;

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
  const kKey = strideAt(payload, At.kKey);
  const kE = strideAt(payload, At.kE);
  const vKey = strideAt(payload, At.vKey);
  const vD = strideAt(payload, At.vD);
  const isContiguous = (kE == 4 || kKey == 4) && (vD == 4 || vKey == 4);
  if (rows <= fewRows && isContiguous) {
    attendFew(payload, q, k, v, mask, output);
    return;
  }

  const qRow = strideAt(payload, At.qRow);
  const outputRow = strideAt(payload, At.outputRow);
  const outputD = strideAt(payload, At.outputD);
  const causal = load<i32>(payload, At.causal);
  const scale = load<f32>(payload, At.scale);
  const panelBytes = <usize>((keys + 3) & ~3) << 5;
  const sums = load<usize>(payload, At.scratch);
  const tile = sums + (blockRows << 2);
  const scores = tile + 128;
  const packedQ = scores + ((blockRows * panelBytes) >> 3);
  const packedK = packedQ + (<usize>(blockRows * width) << 2);
  const packedV = packedK + ((panelBytes * width) >> 3);
  pack(packedK, k, keys, width, kKey, kE, 4);
  pack(packedV, v, valueWidth, keys, vD, vKey, 8);
  for (let first = 0; first < rows; first += blockRows) {
    const count = min(blockRows, rows - first);
    // Row i of the block sees so many keys and i more.
    const seen = causal ? first + 1 : keys;
    pack(packedQ, q + <usize>first * qRow, count, width, qRow, strideAt(payload, At.qE), 8);
    scaleAll(packedQ, ((count + 7) & ~7) * width, scale);
    scorePanels(packedQ, packedK, count, keys, width, seen, scores, panelBytes);
    for (let i = 0; i < count; i += 8) {
      const panel = scores + <usize>(i >> 3) * panelBytes;
      const end = min(seen + i + 7, keys);
      hideFuture(panel, seen + i, end);
      if (mask != 0) maskPanel(payload, mask, first + i, min(8, count - i), panel, end);
      weighPanel(panel, end, sums + (<usize>i << 2));
    }
    const to = output + <usize>first * outputRow;
    addValues(scores, panelBytes, count, packedV, keys, seen, valueWidth, to, outputRow, outputD, tile);
    divideRows(count, valueWidth, to, outputRow, outputD, sums);
  }
}

/** Rows that read keys and values where they lie. */
function attendFew(payload: usize, q: usize, k: usize, v: usize, mask: usize, output: usize): void {
  const rows = load<i32>(payload, At.rows);
  const keys = load<i32>(payload, At.keys);
  const width = load<i32>(payload, At.width);
  const valueWidth = load<i32>(payload, At.valueWidth);
  const outputRow = strideAt(payload, At.outputRow);
  const outputD = strideAt(payload, At.outputD);
  const causal = load<i32>(payload, At.causal);
  const scale = load<f32>(payload, At.scale);
  const isBool = load<i32>(payload, At.isBool);
  const maskShift = isBool ? 0 : 2;
  const maskStep = load<i32>(payload, At.maskKey) << maskShift;
  const sums = load<usize>(payload, At.scratch);
  const scores = sums + (blockRows << 2);
  const pitch = <usize>((keys + 3) & ~3) << 2;
  const rest = scores + fewRows * pitch;
  const seen = causal ? min(rows, keys) : keys;
  gemv(rows, seen, width, q, strideAt(payload, At.qRow), strideAt(payload, At.qE),
    k, strideAt(payload, At.kE), strideAt(payload, At.kKey), scores, pitch, 4, 0, 0, rest);
  for (let i = 0; i < rows; i++) {
    const row = scores + <usize>i * pitch;
    const own = causal ? min(i + 1, keys) : keys;
    if (mask != 0) {
      maskRow(row, own, scale, mask + (i * load<i32>(payload, At.maskRow) << maskShift), maskStep, isBool);
    }
    store<f32>(sums + (<usize>i << 2), weighRow(row, own, mask != 0 ? 1 : scale));
    for (let j = own; j < seen; j++) store<f32>(row + (<usize>j << 2), 0);
  }
  gemv(rows, valueWidth, seen, scores, pitch, 4, v, strideAt(payload, At.vKey), strideAt(payload, At.vD),
    output, outputRow, outputD, 0, 0, rest);
  divideRows(rows, valueWidth, output, outputRow, outputD, sums);
}

function scaleAll(at: usize, count: i32, scale: f32): void {
  const scales = f32x4.splat(scale);
  for (; count > 0; count -= 4) {
    v128.store(at, f32x4.mul(v128.load(at), scales));
    at += 16;
  }
}

/** Tiles of 4 keys and 8 queries. Row i sees `seen` + i keys: tiles that all their rows do not see are left out. */
// @ts-ignore: decorator
@inline
function scorePanels(
  packedQ: usize, packedK: usize, rows: i32, keys: i32, width: i32, seen: i32, scores: usize, panelBytes: usize,
): void {
  const panels = (rows + 7) >> 3;
  const end = min(seen + 8 * panels - 1, keys);
  for (let j = 0; j < end; j += 4) {
    for (let p = max(0, j - seen + 1) >> 3; p < panels; p++) {
      const to = scores + <usize>p * panelBytes + (<usize>j << 5);
      let a = packedK + (<usize>(j * width) << 2);
      let b = packedQ + (<usize>(p * width) << 5);
      for (let e = 0; e < width; e += blockTerms) {
        const depth = min(blockTerms, width - e);
        kernelPacked(depth, a, 16, b, to, 32, e > 0 ? Mode.accumulate : 0, 0);
        a += <usize>depth << 4;
        b += <usize>depth << 5;
      }
    }
  }
}

/** Of the keys behind those that the panel's first row sees, each is hidden from one row more. */
function hideFuture(panel: usize, seen: i32, end: i32): void {
  for (let j = seen; j < end; j++) {
    const at = panel + (<usize>j << 5);
    for (let i = 0; i <= j - seen; i++) store<f32>(at + (<usize>i << 2), -Infinity);
  }
}

function maskPanel(payload: usize, mask: usize, first: i32, rows: i32, panel: usize, end: i32): void {
  const isBool = load<i32>(payload, At.isBool);
  const shift = isBool ? 0 : 2;
  const row = <usize>(load<i32>(payload, At.maskRow) << shift);
  const key = <usize>(load<i32>(payload, At.maskKey) << shift);
  const hidden = f32x4.splat(-Infinity);
  let from = mask + <usize>first * row;
  for (let j = 0; j < end; j++) {
    for (let i = 0; i < rows; i += 4) {
      const at = panel + (<usize>i << 2);
      const given = gather(from + <usize>i * row, row, rows - i, isBool);
      const x = v128.load(at);
      v128.store(at, isBool ? v128.bitselect(x, hidden, i32x4.ne(given, i32x4.splat(0))) : f32x4.add(x, given));
    }
    from += key;
    panel += 32;
  }
}

/** Up to four elements, of float32 or one byte each in the lowest byte of its lane. */
// @ts-ignore: decorator
@inline
function gather(at: usize, step: usize, count: i32, isByte: i32): v128 {
  let x = i32x4.splat(0);
  if (isByte) {
    x = v128.load_lane<u8>(at, x, 0);
    if (count > 1) x = v128.load_lane<u8>(at + step, x, 4);
    if (count > 2) x = v128.load_lane<u8>(at + 2 * step, x, 8);
    if (count > 3) x = v128.load_lane<u8>(at + 3 * step, x, 12);
    return x;
  }
  x = v128.load_lane<f32>(at, x, 0);
  if (count > 1) x = v128.load_lane<f32>(at + step, x, 1);
  if (count > 2) x = v128.load_lane<f32>(at + 2 * step, x, 2);
  if (count > 3) x = v128.load_lane<f32>(at + 3 * step, x, 3);
  return x;
}

/**
 * e^(x − the row's largest) in place of each score x, and their sums. The maximum ignores NaN; the sum then becomes NaN. A row
 * without a visible key has the sum 0.
 */
// @ts-ignore: decorator
@inline
function weighPanel(panel: usize, keys: i32, sums: usize): void {
  let m0 = f32x4.splat(-Infinity);
  let m1 = m0;
  for (let at = panel, end = panel + (<usize>keys << 5); at < end; at += 32) {
    m0 = f32x4.pmax(m0, v128.load(at));
    m1 = f32x4.pmax(m1, v128.load(at, 16));
  }
  m0 = finiteOrZero(m0);
  m1 = finiteOrZero(m1);
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
  let total0 = f32x4.splat(0);
  let total1 = total0;
  for (let j = 0; j < keys; j += blockWeights) {
    let sum0 = f32x4.splat(0);
    let sum1 = sum0;
    for (let count = min(blockWeights, keys - j); count > 0; count--) {
      const x = f32x4.sub(v128.load(panel), m0);
      const w0 = exp(x, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12);
      const y = f32x4.sub(v128.load(panel, 16), m1);
      const w1 = exp(y, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12);
      v128.store(panel, w0);
      v128.store(panel, w1, 16);
      sum0 = f32x4.add(sum0, w0);
      sum1 = f32x4.add(sum1, w1);
      panel += 32;
    }
    total0 = f32x4.add(total0, sum0);
    total1 = f32x4.add(total1, sum1);
  }
  v128.store(sums, total0);
  v128.store(sums, total1, 16);
}

/** The sums of values, weighted. As in scorePanels, tiles of 4 rows end where their last row does. */
// @ts-ignore: decorator
@inline
function addValues(
  weights: usize, panelBytes: usize, rows: i32, packedV: usize, keys: i32, seen: i32, valueWidth: i32,
  output: usize, outputRow: usize, outputD: usize, tile: usize,
): void {
  const end = min(seen + rows - 1, keys);
  for (let p = 0; p < end; p += blockTerms) {
    const mode = p > 0 ? Mode.accumulate : 0;
    for (let d = 0; d < valueWidth; d += 8) {
      const width = min(8, valueWidth - d);
      const panel = packedV + (<usize>(d * keys + 8 * p) << 2);
      for (let i = 0; i < rows; i += 4) {
        const depth = min(blockTerms, min(seen + i + 3, keys) - p);
        if (depth <= 0) continue;
        const height = min(4, rows - i);
        const a = weights + <usize>(i >> 3) * panelBytes + ((i & 4) << 2) + (<usize>p << 5);
        const to = output + <usize>i * outputRow + <usize>d * outputD;
        if (height == 4 && width == 8 && outputD == 4) kernelPacked(depth, a, 32, panel, to, outputRow, mode, 0);
        else {
          kernelPacked(depth, a, 32, panel, tile, 32, 0, 0);
          merge(tile, to, outputRow, outputD, height, width, mode, 0);
        }
      }
    }
  }
}

function divideRows(rows: i32, width: i32, output: usize, row: usize, step: usize, sums: usize): void {
  for (let i = 0; i < rows; i++) {
    const sum = load<f32>(sums + (<usize>i << 2));
    // A row that sees nothing is 0.
    const scale: f32 = sum == 0 ? 0 : 1 / sum;
    const inverse = f32x4.splat(scale);
    let to = output + <usize>i * row;
    let d = 0;
    if (step == 4) {
      for (; d + 4 <= width; d += 4) {
        v128.store(to, f32x4.mul(v128.load(to), inverse));
        to += 16;
      }
    }
    for (; d < width; d++) {
      store<f32>(to, load<f32>(to) * scale);
      to += step;
    }
  }
}
