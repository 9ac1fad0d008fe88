/** `reduce`: reduces a fused expression over axes; softmax and norms are composed of it. */
import type { DType } from "../core/dtype.js";
import { type Shape, sizeOf } from "../core/shape.js";
import { type Expression, flopsPerElement } from "./expression.js";
import { fill } from "./fill.js";
import type { Operand } from "./operand.js";
import type { KernelCost, KernelRecord } from "./record.js";

export type ReduceOp = "sum" | "max" | "min" | "prod" | "argmax" | "argmin";

/**
 * Reduces the expression's one result over `axes` of `shape`. The output's view has `shape` with extent 1 at these axes (keepdim).
 * Empty reductions give the identity: 0, -Infinity, +Infinity or 1 (int32: its bounds), -1 for argmax/argmin. argmax/argmin have one
 * axis and an int32 result, the first of equal values; NaN counts as the largest (smallest) value. max/min propagate NaN. Devices must
 * keep the error of float32 sums independent of their length: by pairwise summation, blocks of accumulators or float64.
 */
export interface ReduceCall {
  readonly kernel: "reduce";
  readonly op: ReduceOp;
  readonly shape: Shape;
  readonly axes: readonly number[];
  readonly inputs: readonly Operand[];
  readonly expression: Expression;
  readonly output: Operand;
}

/** The result of an empty reduction. */
export function identityOf(op: ReduceOp, dtype: DType): number {
  const most = dtype === "int32" ? 2 ** 31 - 1 : Number.POSITIVE_INFINITY;
  if (op === "max") return dtype === "int32" ? -(2 ** 31) : -most;
  if (op === "min") return most;
  return { sum: 0, prod: 1, argmax: -1, argmin: -1 }[op];
}

export const reduce: KernelRecord<ReduceCall> = {
  reads: ["inputs"],
  writes: ["output"],
  emptyReduction: ({ op, shape, output }) =>
    sizeOf(shape) > 0 ? undefined : fill(output, identityOf(op, output.dtype)),
};

export const reduceCost: KernelCost<ReduceCall> = {
  flops: ({ shape, expression }) => sizeOf(shape) * (flopsPerElement(expression) + 1),
};
