/**
 * A Program: kernel calls over numbered slots, what the compiler gives to devices. Slots 0..leafCount-1 are buffers that the
 * caller supplies at each run (inputs, parameters updated in place, fresh results); the others are temporaries in one arena, at
 * planned byte offsets, and may share bytes when their lives do not overlap.
 */
import type { DType } from "../core/dtype.js";
import type { KernelCall } from "./table.js";

export interface SlotInfo {
  readonly dtype: DType;
  /** Elements. */
  readonly size: number;
  /** Byte offset in the arena (multiple of 64); -1 for leaves. */
  readonly offset: number;
}

/**
 * FLOPs and bytes, exact except for attention whose lengths or positions are operands: a Program counts it with full length, `cost()`
 * with the values.
 */
export interface Cost {
  /** Floating-point operations: 2·m·n·k for products, 1 per element for each arithmetic instruction. */
  readonly flops: number;
  /** Bytes that the kernels read and write, counting each operand's elements once per call. */
  readonly bytes: number;
}

/** What the compiler passes to devices: kernel calls over numbered slots, and their cost. */
export interface Program {
  readonly calls: readonly KernelCall[];
  readonly slots: readonly SlotInfo[];
  readonly leafCount: number;
  /**
   * Leaves before this one are inputs: those that are written are updated in place, after every check of an index, and keep
   * their values if the run fails. The others are fresh results. By default there are only results.
   */
  readonly inputCount?: number;
  /** Runtime scalars: values that change from run to run without recompiling. */
  readonly scalars: readonly DType[];
  readonly arenaBytes: number;
  readonly cost: Cost;
  /** For calls that differ from an earlier call only in their slots, such as repeated blocks of a network: that call. */
  readonly alike?: ReadonlyMap<KernelCall, KernelCall>;
  /** Per call, the module that it belongs to; only in the Programs of a profile. Copies at the end have none. */
  readonly origins?: readonly (string | undefined)[];
}
