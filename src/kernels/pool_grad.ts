/** `poolGrad`: the gradient of `pool` with respect to its input. */
import { sizeOf } from "../core/shape.js";
import { uncoveredBytes } from "./bytes.js";
import { fill } from "./fill.js";
import { isEmpty, type Operand } from "./operand.js";
import type { PoolGeometry } from "./pool.js";
import type { KernelCost, KernelRecord } from "./record.js";

/** Computes gradInput from gradOutput. `max` needs `input` to find the first maximum of each window, which gets the gradient. */
export interface PoolGradCall {
  readonly kernel: "poolGrad";
  readonly op: "max" | "average";
  readonly input?: Operand;
  readonly gradOutput: Operand;
  readonly gradInput: Operand;
  readonly geometry: PoolGeometry;
}

export const poolGrad: KernelRecord<PoolGradCall> = {
  reads: ["input", "gradOutput"],
  writes: ["gradInput"],
  emptyReduction: ({ gradOutput, gradInput }) => (isEmpty(gradOutput) ? fill(gradInput, 0) : undefined),
};

export const poolGradCost: KernelCost<PoolGradCall> = {
  flops: ({ gradOutput, geometry }) => sizeOf(gradOutput.view.shape) * sizeOf(geometry.kernel),
  untouched: ({ input, gradOutput, geometry }, stored) =>
    input ? uncoveredBytes(input, geometry.kernel, gradOutput.view.shape, geometry, stored) : 0,
};
