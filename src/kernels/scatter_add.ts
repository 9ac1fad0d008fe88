/** `scatterAdd`: adds elements at indices; the gradient of `gather`. */
import { type Shape, sizeOf } from "../core/shape.js";
import { distinctBytes } from "./bytes.js";
import { type IndexReport, pickedBytes } from "./indexing.js";
import type { Operand } from "./operand.js";
import type { KernelCost, KernelRecord } from "./record.js";

/**
 * The adjoint of `gather`: output.memory[offset(p) + index[p] · axisStride] += source[p], float32 or int32, where offset(p) is the
 * element offset of p in the view of output. The output holds the initial values. Elements with the index `ignored` are not added.
 */
export interface ScatterAddCall {
  readonly kernel: "scatterAdd";
  readonly shape: Shape;
  readonly source: Operand;
  readonly index: Operand;
  readonly output: Operand;
  readonly axisStride: number;
  readonly axisSize: number;
  readonly ignored?: number;
  readonly report?: IndexReport;
}

export const scatterAdd: KernelRecord<ScatterAddCall> = {
  reads: ["source", "index", "output"],
  writes: ["output"],
};

export const scatterAddCost: KernelCost<ScatterAddCall> = {
  flops: ({ shape }) => sizeOf(shape),
  bytes: (call, stored) =>
    distinctBytes(call.source, stored) + distinctBytes(call.index, stored) + 2 * pickedBytes(call, stored),
};
