/**
 * The definition of an op: one object in `ops/` with its lowering to kernels and its gradient. The kinds determine what the
 * compiler's passes may do with a node.
 */

import { aNumber, check, oneOf, wrong } from "../core/check.js";
import type { View } from "../core/view.js";
import type { DeviceInfo } from "../device/device.js";
import type { BinaryOp, IndexReport, KernelCall, Operand, ReduceOp, UnaryOp } from "../kernels/kernel.js";
import type { Tensor } from "./tensor.js";

/** The arguments of `gradient`: the node and the gradient of its output. */
export interface GradientContext<A = unknown> {
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  /** ∂loss/∂output; shape of the output. */
  readonly gradient: Tensor;
  readonly attributes: A;
  /** Whether the gradient of input i is needed; others are skipped. */
  needs(input: number): boolean;
}

interface OpBase<A> {
  readonly name: string;
  /** ∂loss/∂input for every input (undefined where not needed), built from differentiable ops. */
  gradient?(context: GradientContext<A>): readonly (Tensor | undefined)[];
}

/** Same-shape inputs, one instruction of a fused expression. `cast` converts to the node's dtype. */
export interface ElementwiseOp<A = unknown> extends OpBase<A> {
  readonly kind: "elementwise";
  readonly instruction: UnaryOp | BinaryOp | "where" | "cast";
}

/** No inputs: constants, positions and random numbers. Attributes: see `SourceAttributes`. */
export interface SourceOp<A = unknown> extends OpBase<A> {
  readonly kind: "source";
  readonly source: "constant" | "scalar" | "uniform" | "iota";
}

/** One input, the same elements under another view. */
export interface ViewOp<A = unknown> extends OpBase<A> {
  readonly kind: "view";
  /** The view of the output for the given view of the input; null if the elements must be copied first. */
  apply(input: View, attributes: A): View | null;
}

/** One input; the output keeps the reduced axes as extents of 1. Attributes: `{ axes: number[] }`. */
export interface ReductionOp extends OpBase<ReduceAttributes> {
  readonly kind: "reduce";
  readonly reduction: ReduceOp;
}

export interface ReduceAttributes {
  readonly axes: readonly number[];
}

export interface IndexAttributes {
  /** The dimension of input 0 that is indexed. */
  readonly dim: number;
  /** An index value that is ignored; it may be outside the dimension. */
  readonly ignored?: number;
  /** Name of the function that the user called. */
  readonly report: IndexReport;
}

/** All other ops: `lower` emits their kernel calls. */
export interface KernelOp<A = unknown> extends OpBase<A> {
  readonly kind: "kernel";
  /**
   * Its call accepts an `epilogue`: elementwise ops that are its only consumer are fused into it. "reshaped": its output is
   * row-major, and the ops may use it in another shape.
   */
  readonly takesEpilogue?: "same shape" | "reshaped";
  /** The epilogue may change the dtype: the output of a quantized layer can be requantized to int8 for the next layer. */
  readonly epilogueCasts?: boolean;
  /** Input 1 holds indices into input 0, which its kernel checks while it runs. Attributes: `IndexAttributes`. */
  readonly checksIndex?: boolean;
  /**
   * Its output is input 0 with some elements replaced. If it is assigned to the leaf that is input 0, `output()` is that leaf's
   * memory, and only the replaced elements are written.
   */
  readonly writesInput?: boolean;
  lower(context: Lowering<A>): void;
}

/** The arguments of `lower`. */
export interface Lowering<A = unknown> {
  readonly attributes: A;
  readonly info: DeviceInfo;
  /** Input i in memory, with any strides (0 if broadcast). */
  input(i: number): Operand;
  /**
   * The output: dense, row-major or with its dimensions in memory in `order` (outermost first). The compiler may have assigned
   * its memory before. Call it once.
   */
  output(order?: readonly number[]): Operand;
  emit(call: KernelCall): void;
}

declare module "./tensor.js" {
  interface Node {
    /** The op that computes it. */
    readonly op: Op;
  }
}

export type Op = ElementwiseOp | SourceOp | ViewOp | ReductionOp | KernelOp;

const scalarDType = oneOf("float32", "int32");

/**
 * A number that can change between runs of a Program without recompiling it; see `scalar`.
 *
 * @example
 * const rate = new RuntimeScalar(0.1);
 * rate.dtype; // "float32"
 */
export class RuntimeScalar {
  readonly dtype: "float32" | "int32";
  value: number;

  constructor(value: number, dtype: "float32" | "int32" = "float32") {
    if (typeof value !== "number") throw wrong("RuntimeScalar", "the value", value, aNumber);
    check("RuntimeScalar", "the dtype", dtype, scalarDType);
    this.value = value;
    this.dtype = dtype;
  }
}

/** Attributes of source ops, by `source`. */
export interface ConstantAttributes {
  readonly value: number;
}
export interface ScalarAttributes {
  readonly scalar: RuntimeScalar;
}
export interface UniformAttributes {
  /** Seed (low and high word) and offset of the random stream, int32 runtime scalars. */
  readonly stream: readonly [RuntimeScalar, RuntimeScalar, RuntimeScalar];
}
export interface IotaAttributes {
  readonly dim: number;
}
