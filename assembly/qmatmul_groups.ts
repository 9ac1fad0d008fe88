/**
 * int8 rows times packed weights of 4 or 8 bits (src/kernels/packed.ts), both with scales per group along k: the exact int32 sum of each
 * group, as float32, times both scales; the products of the groups are added in float32. With minimums, each group also adds the exact sum
 * of its inputs times the input's scale and the minimum.
 *
 * Weights of 4 bits are stored as 0..15. In the relaxed binary, the sums of 8 pairs of their products with int8 fit int16
 * (32 · 15 · 128 / 2 < 2^15), so that 32 values of k need one widening. In the other binary they are multiplied as parts of int16, in
 * place: number i of the four in 16 bits is 16^i times as large, and inputs are multiplied by 256 / 16^i (the last is shifted down).
 *
 * Payload, 32-bit words: `Operands`; address and strides (row, group) of the input's scales; groups, values in a group;
 * address and stride of the weights' scales and a working space for them; the same of the minimums (address 0: none); how many each are;
 * 1 if weights have 8 bits; rows in a block; addresses of working spaces:
 * eight sums for each row and stream (qgemv.ts), table of rows, packed rows; then `Dequantization`.
 */
import { gemvRows, GroupEntry as Group, Operands, pieceSteps, QmatmulGroupsAt as At } from "./generated/agreement";
import { packRow, RowTable } from "./pack_i8";
import { multiplyPieces } from "./qgemv";
import { exact, exact1x8c4 } from "./qgemv_i8";
import { copyColumns, Dequantization, placeRow, prepareColumns } from "./quantized_epilogue";
import { onesI16, relaxedDot } from "./simd";

/** Steps whose sums, 256 times as large as they are, fit int32. */
const mostSteps: i32 = 512;

/** Parts of 16 bits: the three lower halves of bytes. */
const parts: usize = memory.data<u16>([
  0xf, 0xf, 0xf, 0xf, 0xf, 0xf, 0xf, 0xf, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0,
  0xf00, 0xf00, 0xf00, 0xf00, 0xf00, 0xf00, 0xf00, 0xf00,
], 16);
/** Factors of eight inputs, in the order of the parts. */
const factors: usize = memory.data<u16>([256, 256, 16, 16, 1, 1, 256, 256], 16);
const halves: usize = memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15], 16);

/** The call being computed: groups along k, values in one, groups in a piece, bytes of a row's values, factors of the panels. */
let groups: i32 = 0;
let groupSize: i32 = 0;
let pieceGroups: i32 = 0;
let valueBytes: usize = 0;
let scales: usize = 0;
let minimums: usize = 0;

/** Whether rows are packed as int16. */
// @ts-ignore: decorator
@inline
function isWide(isByte: i32): bool {
  return ASC_FEATURE_RELAXED_SIMD ? isByte != 0 : true;
}

export function qmatmulGroups(payload: usize): void {
  const m = load<i32>(payload, Operands.m);
  const n = load<i32>(payload, Operands.n);
  const k = load<i32>(payload, Operands.k);
  const blockRows = load<i32>(payload, At.blockRows);
  const packed = load<usize>(payload, At.packed);
  const sums = load<usize>(payload, At.sums);
  const table = load<usize>(payload, At.table);
  const output = load<usize>(payload, Operands.output);
  const outputM = load<i32>(payload, Operands.outputM);
  const isByte = load<i32>(payload, At.isByte);
  const dequantization = payload + At.dequantization;
  groups = load<i32>(payload, At.groups);
  groupSize = load<i32>(payload, At.groupSize);
  valueBytes = <usize>k << (isWide(isByte) ? 1 : 0);
  const rowBytes = valueBytes + <usize>groups * Group.bytes;
  const isFew = m <= gemvRows;
  // A piece has the bytes of `pieceSteps` steps; more for several rows, which take longer.
  pieceGroups = isFew ? max(1, (pieceSteps << (isByte ? 2 : 3) + (m > 1 ? 2 : 0)) / groupSize) : groups;
  const kernel = isByte ? bytes1x8 : ASC_FEATURE_RELAXED_SIMD ? relaxed1x8 : parts1x8;
  prepareColumns(dequantization);
  scales = contiguous(payload, At.scales);
  minimums = contiguous(payload, At.minimums);
  for (let first = 0; first < m; first += blockRows) {
    const rows = min(blockRows, m - first);
    for (let i = 0; i < rows; i++) {
      packGroups(payload, first + i, packed + <usize>i * rowBytes);
      placeRow(dequantization, table + <usize>i * RowTable.bytes, i, (first + i) * n, output + (first + i) * outputM);
    }
    multiplyPieces(
      kernel, (groups + pieceGroups - 1) / pieceGroups, rows, packed, rowBytes, load<usize>(payload, Operands.weight),
      <usize>k << (isByte ? 3 : 2), n, dequantization, table, sums, !isFew,
    );
  }
}

/** Contiguous scales or minimums, given their part of the payload at `at`; 0 if there are none. */
function contiguous(payload: usize, at: usize): usize {
  const factors = payload + at;
  const from = load<usize>(factors);
  const stride = load<i32>(factors, 4);
  if (from == 0 || stride == 1) return from;
  const space = load<usize>(factors, 8);
  copyColumns(space, from, stride, load<i32>(payload, At.factors), 0);
  return space;
}

/** Packs a row's values as bytes or int16, followed by the entry of each group. */
function packGroups(payload: usize, row: i32, target: usize): void {
  const stride = load<i32>(payload, Operands.inputK);
  const scalesG = load<i32>(payload, At.inputScalesG) << 2;
  const storedOffset = load<i32>(payload + At.dequantization, Dequantization.storedOffset);
  const isByte = load<i32>(payload, At.isByte);
  const wide = isWide(isByte);
  let source = load<usize>(payload, Operands.input) + row * load<i32>(payload, Operands.inputM);
  let scales = load<usize>(payload, At.inputScales) + (<usize>(row * load<i32>(payload, At.inputScalesM)) << 2);
  let group = target + valueBytes;
  for (let g = 0; g < groups; g++) {
    const sum = packRow(target, wide, source, stride, groupSize);
    if (!ASC_FEATURE_RELAXED_SIMD && !isByte) {
      for (let at: usize = 0; at < <usize>groupSize << 1; at += 16) {
        const x = v128.load(target + at);
        v128.store(target + at, i16x8.mul(i16x8.shuffle(x, x, 0, 2, 4, 6, 1, 3, 5, 7), v128.load(factors)));
      }
    }
    source += groupSize * stride;
    target += <usize>groupSize << (wide ? 1 : 0);
    const scale = load<f32>(scales);
    store<i32>(group, storedOffset * sum, Group.correction);
    store<f32>(group, scale, Group.scale);
    store<f32>(group, <f32>sum * scale, Group.total);
    scales += scalesG;
    group += Group.bytes;
  }
}

/** The panel's factors of the groups from `first` on. */
// @ts-ignore: decorator
@inline
function factorsAt(all: usize, index: i32, first: i32): usize {
  return all + (<usize>(index * groups + first) << 5);
}

/** After the last piece: adds the products with the minimums of eight columns. */
function addMinimums(piece: i32, row: usize, index: i32, sums: usize): void {
  if (minimums == 0 || (piece + 1) * pieceGroups < groups) return;
  let f0 = v128.load(sums);
  let f1 = v128.load(sums, 16);
  let group = row + valueBytes;
  let minimum = factorsAt(minimums, index, 0);
  for (let count = groups; count > 0; count--) {
    const total = v128.load32_splat(group, Group.total);
    f0 = f32x4.add(f0, f32x4.mul(total, v128.load(minimum)));
    f1 = f32x4.add(f1, f32x4.mul(total, v128.load(minimum, 16)));
    group += Group.bytes;
    minimum += 32;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
}

/** Adds a group's sums of four columns, scaled. */
// @ts-ignore: decorator
@inline
function scaled(total: v128, sums: v128, group: usize, scales: usize, at: usize): v128 {
  const exact = i32x4.sub(sums, v128.load32_splat(group, Group.correction));
  const value = f32x4.mul(f32x4.convert_i32x4_s(exact), v128.load32_splat(group, Group.scale));
  return f32x4.add(total, f32x4.mul(value, v128.load(scales + at)));
}

function relaxed1x8(piece: i32, row: usize, b: usize, index: i32, sums: usize): void {
  const first = piece * pieceGroups;
  let group = row + valueBytes + <usize>first * Group.bytes;
  let scale = factorsAt(scales, index, first);
  let x = row + (<usize>(first * groupSize));
  b += <usize>(first * groupSize) << 2;
  let f0 = v128.load(sums), f1 = v128.load(sums, 16);
  const mask = v128.load(halves);
  const ones = v128.load(onesI16);
  for (let count = min(pieceGroups, groups - first); count > 0; count--) {
    let c0 = i32x4.splat(0), c1 = c0;
    for (let rest = groupSize; rest > 0; rest -= 32) {
      let s0 = i32x4.splat(0), s1 = s0;
      for (let step = 0; step < 4; step++) {
        const low = v128.load32_splat(x);
        const high = v128.load32_splat(x, 4);
        const w0 = v128.load(b);
        s0 = i16x8.add(s0, relaxedDot(low, v128.and(w0, mask)));
        s0 = i16x8.add(s0, relaxedDot(high, v128.and(i16x8.shr_u(w0, 4), mask)));
        const w1 = v128.load(b, 16);
        s1 = i16x8.add(s1, relaxedDot(low, v128.and(w1, mask)));
        s1 = i16x8.add(s1, relaxedDot(high, v128.and(i16x8.shr_u(w1, 4), mask)));
        x += 8;
        b += 32;
      }
      c0 = i32x4.add(c0, i32x4.dot_i16x8_s(s0, ones));
      c1 = i32x4.add(c1, i32x4.dot_i16x8_s(s1, ones));
    }
    f0 = scaled(f0, c0, group, scale, 0);
    f1 = scaled(f1, c1, group, scale, 16);
    group += Group.bytes;
    scale += 32;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
  addMinimums(piece, row, index, sums);
}

/** Rows of 16 bits and weights of 4: the parts are multiplied where they are. */
function parts1x8(piece: i32, row: usize, b: usize, index: i32, sums: usize): void {
  const first = piece * pieceGroups;
  let group = row + valueBytes + <usize>first * Group.bytes;
  let scale = factorsAt(scales, index, first);
  let x = row + (<usize>(first * groupSize) << 1);
  b += <usize>(first * groupSize) << 2;
  let f0 = v128.load(sums), f1 = v128.load(sums, 16);
  const part0 = v128.load(parts), part1 = v128.load(parts, 16), part2 = v128.load(parts, 32);
  for (let count = min(pieceGroups, groups - first); count > 0; count--) {
    let c0 = i32x4.splat(0), c1 = c0;
    let rest = groupSize >> 3;
    while (rest > 0) {
      let s0 = i32x4.splat(0), s1 = s0;
      const until = max(0, rest - mostSteps);
      for (; rest > until; rest--) {
        const w0 = v128.load(b);
        const w1 = v128.load(b, 16);
        const x0 = v128.load32_splat(x);
        s0 = i32x4.add(s0, i32x4.dot_i16x8_s(x0, v128.and(w0, part0)));
        s1 = i32x4.add(s1, i32x4.dot_i16x8_s(x0, v128.and(w1, part0)));
        const x1 = v128.load32_splat(x, 4);
        s0 = i32x4.add(s0, i32x4.dot_i16x8_s(x1, v128.and(w0, part1)));
        s1 = i32x4.add(s1, i32x4.dot_i16x8_s(x1, v128.and(w1, part1)));
        const x2 = v128.load32_splat(x, 8);
        s0 = i32x4.add(s0, i32x4.dot_i16x8_s(x2, v128.and(w0, part2)));
        s1 = i32x4.add(s1, i32x4.dot_i16x8_s(x2, v128.and(w1, part2)));
        const x3 = v128.load32_splat(x, 12);
        s0 = i32x4.add(s0, i32x4.dot_i16x8_s(x3, i16x8.shr_u(w0, 12)));
        s1 = i32x4.add(s1, i32x4.dot_i16x8_s(x3, i16x8.shr_u(w1, 12)));
        x += 16;
        b += 32;
      }
      c0 = i32x4.add(c0, i32x4.shr_s(s0, 8));
      c1 = i32x4.add(c1, i32x4.shr_s(s1, 8));
    }
    f0 = scaled(f0, c0, group, scale, 0);
    f1 = scaled(f1, c1, group, scale, 16);
    group += Group.bytes;
    scale += 32;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
  addMinimums(piece, row, index, sums);
}

/** Rows of 16 bits and weights of 8. */
function bytes1x8(piece: i32, row: usize, b: usize, index: i32, sums: usize): void {
  const first = piece * pieceGroups;
  let group = row + valueBytes + <usize>first * Group.bytes;
  let scale = factorsAt(scales, index, first);
  let x = row + (<usize>(first * groupSize) << 1);
  b += <usize>(first * groupSize) << 3;
  for (let count = min(pieceGroups, groups - first); count > 0; count--) {
    exact1x8c4(groupSize >> 2, x, b);
    v128.store(sums, scaled(v128.load(sums), v128.load(exact), group, scale, 0));
    v128.store(sums, scaled(v128.load(sums, 16), v128.load(exact, 16), group, scale, 16), 16);
    x += <usize>groupSize << 1;
    b += <usize>groupSize << 3;
    group += Group.bytes;
    scale += 32;
  }
  addMinimums(piece, row, index, sums);
}
