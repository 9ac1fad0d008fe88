/**
 * Where a kernel notes what went wrong in the data (an index outside its axis): [opcode, index, axis size].
 * The first failure of a run is kept; the run goes on, skipping the offending elements.
 */

export const failure: usize = memory.data(12, 4);

export function fail(opcode: i32, index: i32, axisSize: i32): void {
  if (load<i32>(failure) != 0) return;
  store<i32>(failure, opcode);
  store<i32>(failure, index, 4);
  store<i32>(failure, axisSize, 8);
}
