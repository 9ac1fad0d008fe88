/**
 * Copies consecutive elements, in row-major order, between a strided view and a block register of four-byte lanes. They start at a
 * position (one index per dimension) and may cross rows.
 */

import { Access } from "./generated/agreement";
import { narrow, widen } from "./half";

/** log2 of the bytes of one element in memory. */
// @ts-ignore: decorator
@inline
function itemShift(access: i32): i32 {
  if (access >= Access.loadHalf) return 1;
  return access == Access.load32 || access == Access.store32 || access == Access.iota ? 2 : 0;
}

/** The indices of the current element: at most 64 dimensions after coalescing. */
const indices: usize = memory.data(256, 16);

/** Sets `position` to the indices of row-major element `start`. */
export function locate(position: usize, extents: usize, rank: i32, start: i32): void {
  for (let d = rank - 1; d > 0; d--) {
    const extent = load<u32>(extents + (<usize>d << 2));
    const next = <u32>start / extent;
    store<u32>(position + (<usize>d << 2), <u32>start - next * extent);
    start = <i32>next;
  }
  store<i32>(position, start);
}

/** The element offset of `position` in a view. */
export function offsetAt(position: usize, strides: usize, rank: i32): i32 {
  let offset = 0;
  for (let d = 0; d < rank; d++) {
    offset += load<i32>(position + (<usize>d << 2)) * load<i32>(strides + (<usize>d << 2));
  }
  return offset;
}

/** Loads or stores `count` elements from `position` on, as `access` says. */
export function copyStrided(
  access: i32,
  base: usize,
  strides: usize,
  extents: usize,
  rank: i32,
  position: usize,
  count: i32,
  register: usize,
): void {
  const last = <usize>(rank - 1) << 2;
  const stride = load<i32>(strides + last);
  const rowLength = load<i32>(extents + last);
  const column = load<i32>(position + last);
  const shift = itemShift(access);
  let offset = offsetAt(position, strides, rank);
  let length = min(count, rowLength - column);
  segment(access, base, offset, shift, stride, length, register);
  count -= length;
  if (count == 0) return;
  memory.copy(indices, position, last + 4);
  offset -= column * stride;
  do {
    register += <usize>length << 2;
    let d = last;
    for (;;) {
      d -= 4;
      const step = load<i32>(strides + d);
      const index = load<i32>(indices + d) + 1;
      offset += step;
      if (d == 0 || index < load<i32>(extents + d)) {
        store<i32>(indices + d, index);
        break;
      }
      offset -= index * step;
      store<i32>(indices + d, 0);
    }
    length = min(count, rowLength);
    segment(access, base, offset, shift, stride, length, register);
    count -= length;
  } while (count > 0);
}

/** Elements of one row: `length` of them, `stride` elements apart. */
function segment(
  access: i32,
  base: usize,
  offset: i32,
  shift: i32,
  stride: i32,
  length: i32,
  register: usize,
): void {
  const at = base + (<isize>offset << shift);
  const step = <isize>stride << shift;
  switch (access) {
    case Access.load32:
      if (stride == 1) copy32(register, at, length);
      else if (stride == 0) repeat32(register, load<i32>(at), length);
      else gather32(register, at, step, length);
      return;
    case Access.loadU8:
      if (stride == 1) widenU8(register, at, length);
      else gatherU8(register, at, step, length);
      return;
    case Access.loadI8:
      gatherI8(register, at, step, length);
      return;
    case Access.iota:
      count32(register, offset, stride, length);
      return;
    case Access.store32:
      if (stride == 1) copy32(at, register, length);
      else scatter32(at, step, register, length);
      return;
    case Access.store8:
      scatter8(at, step, register, length);
      return;
    default:
      if (access >= Access.storeHalf) narrow(access - Access.storeHalf, at, step, register, length);
      else widen(access - Access.loadHalf, register, at, step, length);
  }
}

/** Copies exactly `length` words; source and destination may be equal. */
export function copy32(to: usize, from: usize, length: i32): void {
  while (length >= 8) {
    const x = v128.load(from);
    const y = v128.load(from, 16);
    v128.store(to, x);
    v128.store(to, y, 16);
    to += 32;
    from += 32;
    length -= 8;
  }
  while (length > 0) {
    store<i32>(to, load<i32>(from));
    to += 4;
    from += 4;
    length--;
  }
}

function repeat32(to: usize, value: i32, length: i32): void {
  const x = i32x4.splat(value);
  while (length >= 4) {
    v128.store(to, x);
    to += 16;
    length -= 4;
  }
  while (length > 0) {
    store<i32>(to, value);
    to += 4;
    length--;
  }
}

function count32(to: usize, value: i32, step: i32, length: i32): void {
  while (length > 0) {
    store<i32>(to, value);
    value += step;
    to += 4;
    length--;
  }
}

function gather32(to: usize, from: usize, step: isize, length: i32): void {
  while (length > 0) {
    store<i32>(to, load<i32>(from));
    from += step;
    to += 4;
    length--;
  }
}

function scatter32(to: usize, step: isize, from: usize, length: i32): void {
  while (length > 0) {
    store<i32>(to, load<i32>(from));
    to += step;
    from += 4;
    length--;
  }
}

function widenU8(to: usize, from: usize, length: i32): void {
  while (length >= 8) {
    const x = v128.load8x8_u(from);
    v128.store(to, i32x4.extend_low_i16x8_u(x));
    v128.store(to, i32x4.extend_high_i16x8_u(x), 16);
    to += 32;
    from += 8;
    length -= 8;
  }
  gatherU8(to, from, 1, length);
}

function gatherU8(to: usize, from: usize, step: isize, length: i32): void {
  while (length > 0) {
    store<i32>(to, <i32>load<u8>(from));
    from += step;
    to += 4;
    length--;
  }
}

function gatherI8(to: usize, from: usize, step: isize, length: i32): void {
  while (length > 0) {
    store<i32>(to, <i32>load<i8>(from));
    from += step;
    to += 4;
    length--;
  }
}

function scatter8(to: usize, step: isize, from: usize, length: i32): void {
  while (length > 0) {
    store<u8>(to, load<u8>(from));
    to += step;
    from += 4;
    length--;
  }
}
