/**
 * The failure record: [opcode, index, axis size, address of the current command]. A kernel writes it for an index outside its axis; the
 * first failure wins. The kernel skips such elements and continues; the run ends after the kernel.
 */

export const failure: usize = memory.data(16, 4);

export function fail(opcode: i32, index: i32, axisSize: i32): void {
  if (load<i32>(failure) != 0) return;
  store<i32>(failure, opcode);
  store<i32>(failure, index, 4);
  store<i32>(failure, axisSize, 8);
}
