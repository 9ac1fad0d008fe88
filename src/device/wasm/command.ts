/**
 * The command stream: a Program encoded once as 32-bit words in wasm memory and executed there by `execute` in
 * assembly/execute.ts. A command is
 *
 *     [opcode, words in this command, payload …]
 *
 * and every kernel is one assembly function `kernel(payload: usize): void`. Its payload has *absolute addresses*, sizes and strides (in
 * elements unless its layout says otherwise). Before a run the device patches the addresses that have changed, so kernels never see slots.
 */
import type { Operand } from "../../kernels/kernel.js";

/** Numbers of the kernels. */
export const Opcode = {
  end: 0,
  map: 1,
  reduce: 2,
  matmul: 3,
  conv: 4,
  convGradInput: 5,
  convGradWeight: 6,
  pool: 7,
  poolGrad: 8,
  gather: 9,
  scatterAdd: 10,
  qmatmul: 11,
  qmatmulGroups: 12,
  qmatmulFloat: 13,
  qconv: 14,
  attention: 15,
  write: 16,
} as const;

/** Writes one command; the encoders (src/device/wasm/encode/*.ts) use it. */
export interface CommandWriter {
  /** Starts a command. */
  begin(opcode: number): void;
  i32(...values: number[]): void;
  f32(value: number): void;
  /** The byte address of the operand's first element (slot base + view.offset · item size). */
  address(operand: Operand): void;
  /** The byte address of runtime scalar `index` (a 32-bit word). */
  scalarAddress(index: number): void;
  /**
   * The 64-byte-aligned address of scratch memory of at least `bytes`, which all commands of all Programs share; with `at`, the address
   * `at` bytes into it, of a part of at least `bytes`.
   */
  scratch(bytes: number, at?: number): void;
  /**
   * Two words: the address of cached panels of the operand, of size `bytes` (0: none), and 1 if they are filled; otherwise the kernel
   * fills them and sets the word. `layout` and the operand's view identify the contents. Without operand: never any.
   */
  panels(operand: Operand | undefined, layout: readonly number[], bytes: number): void;
  /** Ends the command: fills in its length. */
  end(): void;
}
