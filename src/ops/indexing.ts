/** Picking and accumulating by index: gather and scatterAdd, each the other's gradient. */
import type { Operand } from "../device/kernel.js";
import { describe } from "../tensor/check.js";
import { ArgumentError, ShapeError } from "../tensor/errors.js";
import type { KernelOp, Lowering } from "../tensor/op.js";
import { requireTensor } from "../tensor/require.js";
import { formatShape, normalizeDim, type Shape, sameShape } from "../tensor/shape.js";
import { createNode, type Tensor } from "../tensor/tensor.js";
import { expand } from "./broadcast.js";
import { eq } from "./elementwise.js";
import { asIndex, cast, requireArithmetic } from "./promotion.js";
import { flatten, reshape, unsqueeze } from "./reshape.js";
import { copyCall } from "./slice.js";
import { constant, iota } from "./source.js";

interface IndexAttributes {
  readonly dim: number;
}

/** `operand` as the kernels want it: positions of `shape`, its own dimension `dim` walked by the index. */
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
    const { operand: source, ...axis } = alongIndex(context.input(0), shape, context.attributes.dim);
    context.emit({ kernel: "gather", shape, source, index, output: context.output(), ...axis });
  },
  gradient: ({ inputs: [source, index], gradient, attributes: { dim } }) => [
    scatterAdd(constant(0, source.shape, source.dtype, source.device), dim, index, gradient),
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
    const { operand: output, ...axis } = alongIndex(whole, shape, context.attributes.dim);
    context.emit({ kernel: "scatterAdd", shape, source, index, output, ...axis });
  },
  gradient: ({ inputs: [, index], gradient, attributes: { dim }, needs }) => [
    gradient,
    undefined,
    needs(2) ? gather(gradient, dim, index) : undefined,
  ],
};

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
 * result[i][j]… = x[i][index[i][j]…]… where `index` replaces the position along `dim`; the result has the shape
 * of `index`. An index outside the dimension makes the next read throw IndexError.
 * @throws ShapeError, DTypeError at once.
 */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  const d = normalizeDim(dim, requireTensor("gather", x).rank, "gather");
  checkIndex("gather", x, d, index);
  return createNode(gatherOp, [x, asIndex(index, "gather")], { dim: d }, index.shape, x.dtype);
}

/**
 * A copy of x with result[i][index[i][j]…]… += source[i][j]…, where `index` replaces the position along `dim`.
 * `source` has the shape of `index`. Repeated indices add up.
 * @throws DTypeError unless x is float32 or int32.
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
  const inputs = [x, asIndex(index, "scatterAdd"), cast(source, x.dtype)];
  return createNode(scatterAddOp, inputs, { dim: d }, x.shape, x.dtype);
}

/** The slices of x along `dim` that the 1-D `index` names. */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  const d = normalizeDim(dim, requireTensor("indexSelect", x).rank, "indexSelect");
  if (requireTensor("indexSelect", index, "the index").rank !== 1) {
    throw new ShapeError(`the index has one dimension, got ${formatShape(index.shape)}`, {
      op: "indexSelect",
    });
  }
  const aligned = reshape(
    asIndex(index, "indexSelect"),
    x.shape.map((_, i) => (i === d ? index.size : 1)),
  );
  return gather(x, d, expand(aligned, x.shape.with(d, index.size)));
}

/** Rows of `weight` [count, width] by `index` [...]: → [..., width]. */
export function embedding(weight: Tensor, index: Tensor): Tensor {
  if (requireTensor("embedding", weight, "the weight").rank !== 2) {
    throw new ShapeError(`the weight is [count, width], got ${formatShape(weight.shape)}`, {
      op: "embedding",
    });
  }
  const rows = indexSelect(weight, 0, flatten(asIndex(index, "embedding")));
  return reshape(rows, [...index.shape, weight.shape[1]]);
}

/** int32 [..., classes]: 1 at the position that `index` [...] names, else 0. */
export function oneHot(index: Tensor, classes: number): Tensor {
  if (!Number.isInteger(classes) || classes < 1) {
    throw new ArgumentError(`the number of classes is a positive integer, got ${describe(classes)}`, {
      op: "oneHot",
    });
  }
  const shape = [...requireTensor("oneHot", index).shape, classes];
  const named = expand(unsqueeze(asIndex(index, "oneHot"), -1), shape);
  return cast(eq(iota(index.rank, shape, index.device), named), "int32");
}
