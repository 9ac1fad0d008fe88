/**
 * `gather` and `scatterAdd`. Payload, 32-bit words: rank, axis stride, axis size, log2 of the item size, 1 if the items are int32, the
 * load instruction of the index, addresses of source, index and output, 1 if an index value is ignored, that value, extents, strides of
 * source, index and output in elements.
 *
 * `forEachRow` iterates over the outer dimensions, `row` over the innermost one. If the index has stride 0 there (embedding rows),
 * the row has one index and is copied or added as a whole.
 */
import { fail } from "./failure";
import { Access, IndexingAt as At, Opcode } from "./generated/agreement";
import { copy32 } from "./strided";

/** The current index along each outer dimension. */
const indices: usize = memory.data(256, 16);

export function gather(payload: usize): void {
  forEachRow(payload, Opcode.gather);
}

export function scatterAdd(payload: usize): void {
  forEachRow(payload, Opcode.scatterAdd);
}

function forEachRow(payload: usize, opcode: i32): void {
  const last = (load<u32>(payload, At.rank) - 1) << 2;
  const shift = load<i32>(payload, At.itemShift);
  const indexShift = load<i32>(payload, At.indexAccess) == Access.load32 ? 2 : 0;
  const extents = payload + At.extents;
  const sourceStrides = extents + last + 4;
  const indexStrides = sourceStrides + last + 4;
  const outputStrides = indexStrides + last + 4;
  let source = <isize>load<u32>(payload, At.source);
  let index = <isize>load<u32>(payload, At.index);
  let output = <isize>load<u32>(payload, At.output);
  memory.fill(indices, 0, last + 4);
  for (;;) {
    row(
      payload,
      opcode,
      source,
      index,
      output,
      load<i32>(extents + last),
      load<i32>(sourceStrides + last),
      load<i32>(indexStrides + last),
      load<i32>(outputStrides + last),
    );
    let d: usize = last;
    for (;;) {
      if (d == 0) return;
      d -= 4;
      const i = load<i32>(indices + d) + 1;
      const sourceStep = <isize>load<i32>(sourceStrides + d) << shift;
      const indexStep = <isize>load<i32>(indexStrides + d) << indexShift;
      const outputStep = <isize>load<i32>(outputStrides + d) << shift;
      source += sourceStep;
      index += indexStep;
      output += outputStep;
      if (i < load<i32>(extents + d)) {
        store<i32>(indices + d, i);
        break;
      }
      store<i32>(indices + d, 0);
      source -= <isize>i * sourceStep;
      index -= <isize>i * indexStep;
      output -= <isize>i * outputStep;
    }
  }
}

// @ts-ignore: decorator
@inline
function indexAt(at: usize, access: i32): i32 {
  if (access == Access.load32) return load<i32>(at);
  return access == Access.loadU8 ? <i32>load<u8>(at) : <i32>load<i8>(at);
}

/** Reports an index outside 0..axisSize−1, unless it is the ignored one. */
function outside(payload: usize, opcode: i32, index: i32, axisSize: i32): void {
  if (load<i32>(payload, At.ignores) == 0 || index != load<i32>(payload, At.ignored)) fail(opcode, index, axisSize);
}

/** One row of the innermost dimension; strides in elements. */
function row(
  payload: usize,
  opcode: i32,
  source: usize,
  index: usize,
  output: usize,
  length: i32,
  sourceStride: i32,
  indexStride: i32,
  outputStride: i32,
): void {
  const access = load<i32>(payload, At.indexAccess);
  const axisSize = load<i32>(payload, At.axisSize);
  const axisStride = load<i32>(payload, At.axisStride);
  const shift = load<i32>(payload, At.itemShift);
  const isInt = load<i32>(payload, At.isInt);
  const scatters = opcode == Opcode.scatterAdd;
  const sourceStep = <isize>sourceStride << shift;
  const outputStep = <isize>outputStride << shift;
  if (indexStride == 0) {
    const i = indexAt(index, access);
    if (<u32>i >= <u32>axisSize) return outside(payload, opcode, i, axisSize);
    const shiftBytes = <isize>(i * axisStride) << shift;
    if (scatters) {
      output += shiftBytes;
      if (sourceStride == 1 && outputStride == 1) addRow(output, source, length, isInt);
      else addStrided(output, outputStep, source, sourceStep, length, isInt);
    } else {
      source += shiftBytes;
      if (shift == 2 && sourceStride == 1 && outputStride == 1) copy32(output, source, length);
      else if (shift == 1 && sourceStride == 1 && outputStride == 1) memory.copy(output, source, <usize>length << 1);
      else copyStrided(output, outputStep, source, sourceStep, length, shift);
    }
    return;
  }
  const indexStep = <isize>indexStride << (access == Access.load32 ? 2 : 0);
  for (; length > 0; length--) {
    const i = indexAt(index, access);
    const shiftBytes = <isize>(i * axisStride) << shift;
    if (<u32>i >= <u32>axisSize) outside(payload, opcode, i, axisSize);
    else if (scatters) addOne(output + shiftBytes, source, isInt);
    else copyOne(output, source + shiftBytes, shift);
    source += sourceStep;
    output += outputStep;
    index += indexStep;
  }
}

// @ts-ignore: decorator
@inline
function addOne(to: usize, from: usize, isInt: i32): void {
  if (isInt) store<i32>(to, load<i32>(to) + load<i32>(from));
  else store<f32>(to, load<f32>(to) + load<f32>(from));
}

// @ts-ignore: decorator
@inline
function copyOne(to: usize, from: usize, shift: i32): void {
  if (shift == 2) store<i32>(to, load<i32>(from));
  else if (shift == 1) store<u16>(to, load<u16>(from));
  else store<u8>(to, load<u8>(from));
}

function addStrided(to: usize, toStep: isize, from: usize, fromStep: isize, length: i32, isInt: i32): void {
  for (; length > 0; length--) {
    addOne(to, from, isInt);
    to += toStep;
    from += fromStep;
  }
}

function copyStrided(to: usize, toStep: isize, from: usize, fromStep: isize, length: i32, shift: i32): void {
  for (; length > 0; length--) {
    copyOne(to, from, shift);
    to += toStep;
    from += fromStep;
  }
}

function addRow(to: usize, from: usize, length: i32, isInt: i32): void {
  while (length >= 4) {
    const x = v128.load(to);
    const y = v128.load(from);
    v128.store(to, isInt ? i32x4.add(x, y) : f32x4.add(x, y));
    to += 16;
    from += 16;
    length -= 4;
  }
  addStrided(to, 4, from, 4, length, isInt);
}
