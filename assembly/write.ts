/**
 * `write`: rows of the source into the output at positions along an axis, which are values. Payload: [dimensions of rows, their
 * number, elements of a row, axis stride, positions on the axis, log2 of the item size, addresses of source, position and output, strides
 * within a row of source and output, then by dimension of the rows extents and strides of source, position and output].
 */
import { WriteAt as At } from "./generated/agreement";
import { locate, offsetAt } from "./strided";

const place: usize = memory.data(256, 16);

export function write(payload: usize): void {
  const rank = load<i32>(payload, At.rank);
  const extents = payload + At.extents;
  const step = <usize>rank << 2;
  const length = load<i32>(payload, At.length);
  const shift = load<i32>(payload, At.itemShift);
  const sourceStep = load<i32>(payload, At.sourceStride) << shift;
  const outputStep = load<i32>(payload, At.outputStride) << shift;
  const isWhole = sourceStep == 1 << shift && outputStep == sourceStep;
  for (let row = 0; row < load<i32>(payload, At.rows); row++) {
    locate(place, extents, rank, row);
    const start = load<i32>(load<usize>(payload, At.position) + (offsetAt(place, extents + 2 * step, rank) << 2));
    if (<u32>start >= load<u32>(payload, At.positionCount)) continue;
    let from = load<usize>(payload, At.source) + (offsetAt(place, extents + step, rank) << shift);
    const first = offsetAt(place, extents + 3 * step, rank) + start * load<i32>(payload, At.axisStride);
    let to = load<usize>(payload, At.output) + (first << shift);
    if (isWhole) {
      memory.copy(to, from, <usize>length << shift);
      continue;
    }
    for (let i = 0; i < length; i++) {
      if (shift == 2) store<i32>(to, load<i32>(from));
      else if (shift == 1) store<u16>(to, load<u16>(from));
      else store<u8>(to, load<u8>(from));
      from += sourceStep;
      to += outputStep;
    }
  }
}
