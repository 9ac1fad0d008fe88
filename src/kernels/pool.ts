/** `pool`: maximum, average or argmax over sliding windows of an image. */
import { sizeOf } from "../core/shape.js";
import { uncoveredBytes } from "./bytes.js";
import { fill } from "./fill.js";
import { isEmpty, type Operand } from "./operand.js";
import type { KernelCost, KernelRecord } from "./record.js";

export interface PoolGeometry {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  /** average only: whether padding counts in the divisor (PyTorch's default is true). */
  readonly countIncludePad: boolean;
}

/**
 * input [N, C, H, W] → output [N, C, OH, OW]. `argmax` gives int32 positions h·W + w of the first maximum in
 * scan order (NaN counts as the maximum).
 */
export interface PoolCall {
  readonly kernel: "pool";
  readonly op: "max" | "average" | "argmax";
  readonly input: Operand;
  readonly output: Operand;
  readonly geometry: PoolGeometry;
}

export const pool: KernelRecord<PoolCall> = {
  reads: ["input"],
  writes: ["output"],
  emptyReduction: ({ op, input, output }) =>
    isEmpty(input) ? fill(output, op === "max" ? Number.NEGATIVE_INFINITY : 0) : undefined,
};

export const poolCost: KernelCost<PoolCall> = {
  flops: ({ output, geometry }) => sizeOf(output.view.shape) * sizeOf(geometry.kernel),
  untouched: ({ input, output, geometry }, stored) =>
    uncoveredBytes(input, geometry.kernel, output.view.shape, geometry, stored),
};
