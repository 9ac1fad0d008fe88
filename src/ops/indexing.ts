/** Picking and accumulating by index: gather and scatterAdd, each the other's gradient. */

import { describe } from "../core/check.js";
import { isHalf } from "../core/dtype.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { formatShape, normalizeDim, type Shape, sameShape } from "../core/shape.js";
import type { IndexAttributes, KernelOp, Lowering } from "../graph/op.js";
import { requireTensor } from "../graph/require.js";
import { inComposite } from "../graph/scope.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import type { IndexReport, Operand } from "../kernels/kernel.js";
import { expand } from "./broadcast.js";
import { eq } from "./comparison.js";
import { asIndex, cast, requireArithmetic } from "./promotion.js";
import { flatten, reshape, unsqueeze } from "./reshape.js";
import { copyCall } from "./slice.js";
import { constant, iota } from "./source.js";

/** A view of `operand` for the kernels: over the positions of `shape`, with stride 0 along the indexed dimension `dim`. */
function alongIndex(operand: Operand, shape: Shape, dim: number) {
  const { view } = operand;
  const strides = view.strides.with(dim, 0);
  return {
    operand: { ...operand, view: { shape, strides, offset: view.offset } },
    axisStride: view.strides[dim],
    axisSize: view.shape[dim],
  };
}

/** Inputs: source, index. */
const gatherOp: KernelOp<IndexAttributes> = {
  kind: "kernel",
  name: "gather",
  checksIndex: true,
  lower: (context: Lowering<IndexAttributes>) => {
    const index = context.input(1);
    const { shape } = index.view;
    const { dim, ...more } = context.attributes;
    const { operand: source, ...axis } = alongIndex(context.input(0), shape, dim);
    context.emit({ kernel: "gather", shape, source, index, output: context.output(), ...axis, ...more });
  },
  gradient: ({ inputs: [source, index], gradient, attributes }) => [
    scatter(constant(0, source.shape, source.dtype, source.device), index, gradient, attributes),
    undefined,
  ],
};

/** Inputs: initial value, index, source. */
const scatterAddOp: KernelOp<IndexAttributes> = {
  kind: "kernel",
  name: "scatterAdd",
  checksIndex: true,
  lower: (context: Lowering<IndexAttributes>) => {
    const [initial, index, source] = [context.input(0), context.input(1), context.input(2)];
    const whole = context.output();
    context.emit(copyCall(initial, whole));
    const { shape } = index.view;
    const { dim, ...more } = context.attributes;
    const { operand: output, ...axis } = alongIndex(whole, shape, dim);
    context.emit({ kernel: "scatterAdd", shape, source, index, output, ...axis, ...more });
  },
  gradient: ({ inputs: [, index], gradient, attributes, needs }) => [
    gradient,
    undefined,
    needs(2) ? pick(gradient, index, attributes) : undefined,
  ],
};

/** gather with checked arguments: an int32 index whose shape fits x. */
export function pick(x: Tensor, index: Tensor, attributes: IndexAttributes): Tensor {
  return createNode(gatherOp, [x, index], attributes, index.shape, x.dtype);
}

function scatter(x: Tensor, index: Tensor, source: Tensor, attributes: IndexAttributes): Tensor {
  return createNode(scatterAddOp, [x, index, source], attributes, x.shape, x.dtype);
}

function reportAlong(op: string, dim: number): IndexReport {
  return { op, item: "index", unit: `elements along dim ${dim}` };
}

/** The index may be shorter than the source along the other dimensions, as in PyTorch. */
function checkIndex(op: string, x: Tensor, dim: number, index: Tensor): void {
  requireTensor(op, index, "the index");
  const fits = index.rank === x.rank && index.shape.every((extent, i) => i === dim || extent <= x.shape[i]);
  if (!fits) {
    throw new ShapeError(
      `an index of shape ${formatShape(index.shape)} does not fit ${formatShape(x.shape)} along dim ${dim}`,
      { op, hint: "ranks are equal and the index is no longer than the source outside the dim" },
    );
  }
}

/**
 * Picks elements along `dim`: result[i][j]… = x[i][index[i][j]…]…, where `index` replaces the position along `dim`; the result has
 * the shape of `index`. x of any dtype, `index` int32, uint8 or int8.
 *
 * @example
 * gather(tensor([[1, 2], [3, 4]]), 1, tensor([[1], [0]], { dtype: "int32" })); // [[2], [3]]
 *
 * @throws ShapeError, DTypeError at once; IndexError from the next read for an index outside the dimension.
 */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  const d = normalizeDim(dim, requireTensor("gather", x).rank, "gather");
  checkIndex("gather", x, d, index);
  return pick(x, asIndex(index, "gather"), { dim: d, report: reportAlong("gather", d) });
}

/**
 * A copy of x with result[i][index[i][j]…]… += source[i][j]…, where `index` replaces the position along `dim`.
 * `source` has the shape of `index`. Repeated indices accumulate.
 *
 * @example
 * scatterAdd(zeros([3]), 0, tensor([0, 2, 2], { dtype: "int32" }), tensor([1, 2, 3])); // [1, 0, 5]
 *
 * @throws DTypeError unless x is float32 or int32; ShapeError; IndexError as `gather`.
 */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  requireArithmetic(x, "scatterAdd");
  const d = normalizeDim(dim, x.rank, "scatterAdd");
  checkIndex("scatterAdd", x, d, index);
  if (!sameShape(index.shape, requireTensor("scatterAdd", source, "the source").shape)) {
    throw new ShapeError(
      `index and source differ in shape, ${formatShape(index.shape)} and ${formatShape(source.shape)}`,
      { op: "scatterAdd" },
    );
  }
  const attributes = { dim: d, report: reportAlong("scatterAdd", d) };
  return scatter(x, asIndex(index, "scatterAdd"), cast(source, x.dtype), attributes);
}

/**
 * The slices of x along `dim` at the positions in the 1-D `index`; any dtype.
 *
 * @example
 * indexSelect(tensor([[1, 2], [3, 4]]), 0, tensor([1, 1], { dtype: "int32" })); // [[3, 4], [3, 4]]
 *
 * @throws ShapeError, DTypeError at once; IndexError as `gather`.
 */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  const d = normalizeDim(dim, requireTensor("indexSelect", x).rank, "indexSelect");
  if (requireTensor("indexSelect", index, "the index").rank !== 1) {
    throw new ShapeError(`the index has one dimension, got ${formatShape(index.shape)}`, {
      op: "indexSelect",
    });
  }
  return pickSlices(x, asIndex(index, "indexSelect"), { dim: d, report: reportAlong("indexSelect", d) });
}

function pickSlices(x: Tensor, index: Tensor, attributes: IndexAttributes): Tensor {
  const { dim } = attributes;
  const aligned = reshape(
    index,
    x.shape.map((_, i) => (i === dim ? index.size : 1)),
  );
  return pick(x, expand(aligned, x.shape.with(dim, index.size)), attributes);
}

const rowReport: IndexReport = { op: "embedding", item: "index", unit: "rows" };

/**
 * Rows of `weight` [count, width] at `index` [...] → [..., width]. The gradient accumulates in the rows. Rows
 * of float16 and bfloat16 are widened to float32, and have no gradient.
 *
 * @example
 * embedding(tensor([[1, 2], [3, 4]]), tensor([1, 0], { dtype: "int32" })); // [[3, 4], [1, 2]]
 *
 * @throws DTypeError at once; IndexError as `gather` for an index outside 0..count−1.
 */
export function embedding(weight: Tensor, index: Tensor): Tensor {
  if (requireTensor("embedding", weight, "the weight").rank !== 2) {
    throw new ShapeError(`the weight is [count, width], got ${formatShape(weight.shape)}`, {
      op: "embedding",
    });
  }
  return inComposite("embedding", () => {
    const rows = pickRows(weight, asIndex(index, "embedding"), rowReport);
    return isHalf(rows.dtype) ? cast(rows, "float32") : rows;
  });
}

/** embedding with a checked int32 index. */
export function pickRows(weight: Tensor, index: Tensor, report: IndexReport, ignored?: number): Tensor {
  const rows = pickSlices(weight, flatten(index), { dim: 0, ignored, report });
  return reshape(rows, [...index.shape, weight.shape[1]]);
}

/**
 * int32 [..., classes]: 1 at the position given by `index` [...], else 0.
 *
 * @example
 * oneHot(tensor([2, 0], { dtype: "int32" }), 3); // [[0, 0, 1], [1, 0, 0]]
 *
 * @throws DTypeError at once; IndexError as `gather` for an index outside 0..classes−1.
 */
export function oneHot(index: Tensor, classes: number): Tensor {
  if (!Number.isInteger(classes) || classes < 1) {
    throw new ArgumentError(`the number of classes is a positive integer, got ${describe(classes)}`, {
      op: "oneHot",
    });
  }
  const shape = [...requireTensor("oneHot", index).shape, classes];
  // Picks each index out of 0..classes-1: itself, and checked on the way.
  const labels = unsqueeze(iota(0, [classes], index.device), 1);
  const report = { op: "oneHot", item: "label", unit: "classes" };
  const checked = pickRows(labels, asIndex(index, "oneHot"), report);
  return cast(eq(iota(index.rank, shape, index.device), expand(checked, shape)), "int32");
}
