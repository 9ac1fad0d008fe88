/** `qmatmul`: products with quantized weights. */
import { sizeOf } from "../core/shape.js";
import { epilogueFlops } from "./epilogue.js";
import { isEmpty, type Operand } from "./operand.js";
import { emptyProduct, type QuantizedFormat, type QuantizedProduct } from "./quantized.js";
import type { KernelCost, KernelRecord } from "./record.js";

/**
 * [m, k] × weight [n, k]ᵀ → [m, n]. The input is int8, or float32 if only the weights are quantized. With a float32 input the value is
 * float32 (Σ x·w) · scale; the weights then have 8 or 7 bits without groups, and there are no inputScales or offsets.
 */
export interface QmatmulCall extends QuantizedProduct {
  readonly kernel: "qmatmul";
  readonly input: Operand;
  /** Packed (packed.ts); n and k follow from output and input. */
  readonly weight: Operand;
  readonly format: QuantizedFormat;
  /**
   * float32 [m]: scale of each input row. With groups it is required and has shape [m, k/groupSize], `scales` is
   * [⌈n/8⌉ · k/groupSize · 8] (packed.ts), and the value is float32 Σ over groups of float32(accumulator of the group) · inputScale · scale.
   */
  readonly inputScales?: Operand;
  /** float32, with the layout of `scales`: adds Σ over groups of float32(sum of the group's inputs) · inputScale · minimum. */
  readonly minimums?: Operand;
  readonly output: Operand;
}

export const qmatmul: KernelRecord<QmatmulCall> = {
  reads: ["input", "weight", "scales", "inputScales", "offsets", "minimums"],
  writes: ["output"],
  emptyReduction: (call) => (isEmpty(call.input) ? emptyProduct(call) : undefined),
};

export const qmatmulCost: KernelCost<QmatmulCall> = {
  flops: (call) =>
    2 * sizeOf(call.output.view.shape) * (call.input.view.shape.at(-1) ?? 1) + epilogueFlops(call),
};
