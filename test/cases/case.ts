/**
 * One list of cases drives the comparison between devices, the comparison with PyTorch, the gradient checks and
 * the support table. A case is a function on generated inputs; everything else about it is data.
 */

import type { DType } from "../../src/core/dtype.js";
import { type Shape, sizeOf } from "../../src/core/shape.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { expand, flip, narrow, slice, transpose } from "../../src/ops/index.js";
import type { Values } from "./generate.js";

/** What the op gets is a view of the leaf, with strides that are not row-major. */
export type ViewName = "transposed" | "sliced" | "flipped" | "expanded" | "narrowed";

export const viewNames: readonly ViewName[] = ["transposed", "sliced", "flipped", "expanded", "narrowed"];

export interface Input {
  /** Of the tensor that the op gets. */
  readonly shape: Shape;
  readonly dtype: DType;
  readonly values: Values;
  readonly view?: ViewName;
  /** false: the gradient for this input is not asked for. Default: float32 inputs have one. */
  readonly gradient?: boolean;
}

export interface Case {
  /** Unique; begins with the op. */
  readonly name: string;
  /** The exported function under test. */
  readonly op: string;
  readonly inputs: readonly Input[];
  run(inputs: Tensor[]): Tensor;
  /**
   * The same in PyTorch: a Python expression over the inputs a, b, c, … and `torch`, `F` (torch.nn.functional),
   * evaluated in float64; or why there is none.
   */
  readonly torch: string | { readonly none: string };
  /** false: the op is not differentiable, or not at these inputs. Default true. */
  readonly gradient?: boolean;
  /** Most terms summed into one element of the output or of a gradient. Default 1. */
  readonly reductionLength?: number;
  /** Magnitude of the terms, where it is more than both 1 and the results. */
  readonly scale?: number;
  /** Rounding errors per term in units of eps; default 8, see tolerance.ts. */
  readonly ulps?: number;
  /** Tell 0 from -0 in the output. For cases of special values. */
  readonly signedZero?: boolean;
  /** The inputs lie on kinks, ties or at infinity, where the gradient is a convention that only PyTorch can confirm. */
  readonly kink?: boolean;
}

/** float32, by default in [-2, 2). */
export function float(shape: Shape, values: Values = { between: [-2, 2] }, view?: ViewName): Input {
  return { shape, dtype: "float32", values, view };
}

/** Integers (bool: 0 and 1) from `low` up to but not including `high`. */
export function integers(
  shape: Shape,
  low: number,
  high: number,
  dtype: DType = "int32",
  view?: ViewName,
): Input {
  return { shape, dtype, values: { integers: [low, high] }, view };
}

/** Exactly these values. */
export function listed(
  values: readonly number[],
  dtype: DType = "float32",
  shape: Shape = [values.length],
): Input {
  return { shape, dtype, values: { list: values } };
}

/** The input, without asking for its gradient. */
export function fixed(input: Input): Input {
  return { ...input, gradient: false };
}

/** Not-a-number, infinities, both zeros, and ordinary numbers around them. */
export const specialValues = [Number.NaN, Infinity, -Infinity, 0, -0, 1, -1, 0.5, -2.5, 3];

/** Extents up to twice the four lanes of a SIMD register and one more: every tail a vector loop can have. */
export const tails = [1, 2, 3, 4, 5, 6, 7, 8, 9];

/** The shape of the leaf behind an input. */
export function leafShape({ shape, view }: Input): Shape {
  const last = shape.length - 1;
  switch (view) {
    case "transposed":
      return [...shape.slice(0, -2), shape[last], shape[last - 1]];
    case "sliced":
      return shape.with(last, 2 * shape[last] + 1);
    case "expanded":
      return shape.with(0, 1);
    case "narrowed":
      return shape.with(0, shape[0] + 2);
    default:
      return shape;
  }
}

/** What the op gets, of the leaf. make_cases.py does the same. */
export function applyView(leaf: Tensor, { shape, view }: Input): Tensor {
  switch (view) {
    case "transposed":
      return transpose(leaf, -1, -2);
    case "sliced":
      return slice(leaf, -1, 1, undefined, 2);
    case "flipped":
      return flip(leaf);
    case "expanded":
      return expand(leaf, shape);
    case "narrowed":
      return narrow(leaf, 0, 1, shape[0]);
    default:
      return leaf;
  }
}

/** Whether the case asks for the gradient of input i. */
export function isDifferentiated({ gradient = true, inputs }: Case, i: number): boolean {
  return gradient && inputs[i].dtype === "float32" && inputs[i].gradient !== false;
}

/** Whether finite differences confirm its gradients. */
export function hasFirstDerivatives(entry: Case): boolean {
  return !entry.kink && entry.inputs.some((_, i) => isDifferentiated(entry, i));
}

/** Larger cases repeat what smaller ones show, and take most of the time. */
const mostVaried = 300;

/** Whether finite differences of its gradients confirm second derivatives. */
export function hasSecondDerivatives(entry: Case): boolean {
  return hasFirstDerivatives(entry) && entry.inputs.every(({ shape }) => sizeOf(shape) <= mostVaried);
}
