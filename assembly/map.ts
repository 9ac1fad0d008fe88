/**
 * `map`: evaluates an expression block by block and stores the outputs. After the expression the payload has the number of outputs and
 * per output [mode, access, address, table entry of the value, entry through which the value is computed directly in the output (or 0),
 * entry of the register used instead for ragged blocks, strides].
 */
import { evaluate, open, pointer, position, seek, setPointer } from "./expression";
import { Header, Mode, OutputAt } from "./generated/agreement";
import { copy32, offsetAt, copyStrided } from "./strided";

export function map(payload: usize): void {
  mapRange(payload, open(payload), 0, load<i32>(payload, Header.size));
}

/** Elements `start` to `stop` of an opened expression, in iteration order; `outputs` is the address after the expression. */
export function mapRange(payload: usize, outputs: usize, start: i32, stop: i32): void {
  const first = outputs + 4;
  const block = load<i32>(payload, Header.block);
  const rank = load<i32>(payload, Header.rank);
  const extents = payload + Header.extents;
  const outputBytes = OutputAt.strides + (<usize>rank << 2);
  const end = first + <usize>load<u32>(outputs) * outputBytes;
  const byRows = load<i32>(payload, Header.byRows);
  const rowLength = byRows ? load<i32>(extents + (<usize>(rank - 1) << 2)) : stop - start;
  let left = byRows ? rowLength - start % rowLength : rowLength;
  while (start < stop) {
    const count = min(block, min(left, stop - start));
    seek(payload, start);
    // Loops write whole vectors, so a ragged block must not be computed in place.
    const inPlace = (count & 3) == 0;
    for (let output = first; output < end; output += outputBytes) {
      const target = load<u32>(output, OutputAt.target);
      if (target == 0) continue;
      const address = inPlace ? place(output, start, rank) : pointer(load<u32>(output, OutputAt.standIn));
      setPointer(target, address);
    }
    evaluate(payload, start, count);
    for (let output = first; output < end; output += outputBytes) {
      if (inPlace && load<u32>(output, OutputAt.target) != 0) continue;
      const value = pointer(load<u32>(output, OutputAt.value));
      if (load<i32>(output, OutputAt.mode) != Mode.strided) {
        copy32(place(output, start, rank), value, count);
        continue;
      }
      const base = <usize>load<u32>(output, OutputAt.address);
      const access = load<i32>(output, OutputAt.access);
      copyStrided(access, base, output + OutputAt.strides, extents, rank, position, count, value);
    }
    start += count;
    left -= count;
    if (left == 0) left = rowLength;
  }
}

/** The address of element `start` in an output that is written directly. */
// @ts-ignore: decorator
@inline
function place(output: usize, start: i32, rank: i32): usize {
  const linear = load<i32>(output, OutputAt.mode) == Mode.linear;
  const element = linear ? start : offsetAt(position, output + OutputAt.strides, rank);
  return <usize>load<u32>(output, OutputAt.address) + (<isize>element << 2);
}
