/** `matmul`: batched products of float32 matrices. */
import { sizeOf } from "../core/shape.js";
import { activationStep, fill } from "./fill.js";
import { isEmpty, type Operand } from "./operand.js";
import type { KernelRecord } from "./record.js";

/** [...batch, m, k] × [...batch, k, n] → [...batch, m, n]; float32. Any strides (0 broadcasts batches). */
export interface MatmulCall {
  readonly kernel: "matmul";
  readonly a: Operand;
  readonly b: Operand;
  readonly output: Operand;
  /** Added to every row; its view has the output's shape (so stride 0 for all but the last dimension). */
  readonly bias?: Operand;
  /** Applied last. */
  readonly activation?: "relu";
}

export const matmul: KernelRecord<MatmulCall> = {
  reads: ["a", "b", "bias"],
  writes: ["output"],
  takesActivation: true,
  flops: ({ a, output }) => 2 * sizeOf(output.view.shape) * (a.view.shape.at(-1) ?? 1),
  overNothing: ({ a, bias, activation, output }) =>
    isEmpty(a) ? fill(output, 0, [["add", bias], activationStep(activation)]) : undefined,
};
