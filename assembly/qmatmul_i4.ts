/**
 * int8 rows times packed weights of 4 bits (src/kernels/packed.ts), with scales for groups along k of both: for each group the
 * exact int32 sum, as float32, times both scales; the groups' products are added up as float32.
 *
 * Weights stand as 0..15, 8 above what they are. In the relaxed binary 8 products of such with int8, summed in pairs, fit 16 bits
 * together (32 · 15 · 128 / 2 < 2^15), so that 32 values of k cost one widening.
 *
 * Payload, 32-bit words: `Operands`; address and strides (row, group) of the input's scales; groups, values in a group;
 * address and strides (panel, group, column) of the weights' scales, 1 if those lie one behind the other, else a working
 * space for them; rows in a block; addresses of working spaces: 16 sums, table of rows, packed rows; then
 * `Finish`.
 */
import { RowTable } from "./pack_i8";
import { Operands } from "./qmatmul_payload";
import { finishPanel, placeRow, prepareColumns } from "./quantized_epilogue";
import { addPairs, onesI16, relaxedDot } from "./simd";

namespace At {
  export const inputScales: usize = 36;
  export const inputScalesM: usize = 40;
  export const inputScalesG: usize = 44;
  export const groups: usize = 48;
  export const groupSize: usize = 52;
  export const scales: usize = 56;
  export const scalesP: usize = 60;
  export const scalesG: usize = 64;
  export const scalesJ: usize = 68;
  export const scalesInPlace: usize = 72;
  export const scalesSpace: usize = 76;
  export const blockRows: usize = 80;
  export const sums: usize = 84;
  export const table: usize = 88;
  export const packed: usize = 92;
  export const finish: usize = 96;
}

/** What stored weights are above the weights. */
const storedOffset: i32 = 8;
/** A packed row's groups, behind its values: what is taken off the sum (int32), the input's scale (float32). */
namespace Group {
  export const correction: usize = 0;
  export const scale: usize = 4;
  export const bytes: usize = 8;
}

const halves: usize = memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15], 16);

/** Bytes of a packed value. */
// @ts-ignore: decorator
@inline
function valueShift(): usize {
  return ASC_FEATURE_RELAXED_SIMD ? 0 : 1;
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
  const finish = payload + At.finish;
  const valueBytes = <usize>k << valueShift();
  const rowBytes = valueBytes + <usize>groups * Group.bytes;
  const panelBytes = <usize>k << 2;
  const panelScales = <usize>groups << 5;
  prepareColumns(finish);
  const allScales = load<i32>(payload, At.scalesInPlace) ? load<usize>(payload, At.scales) : orderedScales(payload);
  for (let first = 0; first < m; first += blockRows) {
    const rows = min(blockRows, m - first);
    for (let i = 0; i < rows; i++) {
      packGroups(payload, first + i, packed + <usize>i * rowBytes, valueBytes);
      placeRow(finish, table + <usize>i * RowTable.bytes, i, (first + i) * n, output + (first + i) * outputM);
    }
    let weight = load<usize>(payload, Operands.weight);
    let scales = allScales;
    for (let j = 0; j < n; j += 16) {
      const isPair = j + 8 < n;
      const next: usize = isPair ? panelBytes : 0;
      const nextScales: usize = isPair ? panelScales : 0;
      for (let i = 0; i < rows; i++) {
        const row = packed + <usize>i * rowBytes;
        if (ASC_FEATURE_RELAXED_SIMD) {
          relaxed1x16(groups, groupSize, row, row + valueBytes, weight, weight + next, scales, scales + nextScales, sums);
        } else {
          exact1x8(groups, groupSize, row, row + valueBytes, weight, scales, sums);
          if (isPair) exact1x8(groups, groupSize, row, row + valueBytes, weight + next, scales + nextScales, sums + 32);
        }
        const entry = table + <usize>i * RowTable.bytes;
        finishPanel(finish, sums, entry, 1, j, min(8, n - j));
        if (isPair) finishPanel(finish, sums + 32, entry, 1, j + 8, min(8, n - j - 8));
      }
      weight += panelBytes << 1;
      scales += panelScales << 1;
    }
  }
}

/** The weights' scales as [panel][group][8 columns]. */
function orderedScales(payload: usize): usize {
  const groups = load<i32>(payload, At.groups);
  const panels = (load<i32>(payload, Operands.n) + 7) >> 3;
  const space = load<usize>(payload, At.scalesSpace);
  let to = space;
  for (let p = 0; p < panels; p++) {
    for (let g = 0; g < groups; g++) {
      for (let j = 0; j < 8; j++) {
        const at = p * load<i32>(payload, At.scalesP) + g * load<i32>(payload, At.scalesG) + j * load<i32>(payload, At.scalesJ);
        store<f32>(to, load<f32>(load<usize>(payload, At.scales) + (<usize>at << 2)));
        to += 4;
      }
    }
  }
  return space;
}

/** Values as bytes (or 16 bits), then each group's correction and scale. */
function packGroups(payload: usize, row: i32, target: usize, valueBytes: usize): void {
  const groups = load<i32>(payload, At.groups);
  const groupSize = load<i32>(payload, At.groupSize);
  const stride = load<i32>(payload, Operands.inputK);
  const scalesG = load<i32>(payload, At.inputScalesG) << 2;
  let source = load<usize>(payload, Operands.input) + row * load<i32>(payload, Operands.inputM);
  let scale = load<usize>(payload, At.inputScales) + (<usize>(row * load<i32>(payload, At.inputScalesM)) << 2);
  let group = target + valueBytes;
  for (let g = 0; g < groups; g++) {
    let sum = 0;
    for (let p = 0; p < groupSize; p++) {
      const value = load<i8>(source);
      source += stride;
      sum += value;
      if (ASC_FEATURE_RELAXED_SIMD) store<i8>(target, value);
      else store<i16>(target, value);
      target += <usize>1 << valueShift();
    }
    store<i32>(group, storedOffset * sum, Group.correction);
    store<f32>(group, load<f32>(scale), Group.scale);
    scale += scalesG;
    group += Group.bytes;
  }
}

/** Adds a group's sums of four columns, scaled. */
// @ts-ignore: decorator
@inline
function scaled(total: v128, sums: v128, group: usize, scales: usize, at: usize): v128 {
  const exact = i32x4.sub(sums, v128.load32_splat(group, Group.correction));
  const value = f32x4.mul(f32x4.convert_i32x4_s(exact), v128.load32_splat(group, Group.scale));
  return f32x4.add(total, f32x4.mul(value, v128.load(scales + at)));
}

function relaxed1x16(
  groups: i32, groupSize: i32, x: usize, group: usize, b: usize, d: usize, scalesB: usize, scalesD: usize, sums: usize,
): void {
  let f0 = f32x4.splat(0), f1 = f0, f2 = f0, f3 = f0;
  const mask = v128.load(halves);
  const ones = v128.load(onesI16);
  for (; groups > 0; groups--) {
    let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
    for (let rest = groupSize; rest > 0; rest -= 32) {
      let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
      for (let step = 0; step < 4; step++) {
        const low = v128.load32_splat(x);
        const high = v128.load32_splat(x, 4);
        const w0 = v128.load(b);
        s0 = i16x8.add(s0, relaxedDot(low, v128.and(w0, mask)));
        s0 = i16x8.add(s0, relaxedDot(high, v128.and(i16x8.shr_u(w0, 4), mask)));
        const w1 = v128.load(b, 16);
        s1 = i16x8.add(s1, relaxedDot(low, v128.and(w1, mask)));
        s1 = i16x8.add(s1, relaxedDot(high, v128.and(i16x8.shr_u(w1, 4), mask)));
        const w2 = v128.load(d);
        s2 = i16x8.add(s2, relaxedDot(low, v128.and(w2, mask)));
        s2 = i16x8.add(s2, relaxedDot(high, v128.and(i16x8.shr_u(w2, 4), mask)));
        const w3 = v128.load(d, 16);
        s3 = i16x8.add(s3, relaxedDot(low, v128.and(w3, mask)));
        s3 = i16x8.add(s3, relaxedDot(high, v128.and(i16x8.shr_u(w3, 4), mask)));
        x += 8;
        b += 32;
        d += 32;
      }
      c0 = i32x4.add(c0, i32x4.dot_i16x8_s(s0, ones));
      c1 = i32x4.add(c1, i32x4.dot_i16x8_s(s1, ones));
      c2 = i32x4.add(c2, i32x4.dot_i16x8_s(s2, ones));
      c3 = i32x4.add(c3, i32x4.dot_i16x8_s(s3, ones));
    }
    f0 = scaled(f0, c0, group, scalesB, 0);
    f1 = scaled(f1, c1, group, scalesB, 16);
    f2 = scaled(f2, c2, group, scalesD, 0);
    f3 = scaled(f3, c3, group, scalesD, 16);
    group += Group.bytes;
    scalesB += 32;
    scalesD += 32;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
  v128.store(sums, f2, 32);
  v128.store(sums, f3, 48);
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
