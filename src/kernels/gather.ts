/** `gather`: reads elements by index, as torch.gather and embeddings do. */
import type { Shape } from "../core/shape.js";
import { distinctBytes } from "./bytes.js";
import { type IndexReport, pickedBytes } from "./indexing.js";
import type { Operand } from "./operand.js";
import type { KernelCost, KernelRecord } from "./record.js";

/**
 * For every position p of `shape`: output[p] = source.memory[offset(p) + index[p] · axisStride], where offset(p) is the element offset
 * of p in the view of source. All views have this shape; the view of source has stride 0 along the indexed dimension. An index outside
 * 0..axisSize−1 makes the run fail (see Device.run); for the index `ignored` the output is unspecified.
 */
export interface GatherCall {
  readonly kernel: "gather";
  readonly shape: Shape;
  readonly source: Operand;
  readonly index: Operand;
  readonly output: Operand;
  readonly axisStride: number;
  readonly axisSize: number;
  readonly ignored?: number;
  readonly report?: IndexReport;
}

export const gather: KernelRecord<GatherCall> = {
  reads: ["source", "index"],
  writes: ["output"],
};

export const gatherCost: KernelCost<GatherCall> = {
  flops: () => 0,
  bytes: (call, stored) =>
    pickedBytes(call, stored) + distinctBytes(call.index, stored) + distinctBytes(call.output, stored),
};
