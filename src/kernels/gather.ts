/** `gather`: elements picked by indices; rows of an embedding, torch.gather. */
import type { Shape } from "../core/shape.js";
import { distinctBytes } from "./bytes.js";
import { type IndexReport, pickedBytes } from "./indexing.js";
import type { Operand } from "./operand.js";
import type { KernelRecord } from "./record.js";

/**
 * For every position p of `shape`: output[p] = source[p, then index[p] steps of axisStride]. All views have
 * this shape; source's strides are 0 along the dimensions that the index replaces. Covers embedding rows and
 * torch.gather. An index outside 0..axisSize-1 makes the run fail (see Device.run), except for `ignored`, for which the output
 * is unspecified.
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
  flops: () => 0,
  bytes: (call, stored) =>
    pickedBytes(call, stored) + distinctBytes(call.index, stored) + distinctBytes(call.output, stored),
};
