/**
 * int8 rows times packed weights of 4 or 8 bits (src/kernels/packed.ts), both with scales per group along k: the exact int32 sum of each
 * group, as float32, times both scales; the products of the groups are added in float32. With minimums, each group also adds the exact sum
 * of its inputs times the input's scale and the minimum.
 *
 * Weights of 4 bits are stored as 0..15. In the relaxed binary, the sums of 8 pairs of their products with int8 fit int16
 * (32 · 15 · 128 / 2 < 2^15), so that 32 values of k need one widening. Weights of 8 bits use the exact loop of qgemv_i8.ts for each group.
 *
 * Payload, 32-bit words: `Operands`; address and strides (row, group) of the input's scales; groups, values in a group;
 * address and stride of the weights' scales and a working space for them; the same of the minimums (address 0: none); how many each are;
 * 1 if weights have 8 bits; rows in a block; addresses of working spaces:
 * 16 sums, table of rows, packed rows; then `Dequantization`.
 */
import { GroupEntry as Group, Operands, QmatmulGroupsAt as At } from "./generated/agreement";
import { packRow, RowTable } from "./pack_i8";
import { exact1x8c4 } from "./qgemv_i8";
import { copyColumns, Dequantization, dequantizePanel, placeRow, prepareColumns } from "./quantized_epilogue";
import { addPairs, onesI16, relaxedDot } from "./simd";

const halves: usize = memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15], 16);

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
  const groups = load<i32>(payload, At.groups);
  const groupSize = load<i32>(payload, At.groupSize);
  const blockRows = load<i32>(payload, At.blockRows);
  const packed = load<usize>(payload, At.packed);
  const sums = load<usize>(payload, At.sums);
  const table = load<usize>(payload, At.table);
  const output = load<usize>(payload, Operands.output);
  const outputM = load<i32>(payload, Operands.outputM);
  const isByte = load<i32>(payload, At.isByte);
  const dequantization = payload + At.dequantization;
  const valueBytes = <usize>k << (isWide(isByte) ? 1 : 0);
  const rowBytes = valueBytes + <usize>groups * Group.bytes;
  const panelBytes = <usize>k << (isByte ? 3 : 2);
  const panelScales = <usize>groups << 5;
  prepareColumns(dequantization);
  let scales = contiguous(payload, At.scales);
  let minimums = contiguous(payload, At.minimums);
  const allScales = scales, allMinimums = minimums;
  for (let first = 0; first < m; first += blockRows) {
    const rows = min(blockRows, m - first);
    for (let i = 0; i < rows; i++) {
      packGroups(payload, first + i, packed + <usize>i * rowBytes, valueBytes);
      placeRow(dequantization, table + <usize>i * RowTable.bytes, i, (first + i) * n, output + (first + i) * outputM);
    }
    let weight = load<usize>(payload, Operands.weight);
    scales = allScales;
    minimums = allMinimums;
    for (let j = 0; j < n; j += 8) {
      for (let i = 0; i < rows; i++) {
        const row = packed + <usize>i * rowBytes;
        const group = row + valueBytes;
        if (isByte) bytes1x8(groups, groupSize, row, group, weight, scales, sums);
        else if (ASC_FEATURE_RELAXED_SIMD) relaxed1x8(groups, groupSize, row, group, weight, scales, sums);
        else exact1x8(groups, groupSize, row, group, weight, scales, sums);
        if (minimums) addMinimums(groups, group, minimums, sums);
        dequantizePanel(dequantization, sums, table + <usize>i * RowTable.bytes, 1, j, min(8, n - j));
      }
      weight += panelBytes;
      scales += panelScales;
      if (minimums) minimums += panelScales;
    }
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
function packGroups(payload: usize, row: i32, target: usize, valueBytes: usize): void {
  const groups = load<i32>(payload, At.groups);
  const groupSize = load<i32>(payload, At.groupSize);
  const stride = load<i32>(payload, Operands.inputK);
  const scalesG = load<i32>(payload, At.inputScalesG) << 2;
  const storedOffset = load<i32>(payload + At.dequantization, Dequantization.storedOffset);
  const wide = isWide(load<i32>(payload, At.isByte));
  let source = load<usize>(payload, Operands.input) + row * load<i32>(payload, Operands.inputM);
  let scales = load<usize>(payload, At.inputScales) + (<usize>(row * load<i32>(payload, At.inputScalesM)) << 2);
  let group = target + valueBytes;
  for (let g = 0; g < groups; g++) {
    const sum = packRow(target, wide, source, stride, groupSize);
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

/** Adds the products with the minimums of eight columns. */
function addMinimums(groups: i32, group: usize, minimums: usize, sums: usize): void {
  let f0 = v128.load(sums);
  let f1 = v128.load(sums, 16);
  for (; groups > 0; groups--) {
    const total = v128.load32_splat(group, Group.total);
    f0 = f32x4.add(f0, f32x4.mul(total, v128.load(minimums)));
    f1 = f32x4.add(f1, f32x4.mul(total, v128.load(minimums, 16)));
    group += Group.bytes;
    minimums += 32;
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

function relaxed1x8(groups: i32, groupSize: i32, x: usize, group: usize, b: usize, scales: usize, sums: usize): void {
  let f0 = f32x4.splat(0), f1 = f0;
  const mask = v128.load(halves);
  const ones = v128.load(onesI16);
  for (; groups > 0; groups--) {
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
    f0 = scaled(f0, c0, group, scales, 0);
    f1 = scaled(f1, c1, group, scales, 16);
    group += Group.bytes;
    scales += 32;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
}

function exact1x8(groups: i32, groupSize: i32, x: usize, group: usize, b: usize, scales: usize, sums: usize): void {
  let f0 = f32x4.splat(0), f1 = f0;
  const mask = v128.load(halves);
  for (; groups > 0; groups--) {
    let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
    for (let rest = groupSize; rest > 0; rest -= 8) {
      const low = v128.load64_splat(x);
      const high = v128.load64_splat(x, 8);
      const w0 = v128.load(b);
      const w1 = v128.load(b, 16);
      const low0 = v128.and(w0, mask);
      const low1 = v128.and(w1, mask);
      const high0 = v128.and(i16x8.shr_u(w0, 4), mask);
      const high1 = v128.and(i16x8.shr_u(w1, 4), mask);
      c0 = i32x4.add(c0, i32x4.dot_i16x8_s(low, i16x8.extend_low_i8x16_u(low0)));
      c1 = i32x4.add(c1, i32x4.dot_i16x8_s(low, i16x8.extend_high_i8x16_u(low0)));
      c2 = i32x4.add(c2, i32x4.dot_i16x8_s(low, i16x8.extend_low_i8x16_u(low1)));
      c3 = i32x4.add(c3, i32x4.dot_i16x8_s(low, i16x8.extend_high_i8x16_u(low1)));
      c0 = i32x4.add(c0, i32x4.dot_i16x8_s(high, i16x8.extend_low_i8x16_u(high0)));
      c1 = i32x4.add(c1, i32x4.dot_i16x8_s(high, i16x8.extend_high_i8x16_u(high0)));
      c2 = i32x4.add(c2, i32x4.dot_i16x8_s(high, i16x8.extend_low_i8x16_u(high1)));
      c3 = i32x4.add(c3, i32x4.dot_i16x8_s(high, i16x8.extend_high_i8x16_u(high1)));
      x += 16;
      b += 32;
    }
    f0 = scaled(f0, addPairs(c0, c1), group, scales, 0);
    f1 = scaled(f1, addPairs(c2, c3), group, scales, 16);
    group += Group.bytes;
    scales += 32;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
}

/** 8-bit weights: adds the scaled exact sums of a group for eight columns. */
function addScaled(sums: usize, exact: usize, group: usize, scales: usize): void {
  v128.store(sums, scaled(v128.load(sums), v128.load(exact), group, scales, 0));
  v128.store(sums, scaled(v128.load(sums, 16), v128.load(exact, 16), group, scales, 16), 16);
}

/** 8-bit weights: one row × 8 columns. `sums` is scratch memory for 8 sums, and 8 of a group. */
function bytes1x8(groups: i32, groupSize: i32, x: usize, group: usize, b: usize, scales: usize, sums: usize): void {
  const exact = sums + 32;
  memory.fill(sums, 0, 32);
  for (; groups > 0; groups--) {
    exact1x8c4(groupSize >> 2, x, b, exact);
    addScaled(sums, exact, group, scales);
    x += <usize>groupSize << 1;
    b += <usize>groupSize << 3;
    scales += 32;
    group += Group.bytes;
  }
}
