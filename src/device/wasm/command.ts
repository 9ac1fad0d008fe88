/**
 * The command stream: a Program encoded once as 32-bit words in wasm memory and executed there by `execute` in
 * assembly/execute.ts. A command is
 *
 *     [opcode, words in this command, payload …]
 *
 * and every kernel is one assembly function `kernel(payload: usize): void` that finds *absolute addresses*,
 * sizes and strides (in elements unless its layout says otherwise) in its payload. Addresses of slots that
 * change between runs are patched by the device before it rings the bell, so kernels never see slots.
 */
import type { Operand } from "../../kernels/kernel.js";

/** Numbers of the commands. */
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

/** What an encoder (src/device/wasm/encode/*.ts) writes one command's payload with. */
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
   * The 64-byte-aligned address of a working space of at least `bytes`, shared by all commands of all Programs; or the
   * address `at` bytes into it, of a part of at least `bytes`.
   */
  scratch(bytes: number, at?: number): void;
  /**
   * Two words: the address of the operand's panels of `bytes`, 0 for none, and 1 if they are filled; the kernel fills them and the word.
   * `layout` tells, with the operand's place, what they hold. Undefined: never any.
   */
  panels(operand: Operand | undefined, layout: readonly number[], bytes: number): void;
  /** Ends the command: fills in its length. */
  end(): void;
}
