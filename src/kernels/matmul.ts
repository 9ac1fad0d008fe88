/** `matmul`: batched products of float32 matrices. */
import { sizeOf } from "../core/shape.js";
import { epilogueFlops, type WithEpilogue } from "./epilogue.js";
import { fill } from "./fill.js";
import { isEmpty, type Operand } from "./operand.js";
import type { KernelCost, KernelRecord } from "./record.js";

/** [...batch, m, k] × [...batch, k, n] → [...batch, m, n]; float32. Any strides (0 broadcasts batches). */
export interface MatmulCall extends WithEpilogue {
  readonly kernel: "matmul";
  readonly a: Operand;
  readonly b: Operand;
  readonly output: Operand;
}

export const matmul: KernelRecord<MatmulCall> = {
  reads: ["a", "b"],
  writes: ["output"],
  emptyReduction: ({ a, output }) => (isEmpty(a) ? fill(output, 0) : undefined),
};

export const matmulCost: KernelCost<MatmulCall> = {
  flops: (call) => 2 * sizeOf(call.output.view.shape) * (call.a.view.shape.at(-1) ?? 1) + epilogueFlops(call),
};
