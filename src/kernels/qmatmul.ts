/** `qmatmul`: products with quantized weights. */
import { sizeOf } from "../core/shape.js";
import { epilogueFlops } from "./epilogue.js";
import { isEmpty, type Operand } from "./operand.js";
import { type QuantizedFormat, type QuantizedProduct, valueOfNothing } from "./quantized.js";
import type { KernelCost, KernelRecord } from "./record.js";

/**
 * [m, k] × weight [n, k]ᵀ → [m, n]. The input is int8; or float32, where only the weights are quantized: then the value is
 * float32 Σ x·w · scale (bits 8 and 7 without groups, no inputScales or offsets).
 */
export interface QmatmulCall extends QuantizedProduct {
  readonly kernel: "qmatmul";
  readonly input: Operand;
  /** Packed; [n, k] is told by output and input. */
  readonly weight: Operand;
  readonly format: QuantizedFormat;
  /**
   * float32 [m]: scales of the input's rows. With groups [m, k/groupSize] and always there: the value is
   * float32 Σ over groups of float32(the group's accumulator) · inputScale · scale, and `scales` are [⌈n/8⌉ · k/groupSize · 8], see packed.ts.
   */
  readonly inputScales?: Operand;
  /** float32, as `scales` of groups: adds Σ over groups of float32(the group's sum of the input) · inputScale · minimum. */
  readonly minimums?: Operand;
  readonly output: Operand;
}

export const qmatmul: KernelRecord<QmatmulCall> = {
  reads: ["input", "weight", "scales", "inputScales", "offsets", "minimums"],
  writes: ["output"],
  emptyReduction: (call) => (isEmpty(call.input) ? valueOfNothing(call) : undefined),
};

export const qmatmulCost: KernelCost<QmatmulCall> = {
  flops: (call) =>
    2 * sizeOf(call.output.view.shape) * (call.input.view.shape.at(-1) ?? 1) + epilogueFlops(call),
};
