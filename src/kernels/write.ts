/** `write`: writes slices into a tensor at positions given by values; appends to a key-value cache without rewriting it. */
import { distinctBytes } from "./bytes.js";
import type { Operand } from "./operand.js";
import type { KernelCost, KernelRecord } from "./record.js";

/**
 * For every element p of source: output.memory[offset(p) + position[p] · axisStride] = source[p], where offset(p) is the element offset
 * of p in the view of output. All views have the source's shape; `position` (int32) is constant along the axis. The slice starts at one
 * of `positionCount` places: a position outside 0..positionCount−1 writes nothing. Elements that are not written keep their values.
 * source and output do not share memory.
 */
export interface WriteCall {
  readonly kernel: "write";
  readonly source: Operand;
  readonly position: Operand;
  readonly output: Operand;
  readonly axisStride: number;
  readonly positionCount: number;
}

export const write: KernelRecord<WriteCall> = {
  reads: ["source", "position", "output"],
  writes: ["output"],
};

export const writeCost: KernelCost<WriteCall> = {
  flops: () => 0,
  // Elements that keep their old values are not accessed.
  bytes: ({ source, position, output }, stored) =>
    [source, position, output].reduce((sum, operand) => sum + distinctBytes(operand, stored), 0),
};
