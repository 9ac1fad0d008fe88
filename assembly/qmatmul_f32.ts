/**
 * float32 rows times packed weights of 8 or 7 bits: few rows convert the weights in registers; more rows share panels that are converted
 * once, and use the micro-kernel of gemm_f32.ts.
 *
 * Payload, 32-bit words: `Operands`; rows in a block; addresses of scratch memory: a tile, table of rows, packed rows, a converted panel;
 * then `Dequantization`.
 */
import { gemm_f32_4x8_unpacked } from "./gemm_f32";
import { Operands, QmatmulFloatAt as At } from "./generated/agreement";
import { RowTable } from "./pack_i8";
import { Dequantization, dequantizePanel, placeRow, prepareColumns } from "./quantized_epilogue";
import { fma } from "./simd";

/** Up to this many rows, each converts the weights in registers. */
const gemvMaxRows: i32 = 3;

export function qmatmulFloat(payload: usize): void {
  const m = load<i32>(payload, Operands.m);
  const n = load<i32>(payload, Operands.n);
  const k = load<i32>(payload, Operands.k);
  const blockRows = load<i32>(payload, At.blockRows);
  const packed = load<usize>(payload, At.packed);
  const panel = load<usize>(payload, At.panel);
  const tile = load<usize>(payload, At.tile);
  const table = load<usize>(payload, At.table);
  const dequantization = payload + At.dequantization;
  const offset = load<i32>(dequantization, Dequantization.storedOffset);
  const steps = (k + 3) >> 2;
  const rowBytes = <usize>steps << 4;
  const panelBytes = <usize>steps << 5;
  prepareColumns(dequantization);
  for (let first = 0; first < m; first += blockRows) {
    const rows = min(blockRows, m - first);
    for (let i = 0; i < rows; i++) copyRow(payload, i, first + i, packed + <usize>i * rowBytes, table + <usize>i * RowTable.bytes);
    let weight = load<usize>(payload, Operands.weight);
    for (let j = 0; j < n; j += 8) {
      const width = min(8, n - j);
      if (m <= gemvMaxRows) {
        for (let i = 0; i < rows; i++) {
          row1x8(steps, packed + <usize>i * rowBytes, weight, offset, tile);
          dequantizePanel(dequantization, tile, table + <usize>i * RowTable.bytes, 1, j, width);
        }
      } else {
        convertPanel(steps, weight, offset, panel);
        for (let i = 0; i < rows; i += 4) {
          const height = min(4, rows - i);
          const p0 = packed + <usize>i * rowBytes;
          const p1 = height > 1 ? p0 + rowBytes : p0;
          const p2 = height > 2 ? p1 + rowBytes : p0;
          const p3 = height > 3 ? p2 + rowBytes : p0;
          gemm_f32_4x8_unpacked(steps << 2, p0, p1, p2, p3, panel, tile, 32, 0, 0);
          dequantizePanel(dequantization, tile, table + <usize>i * RowTable.bytes, height, j, width);
        }
      }
      weight += panelBytes;
    }
  }
}

/** Copies row i of a block, with zeros up to a multiple of 4, and sets its table entry. */
function copyRow(payload: usize, i: i32, row: i32, target: usize, entry: usize): void {
  const k = load<i32>(payload, Operands.k);
  const stride = load<i32>(payload, Operands.inputK) << 2;
  let source = load<usize>(payload, Operands.input) + (<usize>(row * load<i32>(payload, Operands.inputM)) << 2);
  const output = load<usize>(payload, Operands.output) + row * load<i32>(payload, Operands.outputM);
  placeRow(payload + At.dequantization, entry, i, row * load<i32>(payload, Operands.n), output);
  if (stride == 4) {
    memory.copy(target, source, <usize>k << 2);
  } else {
    for (let p = 0; p < k; p++) {
      store<f32>(target + (<usize>p << 2), load<f32>(source));
      source += stride;
    }
  }
  for (let p = k; (p & 3) != 0; p++) store<f32>(target + (<usize>p << 2), 0);
}

/**
 * C[1, 8] from one float32 row and a panel of packed weights. Each byte is moved to the top of an int32, which needs fewer instructions
 * than a sign extension and makes it 2^24 times as large; the row is divided by 2^24.
 */
function row1x8(steps: i32, x: usize, b: usize, offset: i32, sums: usize): void {
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0;
  const zero = i8x16.splat(<i8>offset);
  const scale = f32x4.splat(5.9604644775390625e-8); // 2^-24
  for (; steps > 0; steps--) {
    const a = f32x4.mul(v128.load(x), scale);
    const w0 = i8x16.sub(v128.load(b), zero);
    c0 = fma(a, topBytes(w0, 0), c0);
    c1 = fma(a, topBytes(w0, 1), c1);
    c2 = fma(a, topBytes(w0, 2), c2);
    c3 = fma(a, topBytes(w0, 3), c3);
    const w1 = i8x16.sub(v128.load(b, 16), zero);
    c4 = fma(a, topBytes(w1, 0), c4);
    c5 = fma(a, topBytes(w1, 1), c5);
    c6 = fma(a, topBytes(w1, 2), c6);
    c7 = fma(a, topBytes(w1, 3), c7);
    x += 16;
    b += 32;
  }
  v128.store(sums, horizontalSums(c0, c1, c2, c3));
  v128.store(sums, horizontalSums(c4, c5, c6, c7), 16);
}

/** Four bytes of a column as float32, times 2^24. */
// @ts-ignore: decorator
@inline
function topBytes(columns: v128, column: i32): v128 {
  const zero = i32x4.splat(0);
  const pairs = column < 2
    ? i8x16.shuffle(zero, columns, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
    : i8x16.shuffle(zero, columns, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const words = column & 1
    ? i16x8.shuffle(zero, pairs, 4, 12, 5, 13, 6, 14, 7, 15)
    : i16x8.shuffle(zero, pairs, 0, 8, 1, 9, 2, 10, 3, 11);
  return f32x4.convert_i32x4_s(words);
}

/** The sums of each vector's lanes. */
// @ts-ignore: decorator
@inline
function horizontalSums(x: v128, y: v128, z: v128, w: v128): v128 {
  const xy = f32x4.add(i32x4.shuffle(x, y, 0, 1, 4, 5), i32x4.shuffle(x, y, 2, 3, 6, 7));
  const zw = f32x4.add(i32x4.shuffle(z, w, 0, 1, 4, 5), i32x4.shuffle(z, w, 2, 3, 6, 7));
  return f32x4.add(i32x4.shuffle(xy, zw, 0, 2, 4, 6), i32x4.shuffle(xy, zw, 1, 3, 5, 7));
}

/** Converts a panel to float32, [k][8 columns]. */
function convertPanel(steps: i32, b: usize, offset: i32, target: usize): void {
  const zero = i16x8.splat(<i16>offset);
  for (; steps > 0; steps--) {
    convertQuad(v128.load(b), zero, target);
    convertQuad(v128.load(b, 16), zero, target + 16);
    b += 32;
    target += 128;
  }
}

/** Converts four columns × four k, transposed, to four rows that are 32 bytes apart. */
// @ts-ignore: decorator
@inline
function convertQuad(columns: v128, zero: v128, target: usize): void {
  const rows = i8x16.shuffle(columns, columns, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const low = i16x8.sub(i16x8.extend_low_i8x16_s(rows), zero);
  const high = i16x8.sub(i16x8.extend_high_i8x16_s(rows), zero);
  v128.store(target, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)));
  v128.store(target, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), 32);
  v128.store(target, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), 64);
  v128.store(target, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), 96);
}
