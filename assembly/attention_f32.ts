/**
 * Attention: softmax(scale · q · kᵀ + mask) · v. Processes the queries in blocks of 32 rows; only one block's scores are in memory.
 * Keys and values are packed once for all blocks; tiles above the causal diagonal are skipped. Up to 3 rows use GEMV kernels, which
 * read keys and values unpacked.
 *
 * Scores are stored in panels of 8 rows, [key][8]. Products of 4 keys × 8 queries write a panel; the softmax of 8 rows needs no
 * operations across lanes; and half a panel, [key][4 of 8], is the packed left operand of the product with the values.
 *
 * Each matrix of the batch has a length (number of valid keys) and a position (of its first query). Keys beyond the length, and keys
 * masked for every row by causality or the window, are not read.
 *
 * Payload, 32-bit words: rows, keys, width (of queries and keys), width of the values; addresses of q, k, v, mask, output,
 * lengths, positions (0: none) and scratch; strides in elements q.row, q.e, k.key, k.e, v.key, v.d, mask.row, mask.key, output.row,
 * output.d; scale; causal (0 or 1); row step; whether the mask is bool (else float32); window (0: none); batch rank and count; then rank
 * words each of extents and of the strides of q, k, v, mask, output, lengths and positions.
 *
 * The row step is the difference of the positions of two rows: 1, or 0 for the heads of a group, whose rows share keys and values.
 * They always use the GEMV kernels, which read the keys and values once for all rows.
 *
 * Causality and window appear below as two bounds relative to the first key that is read: row i sees keys j with
 * past + step · i ≤ j < seen + step · i.
 */
import { applyCausalMask, maskPanel } from "./attention_mask_f32";
import { finiteOrZero, maskRow, rowNumerators } from "./attention_row_f32";
import { gemm_f32_4x8_packed, storePartialTile, Mode } from "./gemm_f32";
import { gemv } from "./gemv_f32";
import { AttentionAt as At, AttentionBlocks, Stored, tileBytes } from "./generated/agreement";
import { constant, exp, expTable } from "./math";
import { pack } from "./pack_f32";
import { locate, offsetAt } from "./strided";

/** Terms summed per accumulator: a panel of that depth takes half the L1 cache. */
const blockTerms: i32 = 256;
/** Softmax weights summed per float32 accumulator, which bounds the rounding error. */
const blockWeights: i32 = 128;

const place: usize = memory.data(256, 16);

export function attention(payload: usize): void {
  const rank = load<i32>(payload, At.rank);
  const batches = load<i32>(payload, At.batches);
  for (let batch = 0; batch < batches; batch++) {
    locate(place, payload + At.extents, rank, batch);
    attend(payload, rank);
  }
}

/** The address of an operand's matrix at batch index `place`, 0 for an absent operand; `number` is the position of its list of strides. */
function matrixAt(payload: usize, at: usize, rank: i32, number: i32, shift: i32): usize {
  const base = load<usize>(payload + at);
  if (base == 0) return 0;
  return base + (offsetAt(place, payload + At.extents + (<usize>(rank * number) << 2), rank) << shift);
}

// @ts-ignore: decorator
@inline
function strideAt(payload: usize, at: usize): usize {
  return <usize>(load<i32>(payload + at) << 2);
}

/** One matrix of the batch. */
function attend(payload: usize, rank: i32): void {
  const rows = load<i32>(payload, At.rows);
  const maskShift = load<i32>(payload, At.isBool) ? 0 : 2;
  const output = matrixAt(payload, At.output, rank, 5, 2);
  const lengthAt = matrixAt(payload, At.lengths, rank, 6, 2);
  const positionAt = matrixAt(payload, At.positions, rank, 7, 2);
  const causal = load<i32>(payload, At.causal);
  const step = load<i32>(payload, At.rowStep);
  const window = load<i32>(payload, At.window);
  // Clamped so that no sum overflows; positions and lengths beyond all keys have the same effect as the bound.
  const capacity = load<i32>(payload, At.keys);
  const position = positionAt ? max(-rows, min(load<i32>(positionAt), capacity + window)) : 0;
  let keys = lengthAt ? min(load<i32>(lengthAt), capacity) : capacity;
  if (causal) keys = min(keys, position + 1 + step * (rows - 1));
  const begin = window ? max(0, position + 1 - window) : 0;
  keys -= begin;
  if (keys <= 0) {
    for (let i = 0; i < rows; i++) {
      zeroRow(load<i32>(payload, At.valueWidth), output + <usize>i * strideAt(payload, At.outputRow), strideAt(payload, At.outputD));
    }
    return;
  }
  const kKey = strideAt(payload, At.kKey);
  const kE = strideAt(payload, At.kE);
  const vKey = strideAt(payload, At.vKey);
  const vD = strideAt(payload, At.vD);
  const q = matrixAt(payload, At.q, rank, 1, 2);
  const k = matrixAt(payload, At.k, rank, 2, 2) + <usize>begin * kKey;
  const v = matrixAt(payload, At.v, rank, 3, 2) + <usize>begin * vKey;
  let mask = matrixAt(payload, At.mask, rank, 4, maskShift);
  if (mask != 0) mask += begin * load<i32>(payload, At.maskKey) << maskShift;
  // Row i sees the keys j with past + step * i <= j < seen + step * i.
  const seen = causal ? position + 1 - begin : keys;
  const past = window ? position + 1 - window - begin : -rows - 8;
  const isContiguous = (kE == 4 || kKey == 4) && (vD == 4 || vKey == 4);
  const isFew = rows <= AttentionBlocks.gemvMaxRows || step == 0;
  if (isFew && isContiguous) attendFew(payload, q, k, v, mask, output, keys, seen, past);
  else attendBlocks(payload, q, k, v, mask, output, keys, seen, past);
}

function attendBlocks(
  payload: usize, q: usize, k: usize, v: usize, mask: usize, output: usize, keys: i32, seenFirst: i32, pastFirst: i32,
): void {
  const rows = load<i32>(payload, At.rows);
  const width = load<i32>(payload, At.width);
  const valueWidth = load<i32>(payload, At.valueWidth);
  const qRow = strideAt(payload, At.qRow);
  const outputRow = strideAt(payload, At.outputRow);
  const outputD = strideAt(payload, At.outputD);
  const causal = load<i32>(payload, At.causal);
  const scale = load<f32>(payload, At.scale);
  const panelBytes = <usize>((keys + 3) & ~3) << 5;
  const sums = load<usize>(payload, At.scratch);
  const tile = sums + (AttentionBlocks.blockRows << 2);
  const scores = tile + tileBytes;
  const packedQ = scores + ((AttentionBlocks.blockRows * panelBytes) >> 3);
  const packedK = packedQ + (<usize>(AttentionBlocks.blockRows * width) << 2);
  const packedV = packedK + ((panelBytes * width) >> 3);
  pack(packedK, k, keys, width, strideAt(payload, At.kKey), strideAt(payload, At.kE), 4);
  pack(packedV, v, valueWidth, keys, strideAt(payload, At.vD), strideAt(payload, At.vKey), 8);
  for (let first = 0; first < rows; first += AttentionBlocks.blockRows) {
    const count = min(AttentionBlocks.blockRows, rows - first);
    const seen = causal ? seenFirst + first : keys;
    // The first visible key, rounded down to a tile of four keys.
    const from = max(0, pastFirst + first) & ~3;
    pack(packedQ, q + <usize>first * qRow, count, width, qRow, strideAt(payload, At.qE), 8);
    scaleAll(packedQ, ((count + 7) & ~7) * width, scale);
    scorePanels(packedQ, packedK, count, from, keys, width, seen, scores, panelBytes);
    for (let i = 0; i < count; i += 8) {
      const panel = scores + <usize>(i >> 3) * panelBytes;
      const end = min(seen + i + 7, keys);
      applyCausalMask(panel, from, end, seen + i, pastFirst + first + i);
      if (mask != 0) {
        const row = load<u32>(payload, At.maskRow);
        const key = load<u32>(payload, At.maskKey);
        const isBool = load<i32>(payload, At.isBool);
        maskPanel(mask, isBool, row, key, first + i, min(8, count - i), panel, from, end);
      }
      panelNumerators(panel + (<usize>from << 5), end - from, sums + (<usize>i << 2));
    }
    const to = output + <usize>first * outputRow;
    addValues(scores, panelBytes, count, packedV, from, keys, seen, valueWidth, to, outputRow, outputD, tile);
    divideRows(count, valueWidth, to, outputRow, outputD, sums);
  }
}

/** Up to `gemvMaxRows` rows, or the heads of a group: both products are GEMVs on the unpacked keys and values. */
function attendFew(
  payload: usize, q: usize, k: usize, v: usize, mask: usize, output: usize, keys: i32, seenFirst: i32, pastFirst: i32,
): void {
  const rows = load<i32>(payload, At.rows);
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
  const scores = sums + (AttentionBlocks.blockRows << 2);
  // rowNumerators writes whole vectors, starting at any key: up to 3 scores beyond the last key.
  const pitch = <usize>((keys + 7) & ~3) << 2;
  const rest = scores + rows * pitch;
  const step = load<i32>(payload, At.rowStep);
  gemv(Stored.float32, Stored.float32, rows, keys, width, q, strideAt(payload, At.qRow), strideAt(payload, At.qE),
    k, strideAt(payload, At.kE), strideAt(payload, At.kKey), scores, pitch, 4, 0, 0, rest);
  for (let i = 0; i < rows; i++) {
    const row = scores + <usize>i * pitch;
    const end = causal ? max(0, min(seenFirst + step * i, keys)) : keys;
    const start = min(max(0, pastFirst + step * i), end);
    const visible = row + (<usize>start << 2);
    if (mask != 0) {
      const from = mask + (i * load<i32>(payload, At.maskRow) << maskShift) + start * maskStep;
      maskRow(visible, end - start, scale, from, maskStep, isBool);
    }
    store<f32>(sums + (<usize>i << 2), rowNumerators(visible, end - start, mask != 0 ? 1 : scale));
    zeroRow(start, row, 4);
    zeroRow(keys - end, row + (<usize>end << 2), 4);
  }
  gemv(Stored.float32, Stored.float32, rows, valueWidth, keys, scores, pitch, 4, v, strideAt(payload, At.vKey), strideAt(payload, At.vD),
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

/** Writes the scores in tiles of 4 keys × 8 queries. Row i sees `seen` + i keys; tiles that no row of the panel sees are skipped. */
// @ts-ignore: decorator
@inline
function scorePanels(
  packedQ: usize, packedK: usize, rows: i32, from: i32, keys: i32, width: i32, seen: i32, scores: usize, panelBytes: usize,
): void {
  const panels = (rows + 7) >> 3;
  const end = min(seen + 8 * panels - 1, keys);
  for (let j = from; j < end; j += 4) {
    for (let p = max(0, j - seen + 1) >> 3; p < panels; p++) {
      const to = scores + <usize>p * panelBytes + (<usize>j << 5);
      let a = packedK + (<usize>(j * width) << 2);
      let b = packedQ + (<usize>(p * width) << 5);
      for (let e = 0; e < width; e += blockTerms) {
        const depth = min(blockTerms, width - e);
        gemm_f32_4x8_packed(depth, a, 16, b, to, 32, e > 0 ? Mode.accumulate : 0, 0);
        a += <usize>depth << 4;
        b += <usize>depth << 5;
      }
    }
  }
}

/**
 * Softmax numerators of the panel's 8 rows, in place: e^(x − maximum of the row); writes their sums to `sums`. The maximum ignores NaN;
 * the sum then becomes NaN. A row without a visible key has the sum 0.
 */
// @ts-ignore: decorator
@inline
function panelNumerators(panel: usize, keys: i32, sums: usize): void {
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

/** output = weights · values, unnormalized. As in scorePanels, each tile of 4 rows ends at the last key that its last row sees. */
// @ts-ignore: decorator
@inline
function addValues(
  weights: usize, panelBytes: usize, rows: i32, packedV: usize, from: i32, keys: i32, seen: i32, valueWidth: i32,
  output: usize, outputRow: usize, outputD: usize, tile: usize,
): void {
  const end = min(seen + rows - 1, keys);
  for (let p = from; p < end; p += blockTerms) {
    const mode = p > from ? Mode.accumulate : 0;
    for (let d = 0; d < valueWidth; d += 8) {
      const width = min(8, valueWidth - d);
      const panel = packedV + (<usize>(d * keys + 8 * p) << 2);
      for (let i = 0; i < rows; i += 4) {
        const depth = min(blockTerms, min(seen + i + 3, keys) - p);
        if (depth <= 0) continue;
        const height = min(4, rows - i);
        const a = weights + <usize>(i >> 3) * panelBytes + ((i & 4) << 2) + (<usize>p << 5);
        const to = output + <usize>i * outputRow + <usize>d * outputD;
        if (height == 4 && width == 8 && outputD == 4) gemm_f32_4x8_packed(depth, a, 32, panel, to, outputRow, mode, 0);
        else {
          gemm_f32_4x8_packed(depth, a, 32, panel, tile, 32, 0, 0);
          storePartialTile(tile, to, outputRow, outputD, height, width, mode, 0);
        }
      }
    }
  }
}

function zeroRow(width: i32, to: usize, step: usize): void {
  for (; width > 0; width--) {
    store<f32>(to, 0);
    to += step;
  }
}

function divideRows(rows: i32, width: i32, output: usize, row: usize, step: usize, sums: usize): void {
  for (let i = 0; i < rows; i++) {
    const sum = load<f32>(sums + (<usize>i << 2));
    let to = output + <usize>i * row;
    // No visible key.
    if (sum == 0) {
      zeroRow(width, to, step);
      continue;
    }
    const scale: f32 = 1 / sum;
    const inverse = f32x4.splat(scale);
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
