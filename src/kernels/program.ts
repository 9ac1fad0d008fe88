/**
 * A Program, the compiler's output: kernel calls over numbered slots. Slots 0..leafCount−1 are buffers that the caller passes to each
 * run (inputs, parameters updated in place, new results). The others are temporaries at planned byte offsets in one arena; those
 * with disjoint lifetimes may share bytes.
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

/** The part of a model that a kernel call computes. */
export interface Provenance {
  /** The module's name, with ` (gradient)` for the backward pass. */
  readonly module: string;
  /** The ops, composite ones by their own name: `softmax`, `linear + gelu`, `layerNorm (gradient)`. */
  readonly op: string;
}

/** The compiler's output and the devices' input: kernel calls over numbered slots. */
export interface Program {
  readonly calls: readonly KernelCall[];
  readonly slots: readonly SlotInfo[];
  readonly leafCount: number;
  /**
   * Leaves with a lower slot number are inputs; calls that write them (updates) run after all index checks and are skipped if the
   * run fails. The other leaves are new results. Default 0.
   */
  readonly inputCount?: number;
  /** Runtime scalars: values that change from run to run without recompiling. */
  readonly scalars: readonly DType[];
  readonly arenaBytes: number;
  /**
   * Per call, the index of the first call that is equal except for its slots, as in the repeated blocks of a network; the call's own
   * index if it is the first.
   */
  readonly alike?: readonly number[];
  /**
   * Per call, the module and ops that it computes. Present only if the Program was compiled for a profile or summary. Shorter than
   * `calls` if staged updates end the Program: the copies to their leaves have no entry.
   */
  readonly provenance?: readonly (Provenance | undefined)[];
}
