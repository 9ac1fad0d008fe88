/** `write`: rows put into a tensor at positions that are values; a cache grows without being rewritten. */
import { distinctBytes } from "./bytes.js";
import type { Operand } from "./operand.js";
import type { KernelRecord } from "./record.js";

/**
 * For every position p of the source: output[p, then position[p] steps of axisStride] = source[p]. All views have the source's
 * shape; `position` (int32) does not vary along the axis. A position outside 0..places-1 writes nothing; what is not written
 * keeps its value. The source is no part of the output's memory.
 */
export interface WriteCall {
  readonly kernel: "write";
  readonly source: Operand;
  readonly position: Operand;
  readonly output: Operand;
  readonly axisStride: number;
  readonly places: number;
}

export const write: KernelRecord<WriteCall> = {
  reads: ["source", "position", "output"],
  writes: ["output"],
  flops: () => 0,
  // The old values that stay are not touched.
  bytes: ({ source, position, output }, stored) =>
    [source, position, output].reduce((sum, operand) => sum + distinctBytes(operand, stored), 0),
};
