/**
 * What happens to the int32 sums of a quantized product (QuantizedEpilogue in src/kernels/quantized.ts), eight columns of a block
 * of rows at a time.
 *
 * `Finish`, 32-bit words, part of the products' payloads: kind of output (0 int32, 1 float32, 2 int8, 3 float32 of sums that are
 * scaled floats already); relu; zero point; what the
 * stored weights are above the weights; columns; addresses (0: none) and strides in elements of scales, offsets and
 * bias; the output's bytes from column to column; address of a working space of 3 · (columns + 8) words.
 */
import { Kind } from "./generated/agreement";
import { RowTable } from "./pack_i8";

export namespace Finish {
  export const kind: usize = 0;
  export const relu: usize = 4;
  export const zeroPoint: usize = 8;
  export const storedOffset: usize = 12;
  export const columns: usize = 16;
  export const scales: usize = 20;
  export const scalesN: usize = 24;
  export const offsets: usize = 28;
  export const offsetsN: usize = 32;
  export const bias: usize = 36;
  export const biasN: usize = 40;
  export const outputN: usize = 44;
  export const space: usize = 48;
  export const bytes: usize = 52;
}

/** Lays the columns' offsets, scales and biases out in the working space, so that eight can be loaded from any column on. */
export function prepareColumns(finish: usize): void {
  const columns = load<i32>(finish, Finish.columns);
  const space = load<usize>(finish, Finish.space);
  const pitch = (<usize>columns + 8) << 2;
  copyColumns(space, load<usize>(finish, Finish.offsets), load<i32>(finish, Finish.offsetsN), columns);
  copyColumns(space + pitch, load<usize>(finish, Finish.scales), load<i32>(finish, Finish.scalesN), columns);
  copyColumns(space + 2 * pitch, load<usize>(finish, Finish.bias), load<i32>(finish, Finish.biasN), columns);
}

function copyColumns(target: usize, source: usize, stride: i32, columns: i32): void {
  if (source == 0) {
    memory.fill(target, 0, <usize>columns << 2);
  } else if (stride == 1) {
    memory.copy(target, source, <usize>columns << 2);
  } else {
    for (let j = 0; j < columns; j++) store<i32>(target + (<usize>j << 2), load<i32>(source + (<usize>(j * stride) << 2)));
  }
}

/** Finishes rows of sums [rows, 8], of which `width` columns, from output column `column` on, are there. */
export function finishPanel(finish: usize, sums: usize, table: usize, rows: i32, column: i32, width: i32): void {
  const kind = load<i32>(finish, Finish.kind);
  const step = load<i32>(finish, Finish.outputN);
  const shift: i32 = kind == Kind.int8 ? 0 : 2;
  const at = load<usize>(finish, Finish.space) + (<usize>column << 2);
  const before = <usize>column * step;
  const whole = width == 8 && step == 1 << shift;
  if (kind == Kind.float32) finishFloats(finish, sums, table, rows, at, before, whole);
  else if (kind == Kind.int8) finishLevels(finish, sums, table, rows, at, before, whole);
  else if (kind == Kind.int32) finishIntegers(sums, table, rows, at, before, whole);
  else finishScaled(finish, sums, table, rows, at, before, whole);
  if (whole) return;
  for (let i = 0; i < rows; i++) {
    scatter(load<usize>(table, RowTable.address) + before, step, sums, shift, width);
    sums += rowBytes;
    table += RowTable.bytes;
  }
}

/** Eight sums. */
const rowBytes: usize = 32;

/** Where a finished row goes: if not all its columns are there, first over its sums. */
// @ts-ignore: decorator
@inline
function targetOf(table: usize, before: usize, sums: usize, whole: bool): usize {
  return whole ? load<usize>(table, RowTable.address) + before : sums;
}

/** Bytes between the columns' offsets and scales, and between those and the biases. */
// @ts-ignore: decorator
@inline
function columnsPitch(finish: usize): usize {
  return (<usize>load<i32>(finish, Finish.columns) + 8) << 2;
}

/** What numbers below become 0: all below 0, or none. */
// @ts-ignore: decorator
@inline
function reluBound(finish: usize): v128 {
  return f32x4.splat(load<i32>(finish, Finish.relu) ? 0 : -Infinity);
}

// @ts-ignore: decorator
@inline
function rectified(value: v128, bound: v128): v128 {
  return v128.andnot(value, f32x4.lt(value, bound));
}

function finishFloats(finish: usize, sums: usize, table: usize, rows: i32, at: usize, before: usize, whole: bool): void {
  const pitch = columnsPitch(finish);
  const offsets0 = v128.load(at);
  const offsets1 = v128.load(at, 16);
  const scales0 = v128.load(at + pitch);
  const scales1 = v128.load(at + pitch, 16);
  const bias0 = v128.load(at + 2 * pitch);
  const bias1 = v128.load(at + 2 * pitch, 16);
  const bound = reluBound(finish);
  for (; rows > 0; rows--) {
    const correction = v128.load32_splat(table, RowTable.correction);
    const scale = v128.load32_splat(table, RowTable.scale);
    const value0 = f32x4.convert_i32x4_s(i32x4.add(i32x4.sub(v128.load(sums), correction), offsets0));
    const value1 = f32x4.convert_i32x4_s(i32x4.add(i32x4.sub(v128.load(sums, 16), correction), offsets1));
    const to = targetOf(table, before, sums, whole);
    v128.store(to, rectified(f32x4.add(f32x4.mul(f32x4.mul(value0, scales0), scale), bias0), bound));
    v128.store(to, rectified(f32x4.add(f32x4.mul(f32x4.mul(value1, scales1), scale), bias1), bound), 16);
    sums += rowBytes;
    table += RowTable.bytes;
  }
}

function finishLevels(finish: usize, sums: usize, table: usize, rows: i32, at: usize, before: usize, whole: bool): void {
  const pitch = columnsPitch(finish);
  const offsets0 = v128.load(at);
  const offsets1 = v128.load(at, 16);
  const scales0 = v128.load(at + pitch);
  const scales1 = v128.load(at + pitch, 16);
  const zeroPoint = load<i32>(finish, Finish.zeroPoint);
  const least: i32 = load<i32>(finish, Finish.relu) ? 0 : -128 - zeroPoint;
  const low = f32x4.splat(<f32>least);
  const most: i32 = 127 - zeroPoint;
  const high = f32x4.splat(<f32>most);
  const zero = i32x4.splat(zeroPoint);
  for (; rows > 0; rows--) {
    const correction = v128.load32_splat(table, RowTable.correction);
    const sum0 = i32x4.add(i32x4.sub(v128.load(sums), correction), offsets0);
    const sum1 = i32x4.add(i32x4.sub(v128.load(sums, 16), correction), offsets1);
    const level0 = i32x4.add(toLevel(sum0, scales0, low, high), zero);
    const level1 = i32x4.add(toLevel(sum1, scales1, low, high), zero);
    const narrow = i16x8.narrow_i32x4_s(level0, level1);
    v128.store64_lane(targetOf(table, before, sums, whole), i8x16.narrow_i16x8_s(narrow, narrow), 0);
    sums += rowBytes;
    table += RowTable.bytes;
  }
}

/** The bounds are whole numbers, so it is the same whether numbers are rounded or limited first. NaN becomes 0. */
// @ts-ignore: decorator
@inline
function toLevel(sum: v128, scales: v128, low: v128, high: v128): v128 {
  const value = f32x4.mul(f32x4.convert_i32x4_s(sum), scales);
  const limited = f32x4.pmin(f32x4.pmax(value, low), high);
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(limited));
}

function finishIntegers(sums: usize, table: usize, rows: i32, at: usize, before: usize, whole: bool): void {
  const offsets0 = v128.load(at);
  const offsets1 = v128.load(at, 16);
  for (; rows > 0; rows--) {
    const correction = v128.load32_splat(table, RowTable.correction);
    const to = targetOf(table, before, sums, whole);
    const sum1 = i32x4.add(i32x4.sub(v128.load(sums, 16), correction), offsets1);
    v128.store(to, i32x4.add(i32x4.sub(v128.load(sums), correction), offsets0));
    v128.store(to, sum1, 16);
    sums += rowBytes;
    table += RowTable.bytes;
  }
}

function finishScaled(finish: usize, sums: usize, table: usize, rows: i32, at: usize, before: usize, whole: bool): void {
  const pitch = columnsPitch(finish);
  const bias0 = v128.load(at + 2 * pitch);
  const bias1 = v128.load(at + 2 * pitch, 16);
  const bound = reluBound(finish);
  for (; rows > 0; rows--) {
    const to = targetOf(table, before, sums, whole);
    const value1 = f32x4.add(v128.load(sums, 16), bias1);
    v128.store(to, rectified(f32x4.add(v128.load(sums), bias0), bound));
    v128.store(to, rectified(value1, bound), 16);
    sums += rowBytes;
    table += RowTable.bytes;
  }
}

/** Elements one after the other, of 4 bytes or 1, to where they go. */
function scatter(to: usize, step: i32, from: usize, shift: i32, width: i32): void {
  for (let j = 0; j < width; j++) {
    if (shift) store<i32>(to, load<i32>(from + (<usize>j << 2)));
    else store<u8>(to, load<u8>(from + j));
    to += step;
  }
}
