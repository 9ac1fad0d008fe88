/**
 * Where a kernel notes what went wrong in the data (an index outside its axis), and `execute` which command it is at:
 * [opcode, index, axis size, address of the command]. The first failure is kept; the kernel goes on, skipping the
 * offending elements, and the run ends with it.
 */

export const failure: usize = memory.data(16, 4);

export function fail(opcode: i32, index: i32, axisSize: i32): void {
  if (load<i32>(failure) != 0) return;
  store<i32>(failure, opcode);
  store<i32>(failure, index, 4);
  store<i32>(failure, axisSize, 8);
}
