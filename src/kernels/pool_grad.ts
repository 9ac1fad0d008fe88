/** `poolGrad`: the gradient of `pool` for its image. */
import { sizeOf } from "../core/shape.js";
import { bytesPassedOver } from "./bytes.js";
import { fill } from "./fill.js";
import { isEmpty, type Operand } from "./operand.js";
import type { PoolGeometry } from "./pool.js";
import type { KernelRecord } from "./record.js";

/** gradInput from gradOutput; for `max`, `input` tells the position of each window's first maximum. */
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
  flops: ({ gradOutput, geometry }) => sizeOf(gradOutput.view.shape) * sizeOf(geometry.kernel),
  untouched: ({ input, gradOutput, geometry }, stored) =>
    input ? bytesPassedOver(input, geometry.kernel, gradOutput.view.shape, geometry, stored) : 0,
  overNothing: ({ gradOutput, gradInput }) => (isEmpty(gradOutput) ? fill(gradInput, 0) : undefined),
};
