/**
 * The epilogue of quantized products (`dequantizationLayout` in src/device/wasm/encode/quantized.ts): dequantizes, adds the bias, applies ReLU
 * and requantizes, for eight columns of a block of rows at a time; any other expression is then applied to many columns at a time.
 */
import { applyToValues, openEpilogue } from "./epilogue";
import { Dequantization, Kind } from "./generated/agreement";
import { RowTable } from "./pack_i8";

export { Dequantization } from "./generated/agreement";

const one: i32 = 0x3f800000;

/** Copies offsets, scales and biases of all columns to contiguous, padded arrays, so that eight can be loaded from any column on. */
export function prepareColumns(dequantization: usize): void {
  const columns = load<i32>(dequantization, Dequantization.columns);
  const space = load<usize>(dequantization, Dequantization.space);
  const pitch = (<usize>columns + 8) << 2;
  copyColumns(space, load<usize>(dequantization, Dequantization.offsets), load<i32>(dequantization, Dequantization.offsetsN), columns, 0);
  copyColumns(space + pitch, load<usize>(dequantization, Dequantization.scales), load<i32>(dequantization, Dequantization.scalesN), columns, one);
  copyColumns(space + 2 * pitch, load<usize>(dequantization, Dequantization.bias), load<i32>(dequantization, Dequantization.biasN), columns, 0);
  openEpilogue(load<i32>(dequantization, Dequantization.isBlockwise), dequantization + Dequantization.bytes);
}

/** An absent operand (`source` 0) is filled with `missing`. */
export function copyColumns(target: usize, source: usize, stride: i32, columns: i32, missing: i32): void {
  if (source == 0) {
    for (let j = 0; j < columns; j++) store<i32>(target + (<usize>j << 2), missing);
  } else if (stride == 1) {
    memory.copy(target, source, <usize>columns << 2);
  } else {
    for (let j = 0; j < columns; j++) store<i32>(target + (<usize>j << 2), load<i32>(source + (<usize>(j * stride) << 2)));
  }
}

/** Sets the table entry of row i of a block: its first element has index `element` and address `output` in the output. */
// @ts-ignore: decorator
@inline
export function placeRow(dequantization: usize, entry: usize, i: i32, element: i32, output: usize): void {
  const block = load<usize>(dequantization, Dequantization.block) + (<usize>(i * load<i32>(dequantization, Dequantization.blockColumns)) << 2);
  store<usize>(entry, load<i32>(dequantization, Dequantization.isBlockwise) ? block : output, RowTable.address);
  store<i32>(entry, element, RowTable.element);
}

/** Applies the epilogue to sums [rows, 8] and stores them in output columns `column` to `column + width − 1`. */
export function dequantizePanel(dequantization: usize, sums: usize, table: usize, rows: i32, column: i32, width: i32): void {
  const kind = load<i32>(dequantization, Dequantization.kind);
  const step = load<i32>(dequantization, Dequantization.outputN);
  const shift: i32 = kind == Kind.int8 ? 0 : 2;
  const at = load<usize>(dequantization, Dequantization.space) + (<usize>column << 2);
  const before = <usize>column * step;
  const whole = width == 8 && step == 1 << shift;
  if (kind == Kind.int32) addOffsets(sums, table, rows, at, before, whole);
  else if (kind == Kind.int8) dequantizeFloats(dequantization, sums, table, rows, at, before, whole, false, true);
  else dequantizeFloats(dequantization, sums, table, rows, at, before, whole, kind == Kind.floats, false);
  if (!whole) {
    let row = table;
    for (let i = 0; i < rows; i++) {
      scatter(load<usize>(row, RowTable.address) + before, step, sums, shift, width);
      sums += rowBytes;
      row += RowTable.bytes;
    }
  }
  if (load<i32>(dequantization, Dequantization.isBlockwise)) applyToBlock(dequantization, table, rows, column + width);
}

/** Applies the rest of the epilogue, an expression, if the columns before `end` complete a block. */
function applyToBlock(dequantization: usize, table: usize, rows: i32, end: i32): void {
  const columns = load<i32>(dequantization, Dequantization.columns);
  const blockColumns = load<i32>(dequantization, Dequantization.blockColumns);
  if (end != columns && end % blockColumns != 0) return;
  const expression = dequantization + Dequantization.bytes;
  const from = (end - 1) / blockColumns * blockColumns;
  const skipped = <usize>from << 2;
  if (columns == blockColumns) {
    // The rows are contiguous in the block, as in the output.
    applyToValues(expression, load<i32>(table, RowTable.element), rows * columns, load<usize>(table, RowTable.address));
    return;
  }
  for (let i = 0; i < rows; i++) {
    const address = load<usize>(table, RowTable.address);
    applyToValues(expression, load<i32>(table, RowTable.element) + from, end - from, address + skipped);
    // The next columns reuse the block.
    store<usize>(table, address - (<usize>blockColumns << 2), RowTable.address);
    table += RowTable.bytes;
  }
}

/** Bytes of eight sums. */
const rowBytes: usize = 32;

/** Where a row's eight results are stored: in the output; for a partial panel over its sums, from which `scatter` copies them. */
// @ts-ignore: decorator
@inline
function targetOf(table: usize, before: usize, sums: usize, whole: bool): usize {
  return whole ? load<usize>(table, RowTable.address) + before : sums;
}

/** Four sums as float32; integer sums after subtracting the row's correction and adding the columns' offsets. */
// @ts-ignore: decorator
@inline
function numbers(sums: v128, table: usize, offsets: v128, isFloat: bool): v128 {
  if (isFloat) return sums;
  return f32x4.convert_i32x4_s(i32x4.add(i32x4.sub(sums, v128.load32_splat(table, RowTable.correction)), offsets));
}

/** value · scales + bias, integer sums also · the row's scale; then ReLU, which keeps NaN. */
// @ts-ignore: decorator
@inline
function scaled(value: v128, scales: v128, table: usize, bias: v128, bound: v128, isFloat: bool): v128 {
  let result = f32x4.mul(value, scales);
  if (!isFloat) result = f32x4.mul(result, v128.load32_splat(table, RowTable.scale));
  result = f32x4.add(result, bias);
  return v128.andnot(result, f32x4.lt(result, bound));
}

/** Requantizes to int32 levels, which are then saturated to int8. NaN becomes 0. */
// @ts-ignore: decorator
@inline
function toLevel(value: v128, factor: v128, zeroPoint: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.add(f32x4.nearest(f32x4.mul(value, factor)), zeroPoint));
}

// @ts-ignore: decorator
@inline
function dequantizeFloats(
  dequantization: usize, sums: usize, table: usize, rows: i32, at: usize, before: usize, whole: bool, isFloat: bool, rounds: bool,
): void {
  const pitch = (<usize>load<i32>(dequantization, Dequantization.columns) + 8) << 2;
  const offsets0 = v128.load(at);
  const offsets1 = v128.load(at, 16);
  const scales0 = v128.load(at + pitch);
  const scales1 = v128.load(at + pitch, 16);
  const bias0 = v128.load(at + 2 * pitch);
  const bias1 = v128.load(at + 2 * pitch, 16);
  // Lower bound of ReLU; −∞ without.
  const bound = f32x4.splat(load<i32>(dequantization, Dequantization.relu) ? 0 : -Infinity);
  const factor = rounds ? v128.load32_splat(dequantization, Dequantization.factor) : bound;
  const zeroPoint = rounds ? v128.load32_splat(dequantization, Dequantization.zeroPoint) : bound;
  for (; rows > 0; rows--) {
    const value0 = scaled(numbers(v128.load(sums), table, offsets0, isFloat), scales0, table, bias0, bound, isFloat);
    const value1 = scaled(numbers(v128.load(sums, 16), table, offsets1, isFloat), scales1, table, bias1, bound, isFloat);
    const to = targetOf(table, before, sums, whole);
    if (rounds) {
      const narrow = i16x8.narrow_i32x4_s(toLevel(value0, factor, zeroPoint), toLevel(value1, factor, zeroPoint));
      v128.store64_lane(to, i8x16.narrow_i16x8_s(narrow, narrow), 0);
    } else {
      v128.store(to, value0);
      v128.store(to, value1, 16);
    }
    sums += rowBytes;
    table += RowTable.bytes;
  }
}

function addOffsets(sums: usize, table: usize, rows: i32, at: usize, before: usize, whole: bool): void {
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

/** Stores contiguous words, as 4 bytes or (`shift` 0) one byte each, `step` bytes apart. */
function scatter(to: usize, step: i32, from: usize, shift: i32, width: i32): void {
  for (let j = 0; j < width; j++) {
    if (shift) store<i32>(to, load<i32>(from + (<usize>j << 2)));
    else store<u8>(to, load<u8>(from + j));
    to += step;
  }
}
