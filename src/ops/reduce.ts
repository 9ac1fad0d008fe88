/** Reductions over dimensions. `dims` omitted means all; `keepdim` leaves the reduced ones as extents of 1. */

import { aBoolean, aNumber, checkOptions, type Kinds } from "../core/check.js";
import { isFloat } from "../core/dtype.js";
import { ArgumentError } from "../core/errors.js";
import { formatShape, normalizeDim, normalizeDims, sizeOf } from "../core/shape.js";
import type { ReductionOp } from "../graph/op.js";
import { requireTensor } from "../graph/require.js";
import { inComposite } from "../graph/scope.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import type { ReduceOp } from "../kernels/kernel.js";
import { expand, sumAxes } from "./broadcast.js";
import { eq, gt, logicalAnd, lt, ne, where } from "./comparison.js";
import { composite } from "./composite.js";
import { abs, div, mul, sqrt, square, sub } from "./elementwise.js";
import { asFloat, cast, requireArithmetic } from "./promotion.js";
import { flatten, permute, reshape } from "./reshape.js";
import { flip, pad, slice } from "./slice.js";

/** One dimension or several; negative ones count from the end. */
export type Dims = number | readonly number[];

/** Options of reductions. */
export interface ReduceOptions {
  /** Keep the reduced dimensions with extent 1. Default false. */
  readonly keepdim?: boolean;
}

const reduceOptions: Kinds<ReduceOptions> = { keepdim: aBoolean };

export function applyKeepdim(
  op: string,
  reduced: Tensor,
  axes: readonly number[],
  options: ReduceOptions,
): Tensor {
  return checkOptions(op, options, reduceOptions).keepdim
    ? reduced
    : reshape(reduced, withoutAxes(reduced, axes));
}

function withoutAxes(x: Tensor, axes: readonly number[]): number[] {
  return x.shape.filter((_, i) => !axes.includes(i));
}

function reduceNode(op: ReductionOp, x: Tensor, axes: readonly number[], dtype = x.dtype): Tensor {
  const shape = x.shape.map((extent, i) => (axes.includes(i) ? 1 : extent));
  return createNode(op, [x], { axes }, shape, dtype);
}

/**
 * The sum over `dims` (default: all). float32 and int32 keep their dtype; bool, uint8 and int8 are summed as int32, float16 and
 * bfloat16 as float32.
 *
 * @example
 * sum(tensor([[1, 2], [3, 4]])); // 10
 * sum(tensor([[1, 2], [3, 4]]), 1, { keepdim: true }); // [[3], [7]]
 *
 * @throws ArgumentError for a dimension that x lacks or that is named twice.
 */
export function sum(x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor {
  const axes = normalizeDims(dims, requireTensor("sum", x).rank, "sum");
  const value = cast(x, isFloat(x.dtype) ? "float32" : "int32");
  return applyKeepdim("sum", sumAxes(value, axes), axes, options);
}

/**
 * The arithmetic mean over `dims` (default: all), float32; int32 is converted. Of no elements NaN.
 *
 * @example
 * mean(tensor([[1, 2], [3, 4]]), 0); // [2, 3]
 */
export function mean(x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor {
  const value = asFloat(x, "mean");
  const axes = normalizeDims(dims, x.rank, "mean");
  const result = inComposite("mean", () => div(sumAxes(value, axes), countOf(x, axes)));
  return applyKeepdim("mean", result, axes, options);
}

/** Number of elements per result of a reduction over `axes`. */
function countOf(x: Tensor, axes: readonly number[]): number {
  return sizeOf(axes.map((axis) => x.shape[axis]));
}

function extremum(name: "max" | "min") {
  const op: ReductionOp = {
    kind: "reduce",
    name,
    reduction: name,
    // Equal extrema share the gradient, as in torch.amax. NaN equals nothing: 0 · ∞ makes the gradient NaN too.
    gradient: ({ inputs: [x], output, gradient, attributes: { axes } }) => {
      const ties = cast(eq(x, expand(output, x.shape)), "float32");
      return [mul(ties, expand(div(gradient, sumAxes(ties, axes)), x.shape))];
    },
  };
  return (x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor => {
    requireArithmetic(x, name);
    const axes = normalizeDims(dims, x.rank, name);
    const reduced = axes.length === 0 ? x : reduceNode(op, x, axes);
    return applyKeepdim(name, reduced, axes, options);
  };
}

/**
 * The largest element over `dims` (default: all); NaN if there is one. Equal maxima share the gradient, as in torch.amax.
 *
 * @example
 * max(tensor([[1, 5], [3, 4]]), 1); // [5, 4]
 */
export const max = extremum("max");
/**
 * The smallest element over `dims` (default: all); NaN if there is one. Equal minima share the gradient, as in torch.amin.
 *
 * @example
 * min(tensor([[1, 5], [3, 4]]), 1); // [1, 3]
 */
export const min = extremum("min");

const prodOp: ReductionOp = {
  kind: "reduce",
  name: "prod",
  reduction: "prod",
  gradient: ({ inputs: [x], gradient, attributes: { axes } }) => [
    mul(expand(gradient, x.shape), productOfOthers(x, axes)),
  ],
};

/**
 * The product over `dims` (default: all), for float32 or int32; 1 of no elements.
 *
 * @example
 * prod(tensor([[1, 2], [3, 4]]), 1); // [2, 12]
 */
export function prod(x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor {
  requireArithmetic(x, "prod");
  const axes = normalizeDims(dims, x.rank, "prod");
  const reduced = axes.length === 0 ? x : reduceNode(prodOp, x, axes);
  return applyKeepdim("prod", reduced, axes, options);
}

/** For each element the product of all others along `axes`, without division, so that zeros are handled. */
function productOfOthers(x: Tensor, axes: readonly number[]): Tensor {
  const rest = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const order = [...rest, ...axes];
  const ordered = permute(x, order);
  const rows = flatten(ordered, rest.length);
  const others = mul(productsBefore(rows), flip(productsBefore(flip(rows, -1)), -1));
  const inverse = order.map((_, dim) => order.indexOf(dim));
  return permute(reshape(others, ordered.shape), inverse);
}

/** Exclusive running products along the last dimension, by doubling (Hillis and Steele 1986). */
function productsBefore(rows: Tensor): Tensor {
  const n = rows.shape[rows.rank - 1];
  let products = shiftRight(rows, 1);
  for (let offset = 1; offset < n; offset *= 2) products = mul(products, shiftRight(products, offset));
  return products;
}

/** Shifts along the last dimension, filling with ones. */
function shiftRight(rows: Tensor, by: number): Tensor {
  const last = rows.rank - 1;
  const n = rows.shape[last];
  const reduced = slice(rows, last, 0, Math.max(n - by, 0));
  const widths = rows.shape.map((_, i): [number, number] => (i === last ? [Math.min(by, n), 0] : [0, 0]));
  return pad(reduced, widths, 1);
}

function position(name: "argmax" | "argmin") {
  const op: ReductionOp = { kind: "reduce", name, reduction: name as ReduceOp };
  return (x: Tensor, dim?: number, options: ReduceOptions = {}): Tensor => {
    const source = dim === undefined ? reshape(requireTensor(name, x), [x.size]) : requireTensor(name, x);
    const axis = dim === undefined ? 0 : normalizeDim(dim, x.rank, name);
    if (source.shape[axis] === 0) {
      throw new ArgumentError(`dim ${axis} of ${formatShape(source.shape)} is empty`, { op: name });
    }
    const values = cast(source, isFloat(source.dtype) ? "float32" : "int32");
    const reduced = reduceNode(op, values, [axis], "int32");
    const result = applyKeepdim(name, reduced, [axis], options);
    if (dim !== undefined || !options.keepdim) return result;
    return reshape(
      result,
      x.shape.map(() => 1),
    );
  };
}

/**
 * int32 index of the first largest element along `dim`; without `dim`, its row-major index in x.
 *
 * @example
 * argmax(tensor([[1, 5], [4, 3]]), 1); // [1, 0]
 */
export const argmax = position("argmax");
/**
 * int32 index of the first smallest element along `dim`; without `dim`, its row-major index in x.
 *
 * @example
 * argmin(tensor([[1, 5], [4, 3]])); // 0
 */
export const argmin = position("argmin");

export interface AxesAttributes {
  readonly axes: readonly number[];
}

interface VarianceAttributes extends AxesAttributes {
  readonly correction: number;
}

/** x − mean. A mean far from 0 is rounded: the mean of the differences makes up for it. */
function deviationOf(x: Tensor, axes: readonly number[]): Tensor {
  const rough = sub(x, mean(x, axes, { keepdim: true }));
  return sub(rough, mean(rough, axes, { keepdim: true }));
}

const freedom = (x: Tensor, { axes, correction }: VarianceAttributes) =>
  Math.max(0, countOf(x, axes) - correction);

const varianceOver = composite<VarianceAttributes>({
  name: "variance",
  forward: ([x], attributes) => {
    const { axes } = attributes;
    return div(sumAxes(square(deviationOf(x, axes)), axes), freedom(x, attributes));
  },
  // The mean's own share vanishes: Σ(x − mean) = 0.
  gradient: ({ inputs: [x], gradient, attributes }) => [
    mul(deviationOf(x, attributes.axes), mul(gradient, 2 / freedom(x, attributes))),
  ],
});

/** √Σx² as m·√Σ(x/m)² with m the largest |x|, so that no square overflows or vanishes. */
function scaledNorm(x: Tensor, axes: readonly number[]): Tensor {
  const largest = max(abs(x), axes, { keepdim: true });
  const isOrdinary = logicalAnd(gt(largest, 0), lt(largest, Number.POSITIVE_INFINITY));
  const scale = where(isOrdinary, largest, 1);
  return mul(sqrt(sumAxes(square(div(x, scale)), axes)), scale);
}

/** x / norm, and 0 where the norm is 0, as in PyTorch: the gradient of a norm. */
const direction = (x: Tensor, norm: Tensor) => div(x, where(eq(norm, 0), 1, norm));

const stdOver = composite<VarianceAttributes>({
  name: "std",
  forward: ([x], attributes) => {
    const { axes } = attributes;
    return div(scaledNorm(deviationOf(x, axes), axes), Math.sqrt(freedom(x, attributes)));
  },
  gradient: ({ inputs: [x], output, gradient, attributes }) => [
    mul(direction(deviationOf(x, attributes.axes), output), div(gradient, freedom(x, attributes))),
  ],
});

const norm2Over = composite<AxesAttributes>({
  name: "norm2",
  forward: ([x], { axes }) => scaledNorm(x, axes),
  gradient: ({ inputs: [x], output, gradient }) => [mul(direction(x, output), gradient)],
});

/** Options of `variance` and `std`. */
export interface VarianceOptions extends ReduceOptions {
  /** Σ(x − mean)² is divided by n − correction. Default 1, the unbiased estimate. */
  readonly correction?: number;
}

const varianceOptions: Kinds<VarianceOptions> = { ...reduceOptions, correction: aNumber };

function spread(op: string, over: typeof varianceOver) {
  return (x: Tensor, dims?: Dims, options: VarianceOptions = {}): Tensor => {
    const value = asFloat(x, op);
    const axes = normalizeDims(dims, x.rank, op);
    const { correction = 1, keepdim } = checkOptions(op, options, varianceOptions);
    return applyKeepdim(op, over([value], { axes, correction }), axes, { keepdim });
  };
}

/**
 * The variance Σ(x − mean)²/(n − correction) over `dims` (default: all), float32; computed in two passes for accuracy.
 *
 * @example
 * variance(tensor([1, 2, 3, 4])); // 1.6667
 * variance(tensor([1, 2, 3, 4]), undefined, { correction: 0 }); // 1.25
 */
export const variance = spread("variance", varianceOver);

/**
 * The standard deviation, the square root of `variance`. Where it is 0 the gradient is 0.
 *
 * @example
 * std(tensor([1, 2, 3, 4])); // 1.291
 */
export const std = spread("std", stdOver);

/**
 * The Euclidean norm √Σx² over `dims` (default: all), float32. Where it is 0 the gradient is 0.
 *
 * @example
 * norm2(tensor([3, 4])); // 5
 */
export function norm2(x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor {
  const value = asFloat(x, "norm2");
  const axes = normalizeDims(dims, x.rank, "norm2");
  return applyKeepdim("norm2", norm2Over([value], { axes }), axes, options);
}

/**
 * Whether any element over `dims` (default: all) is non-zero, as bool. False of no elements.
 *
 * @example
 * any(tensor([[0, 1], [0, 0]]), 1); // [true, false]
 */
export function any(x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor {
  return gt(max(cast(cast(requireTensor("any", x), "bool"), "int32"), dims, options), 0);
}

/**
 * Whether all elements over `dims` (default: all) are non-zero, as bool. True of no elements.
 *
 * @example
 * all(tensor([[1, 1], [0, 1]]), 1); // [true, false]
 */
export function all(x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor {
  return ne(min(cast(cast(requireTensor("all", x), "bool"), "int32"), dims, options), 0);
}
