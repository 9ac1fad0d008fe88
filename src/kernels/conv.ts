/** `conv` and its two gradients, `convGradInput` and `convGradWeight`: float32 convolutions. */
import { sizeOf } from "../core/shape.js";
import { uncoveredBytes } from "./bytes.js";
import { epilogueFlops, type WithEpilogue } from "./epilogue.js";
import { fill } from "./fill.js";
import { isEmpty, type Operand } from "./operand.js";
import type { KernelCost, KernelRecord } from "./record.js";

export interface ConvGeometry {
  /** [height, width] each. */
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly groups: number;
}

export type ConvKernel = "conv" | "convGradInput" | "convGradWeight";

/**
 * 2-D cross-correlation, float32: input [N, C, H, W], weight [O, C/groups, KH, KW], output [N, O, OH, OW] (logical
 * order; any strides). `convGradInput` writes the `input` operand from `weight` and `output`, `convGradWeight` writes the `weight`
 * operand from `input` and `output`; operands there hold gradients. Only `conv` has an epilogue.
 */
export interface ConvCall extends WithEpilogue {
  readonly kernel: ConvKernel;
  readonly input: Operand;
  readonly weight: Operand;
  readonly output: Operand;
  readonly geometry: ConvGeometry;
}

/** The record of the three kernels; `computed` is the operand that the kernel writes, the other two are read. */
function record(
  reads: KernelRecord<ConvCall>["reads"],
  computed: "input" | "weight" | "output",
): KernelRecord<ConvCall> {
  return {
    reads,
    writes: [computed],
    emptyReduction: (call) =>
      [call.input, call.weight, call.output].some(isEmpty) ? fill(call[computed], 0) : undefined,
  };
}

export const conv = record(["input", "weight"], "output");
export const convGradInput = record(["output", "weight"], "input");
export const convGradWeight = record(["input", "output"], "weight");

const flops = (call: ConvCall) =>
  2 * sizeOf(call.output.view.shape) * sizeOf(call.weight.view.shape.slice(1)) + epilogueFlops(call);

export const convCost: KernelCost<ConvCall> = {
  flops,
  untouched: ({ input, weight, output, geometry }, stored) =>
    uncoveredBytes(input, weight.view.shape.slice(2), output.view.shape, geometry, stored),
};

/** Every pixel is written, also the uncovered ones. */
export const convGradInputCost: KernelCost<ConvCall> = { flops };
