/** Joining tensors along a dimension. */

import { check } from "../core/check.js";
import type { DType } from "../core/dtype.js";
import { ArgumentError, DTypeError, ShapeError } from "../core/errors.js";
import { checkShape, formatShape, normalizeDim } from "../core/shape.js";
import { tensors as tensorList } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { unsqueeze } from "./reshape.js";
import { place } from "./slice.js";

/**
 * Joins tensors along the existing dimension `dim` (default 0; negative counts from the end). The other extents and the dtypes are
 * equal.
 *
 * @example
 * concat([tensor([[1, 2]]), tensor([[3, 4]])]); // [[1, 2], [3, 4]]
 * concat([tensor([[1, 2]]), tensor([[3, 4]])], 1); // [[1, 2, 3, 4]]
 *
 * @throws ShapeError that names both shapes, DTypeError.
 */
export function concat(tensors: readonly Tensor[], dim = 0): Tensor {
  const [first] = check("concat", "the first argument", tensors, tensorList);
  if (first === undefined) throw new ArgumentError("there are no tensors to join", { op: "concat" });
  const d = normalizeDim(dim, first.rank, "concat");
  for (const x of tensors) {
    if (x.rank !== first.rank || x.shape.some((extent, i) => i !== d && extent !== first.shape[i])) {
      throw new ShapeError(
        `shapes differ outside dim ${d}, ${formatShape(first.shape)} and ${formatShape(x.shape)}`,
        { op: "concat" },
      );
    }
    requireSameDType(first.dtype, x.dtype);
  }
  if (tensors.length === 1) return first;
  let end = 0;
  const places = tensors.map((x) => {
    const start = end;
    end += x.shape[d];
    return x.shape.map((length, i) => ({ start: i === d ? start : 0, length, step: 1 }));
  });
  const shape = first.shape.with(d, end);
  checkShape(shape, "concat");
  return place(tensors, places, shape, 0);
}

function requireSameDType(a: DType, b: DType): void {
  if (a !== b) {
    throw new DTypeError(`dtypes differ, ${a} and ${b}`, {
      op: "concat",
      hint: "convert with cast(x, dtype)",
    });
  }
}

/**
 * Joins tensors of one shape and dtype along a new dimension `dim` (default 0).
 *
 * @example
 * stack([tensor([1, 2]), tensor([3, 4])]); // [[1, 2], [3, 4]]
 *
 * @throws ShapeError that names both shapes, DTypeError.
 */
export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
  check("stack", "the first argument", tensors, tensorList);
  for (const x of tensors) {
    if (formatShape(x.shape) !== formatShape(tensors[0].shape)) {
      throw new ShapeError(`shapes differ, ${formatShape(tensors[0].shape)} and ${formatShape(x.shape)}`, {
        op: "stack",
      });
    }
  }
  if (tensors.length === 0) throw new ArgumentError("there are no tensors to join", { op: "stack" });
  const d = normalizeDim(dim, tensors[0].rank + 1, "stack");
  return concat(
    tensors.map((x) => unsqueeze(x, d)),
    d,
  );
}
