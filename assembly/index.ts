/** The exports of the binary. */
import { heapStart, initialize } from "./expression";
import { failure } from "./failure";
import { hash } from "./generated/agreement";
export { execute } from "./execute";
export { selfTest } from "./selftest";

/** Hash of the constants shared with TypeScript (src/device/wasm/agreement.ts); compared when the binary is loaded. */
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
