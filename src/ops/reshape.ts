/** Views with another shape or order of dimensions; the gradient of each is the inverse view. */
import { check, integers } from "../core/check.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { checkShape, formatShape, normalizeDim, type Shape, sameShape, sizeOf } from "../core/shape.js";
import { permuteView, reshapeView } from "../core/view.js";
import type { ViewOp } from "../graph/op.js";
import { requireTensor } from "../graph/require.js";
import { createNode, type Tensor } from "../graph/tensor.js";

const reshapeOp: ViewOp<{ readonly shape: Shape }> = {
  kind: "view",
  name: "reshape",
  apply: (input, { shape }) => reshapeView(input, shape),
  gradient: ({ inputs: [x], gradient }) => [reshape(gradient, x.shape)],
};

/**
 * The same elements in row-major order with another shape; one extent may be −1, which is inferred. Any dtype.
 *
 * @example
 * reshape(arange(4), [2, -1]); // [[0, 1], [2, 3]]
 *
 * @throws ShapeError if the sizes differ.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const target = inferExtent(x, shape);
  return sameShape(target, x.shape) ? x : createNode(reshapeOp, [x], { shape: target }, target, x.dtype);
}

function inferExtent(x: Tensor, shape: Shape): number[] {
  requireTensor("reshape", x);
  const target = [...check("reshape", "the shape", shape, integers)];
  const hole = target.indexOf(-1);
  if (hole >= 0) {
    target[hole] = 1;
    const known = sizeOf(target);
    target[hole] = known === 0 ? 0 : x.size / known;
    if (!Number.isInteger(target[hole])) throw cannotReshape(x, shape);
  }
  checkShape(target, "reshape");
  if (sizeOf(target) !== x.size) throw cannotReshape(x, shape);
  return target;
}

function cannotReshape(x: Tensor, shape: Shape): ShapeError {
  return new ShapeError(`${formatShape(x.shape)} cannot take the shape ${formatShape(shape)}`, {
    op: "reshape",
  });
}

const permuteOp: ViewOp<{ readonly dims: readonly number[] }> = {
  kind: "view",
  name: "permute",
  apply: (input, { dims }) => permuteView(input, dims),
  gradient: ({ gradient, attributes: { dims } }) => {
    const inverse = new Array<number>(dims.length);
    dims.forEach((dim, i) => {
      inverse[dim] = i;
    });
    return [permute(gradient, inverse)];
  },
};

/**
 * Reorders the dimensions: dimension i of the result is dimension `dims[i]` of x. `dims` names every dimension once. No copy.
 *
 * @example
 * permute(zeros([2, 3, 4]), [2, 0, 1]).shape; // [4, 2, 3]
 */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  const { rank } = requireTensor("permute", x);
  const order = check("permute", "dims", dims, integers).map((dim) => normalizeDim(dim, rank, "permute"));
  if (order.length !== x.rank || new Set(order).size !== x.rank) {
    throw new ArgumentError(
      `[${dims.join(", ")}] does not name each dimension of ${formatShape(x.shape)} once`,
      {
        op: "permute",
      },
    );
  }
  if (order.every((dim, i) => dim === i)) return x;
  const shape = order.map((dim) => x.shape[dim]);
  return createNode(permuteOp, [x], { dims: order }, shape, x.dtype);
}

/**
 * Exchanges two dimensions, without copying. Negative ones count from the end.
 *
 * @example
 * transpose(tensor([[1, 2], [3, 4]]), 0, 1); // [[1, 3], [2, 4]]
 */
export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  const a = normalizeDim(dim0, requireTensor("transpose", x).rank, "transpose");
  const b = normalizeDim(dim1, x.rank, "transpose");
  const dims = x.shape.map((_, i) => (i === a ? b : i === b ? a : i));
  return permute(x, dims);
}

/**
 * Joins the dimensions `startDim`..`endDim` (inclusive; default all) into one.
 *
 * @example
 * flatten(zeros([2, 3, 4]), 1).shape; // [2, 12]
 */
export function flatten(x: Tensor, startDim = 0, endDim = -1): Tensor {
  if (requireTensor("flatten", x).rank === 0) return reshape(x, [1]);
  const start = normalizeDim(startDim, x.rank, "flatten");
  const end = normalizeDim(endDim, x.rank, "flatten");
  if (start > end) {
    throw new ArgumentError(`startDim ${startDim} comes after endDim ${endDim}`, { op: "flatten" });
  }
  const joined = sizeOf(x.shape.slice(start, end + 1));
  return reshape(x, [...x.shape.slice(0, start), joined, ...x.shape.slice(end + 1)]);
}

/**
 * Removes dimension `dim` if its extent is 1; without `dim`, every dimension of extent 1.
 *
 * @example
 * squeeze(zeros([1, 3, 1])).shape; // [3]
 */
export function squeeze(x: Tensor, dim?: number): Tensor {
  requireTensor("squeeze", x);
  if (dim === undefined) {
    return reshape(
      x,
      x.shape.filter((extent) => extent !== 1),
    );
  }
  const d = normalizeDim(dim, x.rank, "squeeze");
  return x.shape[d] === 1 ? reshape(x, x.shape.toSpliced(d, 1)) : x;
}

/**
 * Inserts a dimension of extent 1 at position `dim` of the result; −1 appends one.
 *
 * @example
 * unsqueeze(tensor([1, 2]), -1); // [[1], [2]]
 */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  const d = normalizeDim(dim, requireTensor("unsqueeze", x).rank + 1, "unsqueeze");
  return reshape(x, x.shape.toSpliced(d, 0, 1));
}
