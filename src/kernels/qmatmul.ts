/** `qmatmul`: products with quantized weights. */
import { sizeOf } from "../core/shape.js";
import { isEmpty, type Operand } from "./operand.js";
import { epilogueOfNothing, type QuantizedEpilogue, type WeightFormat } from "./quantized.js";
import type { KernelCost, KernelRecord } from "./record.js";

/**
 * [m, k] × weight [n, k]ᵀ → [m, n]. The input is int8; or float32, where only the weights are quantized: then the sum is
 * one of floats, Σ x·w · scale + bias (bits 8 and 7, output float32, no inputScales or offsets).
 */
export interface QmatmulCall extends QuantizedEpilogue {
  readonly kernel: "qmatmul";
  readonly input: Operand;
  /** Packed; [n, k] is told by output and input. */
  readonly weight: Operand;
  readonly format: WeightFormat;
  /**
   * float32 [m]: scales of the input's rows. With 4 bits [m, k/groupSize] and always there: the output is
   * Σ over groups of float32(the group's accumulator) · inputScale · scale, `scales` are [⌈n/8⌉, k/groupSize, 8], and output is
   * float32.
   */
  readonly inputScales?: Operand;
  readonly output: Operand;
}

export const qmatmul: KernelRecord<QmatmulCall> = {
  reads: ["input", "weight", "scales", "inputScales", "offsets", "bias"],
  writes: ["output"],
  overNothing: (call) => (isEmpty(call.input) ? epilogueOfNothing(call) : undefined),
};

export const qmatmulCost: KernelCost<QmatmulCall> = {
  flops: ({ input, output }) => 2 * sizeOf(output.view.shape) * (input.view.shape.at(-1) ?? 1),
};
