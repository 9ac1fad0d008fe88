/**
 * float32 rows times packed weights of 8 or 7 bits: few rows are split into two integers of 15 bits, because four weights take ten
 * instructions to convert and multiply as floats but five as integers; more rows share panels that are converted once, and use the
 * micro-kernel of gemm_f32.ts.
 *
 * Payload, 32-bit words: `Operands`; rows in a block; addresses of scratch memory: a tile, table of rows, packed rows, a converted panel;
 * then `Dequantization`.
 */
import { gemm_f32_4x8_unpacked } from "./gemm_f32";
import { Operands, pieceSteps, QmatmulFloatAt as At } from "./generated/agreement";
import { RowTable } from "./pack_i8";
import { multiplyPieces } from "./qgemv";
import { exact, exact1x8c4 } from "./qgemv_i8";
import { Dequantization, dequantizePanel, placeRow, prepareColumns } from "./quantized_epilogue";
import { addPairs } from "./simd";

/** Up to this many rows (at most `gemvRows`) are split. */
const splitMaxRows: i32 = 3;
/** Bytes before each piece of a split row: corrections and scales. */
const pieceHeaderBytes: usize = 16;

let allSteps: i32 = 0;

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
    if (m <= splitMaxRows && splitRows(rows, steps, packed, panel, offset)) {
      allSteps = steps;
      const pieces = (steps + pieceSteps - 1) / pieceSteps;
      const splitBytes = rowBytes + <usize>pieces * pieceHeaderBytes;
      multiplyPieces(split1x8, pieces, rows, panel, splitBytes, weight, panelBytes, n, dequantization, table, tile, false);
      return;
    }
    for (let j = 0; j < n; j += 8) {
      const width = min(8, n - j);
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
 * Splits rows into two numbers of 15 bits each, x ≈ (high · 2^15 + low) / 2^shift with |x| < 2^29 / 2^shift: the products with int8 are
 * exact in integers. Layout: pieces of [corrections and scales of both][steps][4 high], then [steps][4 low]. Returns false if a number is not finite.
 */
function splitRows(rows: i32, steps: i32, from: usize, to: usize, offset: i32): bool {
  for (let i = 0; i < rows; i++) {
    const end = from + (<usize>steps << 4);
    let largest = i32x4.splat(0);
    const magnitude = i32x4.splat(0x7fffffff);
    for (let at = from; at < end; at += 16) largest = i32x4.max_s(largest, v128.and(v128.load(at), magnitude));
    largest = i32x4.max_s(largest, i32x4.shuffle(largest, largest, 2, 3, 0, 1));
    const exponent = max(i32x4.extract_lane(largest, 0), i32x4.extract_lane(largest, 1)) >> 23;
    if (exponent == 255) return false;
    // 2^shift as bits of its exponent; inputs below 2^-98 are divided by 2^-98.
    const factor = min(127 + 28 + 127 - exponent, 253);
    const scale = i32x4.splat(factor << 23);
    const half = i32x4.splat(1 << 14);
    while (from < end) {
      const header = to;
      let sums = i32x4.splat(0);
      to += pieceHeaderBytes;
      const count = min(pieceSteps, <i32>((end - from) >> 4));
      const low = <usize>count << 3;
      for (let step = 0; step < count; step++) {
        const x = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(from), scale)));
        const high = i32x4.shr_s(i32x4.add(x, half), 15);
        const both = i16x8.narrow_i32x4_s(high, i32x4.sub(x, i32x4.shl(high, 15)));
        v128.store64_lane(to, both, 0);
        v128.store64_lane(to + low, both, 1);
        sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_s(both));
        from += 16;
        to += 8;
      }
      to += low;
      sums = i32x4.mul(addPairs(sums, sums), i32x4.splat(offset));
      // 2^15 / 2^shift and 1 / 2^shift.
      v128.store(header, i32x4.replace_lane(i32x4.replace_lane(sums, 2, (254 + 15 - factor) << 23), 3, (254 - factor) << 23));
    }
  }
  return true;
}

/** A piece of a row of `splitRows` × eight columns, added to float32 sums. */
function split1x8(piece: i32, x: usize, b: usize, index: i32, sums: usize): void {
  const first = piece * pieceSteps;
  const steps = min(pieceSteps, allSteps - first);
  let header = x + <usize>piece * (pieceHeaderBytes + (pieceSteps << 4));
  x = header + pieceHeaderBytes;
  b += <usize>first << 5;
  // The piece of the panel is in the L1 cache for the second part.
  for (let part = 0; part < 2; part++) {
    exact1x8c4(steps, x, b);
    addPart(sums, 0, header);
    addPart(sums, 16, header);
    x += <usize>steps << 3;
    header += 4;
  }
}

/** Adds four exact sums minus a correction, times a scale. */
// @ts-ignore: decorator
@inline
function addPart(sums: usize, at: usize, header: usize): void {
  const part = f32x4.convert_i32x4_s(i32x4.sub(v128.load(exact + at), v128.load32_splat(header)));
  v128.store(sums + at, f32x4.add(v128.load(sums + at), f32x4.mul(part, v128.load32_splat(header, 8))));
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
