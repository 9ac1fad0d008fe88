/**
 * What happens to the int32 sums of a quantized product (QuantizedEpilogue in src/device/kernel.ts), eight columns of up to
 * four rows at a time.
 *
 * `Finish`, 32-bit words, part of the products' payloads: kind of output (0 int32, 1 float32, 2 int8, 3 float32 of sums that are
 * scaled floats already); relu; zero point; what the
 * stored weights are above the weights; columns; addresses (0: none) and strides in elements of scales, offsets and
 * bias; the output's bytes from column to column; address of a working space of 3 · (columns + 8) words.
 */
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

namespace Kind {
  export const int32: i32 = 0;
  export const float32: i32 = 1;
  export const int8: i32 = 2;
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
  for (let j = 0; j < columns; j++) {
    store<i32>(target + (<usize>j << 2), source == 0 ? 0 : load<i32>(source + (<usize>(j * stride) << 2)));
  }
}

/** Finishes `height` rows of a tile [4, 8] of sums, of which `width` columns, from output column `column` on, are there. */
export function finishTile(finish: usize, tile: usize, table: usize, height: i32, column: i32, width: i32): void {
  const kind = load<i32>(finish, Finish.kind);
  const step = load<i32>(finish, Finish.outputN);
  const at = load<usize>(finish, Finish.space) + (<usize>column << 2);
  const pitch = (<usize>load<i32>(finish, Finish.columns) + 8) << 2;
  const offsets0 = v128.load(at);
  const offsets1 = v128.load(at, 16);
  const scales0 = v128.load(at + pitch);
  const scales1 = v128.load(at + pitch, 16);
  const shift: i32 = kind == Kind.int8 ? 0 : 2;
  const whole = width == 8 && step == 1 << shift;
  const relu = load<i32>(finish, Finish.relu);
  for (let i = 0; i < height; i++) {
    const correction = v128.load32_splat(table, RowTable.correction);
    const sum0 = i32x4.add(i32x4.sub(v128.load(tile), correction), offsets0);
    const sum1 = i32x4.add(i32x4.sub(v128.load(tile, 16), correction), offsets1);
    const row = load<usize>(table, RowTable.address) + <usize>column * step;
    const to = whole ? row : tile;
    if (kind == Kind.int32) {
      v128.store(to, sum0);
      v128.store(to, sum1, 16);
    } else if (kind == Kind.float32) {
      const bias = at + 2 * pitch;
      const scale = v128.load32_splat(table, RowTable.scale);
      v128.store(to, toFloat(sum0, scales0, scale, v128.load(bias), relu));
      v128.store(to, toFloat(sum1, scales1, scale, v128.load(bias, 16), relu), 16);
    } else if (kind != Kind.int8) {
      const bias = at + 2 * pitch;
      v128.store(to, rectified(f32x4.add(v128.load(tile), v128.load(bias)), relu));
      v128.store(to, rectified(f32x4.add(v128.load(tile, 16), v128.load(bias, 16)), relu), 16);
    } else {
      const zeroPoint = load<i32>(finish, Finish.zeroPoint);
      const least: i32 = relu ? 0 : -128 - zeroPoint;
      const most: i32 = 127 - zeroPoint;
      const low = f32x4.splat(<f32>least);
      const high = f32x4.splat(<f32>most);
      const zero = i32x4.splat(zeroPoint);
      const level0 = i32x4.add(toLevel(sum0, scales0, low, high), zero);
      const level1 = i32x4.add(toLevel(sum1, scales1, low, high), zero);
      const narrow = i16x8.narrow_i32x4_s(level0, level1);
      v128.store64_lane(to, i8x16.narrow_i16x8_s(narrow, narrow), 0);
    }
    if (!whole) scatter(row, step, tile, shift, width);
    tile += 32;
    table += RowTable.bytes;
  }
}

// @ts-ignore: decorator
@inline
function toFloat(sum: v128, scales: v128, scale: v128, bias: v128, relu: i32): v128 {
  return rectified(f32x4.add(f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(sum), scales), scale), bias), relu);
}

// @ts-ignore: decorator
@inline
function rectified(value: v128, relu: i32): v128 {
  return relu ? v128.andnot(value, f32x4.lt(value, i32x4.splat(0))) : value;
}

/** The bounds are whole numbers, so it is the same whether numbers are rounded or limited first. NaN becomes 0. */
// @ts-ignore: decorator
@inline
function toLevel(sum: v128, scales: v128, low: v128, high: v128): v128 {
  const value = f32x4.mul(f32x4.convert_i32x4_s(sum), scales);
  const limited = f32x4.pmin(f32x4.pmax(value, low), high);
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(limited));
}

/** Elements one after the other, of 4 bytes or 1, to where they go. */
function scatter(to: usize, step: i32, from: usize, shift: i32, width: i32): void {
  for (let j = 0; j < width; j++) {
    if (shift) store<i32>(to, load<i32>(from + (<usize>j << 2)));
    else store<u8>(to, load<u8>(from + j));
    to += step;
  }
}
