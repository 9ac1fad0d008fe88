/**
 * float32 matrix product: packed panels, a 4 × 8 micro-kernel (8 accumulators and 6 loads use all of 15 vector registers), and GEMV
 * (gemv_f32.ts) for few rows or columns.
 *
 * Payload of `matmul`, 32-bit words: m, n, k; addresses of a, b, output and scratch; strides in elements a.m, a.k, b.k, b.n,
 * output.m, output.n; address of a bias per column (0: none); relu (0 or 1); 1 if there is an epilogue, for an output of contiguous
 * rows; address of b's panels (0: none) and 1 if they are filled; the formats (`Stored`) of a and b; batch rank and count; then rank
 * words each of extents and of a's, b's and the output's strides; then the epilogue.
 *
 * If the device caches packed panels of b (src/device/wasm/panels.ts), they hold all columns for each block of k: [⌈n/8⌉][block][8]. The
 * result has the same bits with and without them.
 */
import { applyToRows, openEpilogue } from "./epilogue";
import { gemv } from "./gemv_f32";
import { Gemm, MatmulAt as At, Stored, tileBytes, widenedBytes } from "./generated/agreement";
import { pack, packAny, shiftOf } from "./pack_f32";
import { fma } from "./simd";

/** From this many columns on, packing row-major A pays for itself. */
const packFromN: i32 = 64;

/** Flags for storing a tile: add it to the output, add the bias, apply ReLU. */
export namespace Mode {
  export const accumulate: i32 = 1;
  export const bias: i32 = 2;
  export const relu: i32 = 4;
}

export function matmul(payload: usize): void {
  const rank = load<i32>(payload, At.rank);
  const batches = load<i32>(payload, At.batches);
  const extents = payload + At.extents;
  const bytes = <usize>rank << 2;
  const epilogue = openEpilogue(load<i32>(payload, At.epilogue), extents + 4 * bytes);
  for (let batch = 0; batch < batches; batch++) {
    let a = 0;
    let b = 0;
    let output = 0;
    let rest = batch;
    for (let d = rank - 1; d >= 0; d--) {
      const word = extents + (<usize>d << 2);
      const extent = load<i32>(word);
      const at = rest % extent;
      rest /= extent;
      a += at * load<i32>(word + bytes);
      b += at * load<i32>(word + 2 * bytes);
      output += at * load<i32>(word + 3 * bytes);
    }
    multiply(payload, load<usize>(payload, At.a) + (a << <i32>shiftOf(load<i32>(payload, At.aFormat))),
      load<usize>(payload, At.b) + (b << <i32>shiftOf(load<i32>(payload, At.bFormat))),
      load<usize>(payload, At.output) + (output << 2), epilogue, batch);
  }
}

/** One matrix of the batch. */
function multiply(payload: usize, a: usize, b: usize, output: usize, epilogue: usize, batch: i32): void {
  const m = load<i32>(payload, At.m);
  const n = load<i32>(payload, At.n);
  const k = load<i32>(payload, At.k);
  const aFormat = load<i32>(payload, At.aFormat);
  const bFormat = load<i32>(payload, At.bFormat);
  const aM = <usize>load<i32>(payload, At.aM) << shiftOf(aFormat);
  const aK = <usize>load<i32>(payload, At.aK) << shiftOf(aFormat);
  const bK = <usize>load<i32>(payload, At.bK) << shiftOf(bFormat);
  const bN = <usize>load<i32>(payload, At.bN) << shiftOf(bFormat);
  const outputM = <usize>(load<i32>(payload, At.outputM) << 2);
  const outputN = <usize>(load<i32>(payload, At.outputN) << 2);
  const relu = load<i32>(payload, At.relu);
  const scratch = load<usize>(payload, At.scratch);
  const bias = load<usize>(payload, At.bias);
  const start = batch * m * n;
  const isHalf = bFormat != Stored.float32;
  if (m <= Gemm.gemvMaxRows && (isHalf ? bK == 2 : bN == 4 || bK == 4)) {
    gemv(aFormat, bFormat, m, n, k, a, aM, aK, b, bK, bN, output, outputM, outputN, bias, relu, scratch);
    if (epilogue) applyToRows(epilogue, start, n, m, 0, n);
    return;
  }
  const panels = load<usize>(payload, At.panels);
  if (panels != 0 && load<i32>(payload, At.filled) == 0) {
    for (let p = 0; p < k; p += Gemm.blockK) pack(panelsAt(panels, n, p), b + <usize>p * bK, n, min(Gemm.blockK, k - p), bN, bK, 8);
    store<i32>(payload, 1, At.filled);
  }
  product(aFormat, bFormat, m, n, k, a, aM, aK, b, bK, bN, output, outputM, outputN, bias, relu, scratch, panels, epilogue, start);
}

/** The panels of the block of k that starts at p. */
// @ts-ignore: decorator
@inline
function panelsAt(panels: usize, n: i32, p: i32): usize {
  return panels + (<usize>(((n + 7) & ~7) * p) << 2);
}

/** C = A · B in blocks of k, rows and columns. Strides in bytes from here on; `panels` are filled, or 0. */
function product(
  aFormat: i32, bFormat: i32, m: i32, n: i32, k: i32, a: usize, aM: usize, aK: usize, b: usize, bK: usize, bN: usize,
  output: usize, outputM: usize, outputN: usize, bias: usize, relu: i32, scratch: usize, panels: usize,
  epilogue: usize, start: i32,
): void {
  const tile = scratch;
  const widened = scratch + tileBytes;
  const packedA = widened + widenedBytes;
  const packedB = packedA + ((Gemm.blockM * Gemm.blockK) << 2);
  const direct = aFormat == Stored.float32 && aK == 4 && n < packFromN;
  // One block of rows: k is the outer loop, so that A is packed once. Several: A is packed again for each of the wide blocks of columns.
  const oneBlock = m <= Gemm.blockM;
  const width = oneBlock ? Gemm.fewColumns : Gemm.blockN;
  const epilogueWidth = oneBlock ? Gemm.epilogueColumns : Gemm.blockN;
  const alongN = (n + width - 1) / width;
  const alongK = (k + Gemm.blockK - 1) / Gemm.blockK;
  for (let block = 0; block < alongN * alongK; block++) {
    const j = (oneBlock ? block % alongN : block / alongK) * width;
    const p = (oneBlock ? block / alongN : block % alongK) * Gemm.blockK;
    const columns = min(width, n - j);
    const depth = min(Gemm.blockK, k - p);
    let mode: i32 = p > 0 ? Mode.accumulate : 0;
    if (p + depth == k) mode |= (bias != 0 ? Mode.bias : 0) | (relu ? Mode.relu : 0);
    let panel = panelsAt(panels, n, p) + (<usize>(j * depth) << 2);
    if (panels == 0) {
      panel = packedB;
      packAny(bFormat, packedB, b + <usize>p * bK + <usize>j * bN, columns, depth, bN, bK, 8, widened);
    }
    for (let i = 0; i < m; i += Gemm.blockM) {
      const rows = min(Gemm.blockM, m - i);
      const source = a + <usize>i * aM + <usize>p * aK;
      if (!direct && (j == 0 || !oneBlock)) packAny(aFormat, packedA, source, rows, depth, aM, aK, 4, widened);
      let at = panel;
      for (let jr = j; jr < j + columns; jr += 8) {
        const to = output + <usize>i * outputM + <usize>jr * outputN;
        const biasAt: usize = bias == 0 ? 0 : bias + (<usize>jr << 2);
        if (direct) rowsDirect(rows, depth, source, aM, at, to, outputM, outputN, min(8, n - jr), mode, biasAt, tile);
        else rowsPacked(rows, depth, packedA, at, to, outputM, outputN, min(8, n - jr), mode, biasAt, tile);
        at += <usize>depth << 5;
      }
      const end = j + columns;
      if (epilogue && p + depth == k && (end == n || end % epilogueWidth == 0)) {
        applyToRows(epilogue, start + i * n, n, rows, (end - 1) / epilogueWidth * epilogueWidth, end);
      }
    }
  }
}

/** All row tiles of one panel of columns; A is packed. */
// @ts-ignore: decorator
@inline
function rowsPacked(
  rows: i32, depth: i32, packedA: usize, panel: usize, output: usize, outputM: usize, outputN: usize,
  width: i32, mode: i32, bias: usize, tile: usize,
): void {
  const whole = width == 8 && outputN == 4;
  for (let ir = 0; ir < rows; ir += 4) {
    const height = min(4, rows - ir);
    const to = output + <usize>ir * outputM;
    const source = packedA + (<usize>(ir * depth) << 2);
    if (whole && height == 4) gemm_f32_4x8_packed(depth, source, 16, panel, to, outputM, mode, bias);
    else {
      gemm_f32_4x8_packed(depth, source, 16, panel, tile, 32, 0, 0);
      storePartialTile(tile, to, outputM, outputN, height, width, mode, bias);
    }
  }
}

/** The same for unpacked, row-major A. Missing rows of the last tile repeat the last row. */
// @ts-ignore: decorator
@inline
function rowsDirect(
  rows: i32, depth: i32, a: usize, aM: usize, panel: usize, output: usize, outputM: usize, outputN: usize,
  width: i32, mode: i32, bias: usize, tile: usize,
): void {
  const whole = width == 8 && outputN == 4;
  for (let ir = 0; ir < rows; ir += 4) {
    const height = min(4, rows - ir);
    const to = output + <usize>ir * outputM;
    const a0 = a + <usize>ir * aM;
    const a1 = height > 1 ? a0 + aM : a0;
    const a2 = height > 2 ? a1 + aM : a1;
    const a3 = height > 3 ? a2 + aM : a2;
    if (whole && height == 4) gemm_f32_4x8_unpacked(depth, a0, a1, a2, a3, panel, to, outputM, mode, bias);
    else {
      gemm_f32_4x8_unpacked(depth, a0, a1, a2, a3, panel, tile, 32, 0, 0);
      storePartialTile(tile, to, outputM, outputN, height, width, mode, bias);
    }
  }
}

/** C[4, 8] from panels of A ([k][4], `step` bytes from k to k) and B ([k][8]). */
export function gemm_f32_4x8_packed(k: i32, a: usize, step: usize, b: usize, c: usize, row: usize, mode: i32, bias: usize): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.load32_splat(a);
    c00 = fma(a0, b0, c00);
    c01 = fma(a0, b1, c01);
    const a1 = v128.load32_splat(a, 4);
    c10 = fma(a1, b0, c10);
    c11 = fma(a1, b1, c11);
    const a2 = v128.load32_splat(a, 8);
    c20 = fma(a2, b0, c20);
    c21 = fma(a2, b1, c21);
    const a3 = v128.load32_splat(a, 12);
    c30 = fma(a3, b0, c30);
    c31 = fma(a3, b1, c31);
    a += step;
    b += 32;
  } while (--k);
  storeTile(c, row, mode, bias, c00, c01, c10, c11, c20, c21, c30, c31);
}

/** C[4, 8] from four contiguous rows of A, unpacked, and a panel of B. */
export function gemm_f32_4x8_unpacked(
  k: i32, p0: usize, p1: usize, p2: usize, p3: usize, b: usize, c: usize, row: usize, mode: i32, bias: usize,
): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.load32_splat(p0);
    c00 = fma(a0, b0, c00);
    c01 = fma(a0, b1, c01);
    const a1 = v128.load32_splat(p1);
    c10 = fma(a1, b0, c10);
    c11 = fma(a1, b1, c11);
    const a2 = v128.load32_splat(p2);
    c20 = fma(a2, b0, c20);
    c21 = fma(a2, b1, c21);
    const a3 = v128.load32_splat(p3);
    c30 = fma(a3, b0, c30);
    c31 = fma(a3, b1, c31);
    p0 += 4;
    p1 += 4;
    p2 += 4;
    p3 += 4;
    b += 32;
  } while (--k);
  storeTile(c, row, mode, bias, c00, c01, c10, c11, c20, c21, c30, c31);
}

/** Stores a tile's sums. Inlined: with a call before the store, V8 would spill the accumulators in the loop. */
// @ts-ignore: decorator
@inline
export function storeTile(
  c: usize, row: usize, mode: i32, bias: usize,
  c00: v128, c01: v128, c10: v128, c11: v128, c20: v128, c21: v128, c30: v128, c31: v128,
): void {
  storeRow(c, c00, c01, mode);
  storeRow(c + row, c10, c11, mode);
  storeRow(c + row + row, c20, c21, mode);
  storeRow(c + row + row + row, c30, c31, mode);
  if (mode > Mode.accumulate) biasAndRelu(c, row, mode, bias);
}

/** Row by row: with one branch around the additions of all rows, V8 needs more instructions for the loop before them. */
// @ts-ignore: decorator
@inline
function storeRow(to: usize, x: v128, y: v128, mode: i32): void {
  if (mode & Mode.accumulate) {
    x = f32x4.add(x, v128.load(to));
    y = f32x4.add(y, v128.load(to, 16));
  }
  v128.store(to, x);
  v128.store(to, y, 16);
}

/** Adds the bias to four rows of eight sums, then applies ReLU, which keeps NaN. */
function biasAndRelu(c: usize, row: usize, mode: i32, bias: usize): void {
  const zero = i32x4.splat(0);
  for (let i = 0; i < 4; i++) {
    let x = v128.load(c);
    let y = v128.load(c, 16);
    if (mode & Mode.bias) {
      x = f32x4.add(x, v128.load(bias));
      y = f32x4.add(y, v128.load(bias, 16));
    }
    if (mode & Mode.relu) {
      x = v128.andnot(x, f32x4.lt(x, zero));
      y = v128.andnot(y, f32x4.lt(y, zero));
    }
    v128.store(c, x);
    v128.store(c, y, 16);
    c += row;
  }
}

/** Stores the part of a tile that is inside the output, with any strides. */
export function storePartialTile(tile: usize, to: usize, outputM: usize, outputN: usize, height: i32, width: i32, mode: i32, bias: usize): void {
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      const at = to + <usize>i * outputM + <usize>j * outputN;
      let value = load<f32>(tile + (<usize>(i * 8 + j) << 2));
      if (mode & Mode.accumulate) value += load<f32>(at);
      if (mode & Mode.bias) value += load<f32>(bias + (<usize>j << 2));
      if (mode & Mode.relu && value < 0) value = 0;
      store<f32>(at, value);
    }
  }
}
