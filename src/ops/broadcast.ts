/** Expanding along a dimension and summing over it: each is the other's gradient. */
import { check, integers } from "../core/check.js";
import { ShapeError } from "../core/errors.js";
import { formatShape, type Shape, sameShape } from "../core/shape.js";
import { expandView } from "../core/view.js";
import type { ReductionOp, ViewOp } from "../graph/op.js";
import { requireTensor } from "../graph/require.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import { reshape } from "./reshape.js";

const expandOp: ViewOp<{ readonly shape: Shape }> = {
  kind: "view",
  name: "expand",
  apply: (input, { shape }) => expandView(input, shape),
  gradient: ({ inputs: [x], gradient }) => [sumTo(gradient, x.shape)],
};

/**
 * Repeats x along new leading dimensions and along dimensions of extent 1, without copying; any dtype. −1 keeps the extent of x.
 * The gradient is summed over the repetitions.
 *
 * @example
 * expand(tensor([[1], [2]]), [2, 3]); // [[1, 1, 1], [2, 2, 2]]
 *
 * @throws ShapeError if x does not broadcast to `shape`.
 */
export function expand(x: Tensor, shape: Shape): Tensor {
  const lead = check("expand", "the shape", shape, integers).length - requireTensor("expand", x).rank;
  const target = shape.map((extent, i) => (extent === -1 && i >= lead ? x.shape[i - lead] : extent));
  if (sameShape(x.shape, target)) return x;
  const fits =
    lead >= 0 &&
    target.every((extent) => extent >= 0) &&
    x.shape.every((extent, i) => extent === 1 || extent === target[i + lead]);
  if (!fits) {
    throw new ShapeError(`${formatShape(x.shape)} does not expand to ${formatShape(shape)}`, {
      op: "expand",
    });
  }
  return createNode(expandOp, [x], { shape: target }, target, x.dtype);
}

const sumOp: ReductionOp = {
  kind: "reduce",
  name: "sum",
  reduction: "sum",
  gradient: ({ inputs: [x], gradient }) => [expand(gradient, x.shape)],
};

/** Sums over `axes`, which stay as extents of 1. */
export function sumAxes(x: Tensor, axes: readonly number[]): Tensor {
  if (axes.length === 0) return x;
  const shape = x.shape.map((extent, i) => (axes.includes(i) ? 1 : extent));
  return createNode(sumOp, [x], { axes }, shape, x.dtype);
}

/** Sums x over the dimensions along which `shape` was expanded to x.shape; the adjoint of `expand`. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  const lead = x.rank - shape.length;
  const axes: number[] = [];
  x.shape.forEach((extent, i) => {
    if (i < lead || (shape[i - lead] === 1 && extent !== 1)) axes.push(i);
  });
  return reshape(sumAxes(x, axes), shape);
}
