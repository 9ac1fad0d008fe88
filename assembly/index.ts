/** What the host sees of the kernels. */
import { heapStart, initialize } from "./expression";
import { failure } from "./failure";
import { hash } from "./generated/agreement";
export { execute } from "./execute";
export { selfTest } from "./selftest";

/** What the binary was built for (src/device/wasm/agreement.ts); compared when it is loaded. */
export const agreement: i32 = hash;

/** Called once, before anything else. Returns the first byte of memory that the host may use. */
export function start(): usize {
  initialize();
  return heapStart;
}

/** Address of [opcode, index, axis size] of the last failure. */
export function failureAddress(): usize {
  return failure;
}
