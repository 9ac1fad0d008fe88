/** Joining tensors along a dimension. */
import type { DType } from "../tensor/dtype.js";
import { ArgumentError, DTypeError, ShapeError } from "../tensor/errors.js";
import type { KernelOp } from "../tensor/op.js";
import { checkShape, formatShape, normalizeDim, sizeOf } from "../tensor/shape.js";
import { createNode, type Tensor } from "../tensor/tensor.js";
import { isDense, memoryOrder, sliceView } from "../tensor/view.js";
import { unsqueeze } from "./reshape.js";
import { copyCall, narrow } from "./slice.js";

interface ConcatAttributes {
  readonly dim: number;
  /** Extent of each input along `dim`. */
  readonly extents: readonly number[];
}

const concatOp: KernelOp<ConcatAttributes> = {
  kind: "kernel",
  name: "concat",
  lower: (context) => {
    const { dim, extents } = context.attributes;
    const sources = extents.map((_, i) => context.input(i));
    // The memory order of the first input, so that a channels-last feature map stays one.
    const output = context.output(isDense(sources[0].view) ? memoryOrder(sources[0].view) : undefined);
    let start = 0;
    sources.forEach((source, i) => {
      const offset = start;
      const ranges = source.view.shape.map((length, d) => ({
        start: d === dim ? offset : 0,
        length,
        step: 1,
      }));
      if (sizeOf(source.view.shape) > 0) {
        context.emit(copyCall(source, { ...output, view: sliceView(output.view, ranges) }));
      }
      start += extents[i];
    });
  },
  gradient: ({ gradient, attributes: { dim, extents }, needs }) => {
    let start = 0;
    return extents.map((extent, i) => {
      const part = needs(i) ? narrow(gradient, dim, start, extent) : undefined;
      start += extent;
      return part;
    });
  },
};

/**
 * Joins tensors along `dim`; the other extents and the dtypes are equal.
 * @throws ShapeError naming both shapes, DTypeError.
 */
export function concat(tensors: readonly Tensor[], dim = 0): Tensor {
  const [first] = tensors;
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
  const extents = tensors.map((x) => x.shape[d]);
  const shape = first.shape.with(
    d,
    extents.reduce((sum, extent) => sum + extent, 0),
  );
  checkShape(shape, "concat");
  return createNode(concatOp, tensors, { dim: d, extents }, shape, first.dtype);
}

function requireSameDType(a: DType, b: DType): void {
  if (a !== b) {
    throw new DTypeError(`dtypes differ, ${a} and ${b}`, {
      op: "concat",
      hint: "convert with cast(x, dtype)",
    });
  }
}

/** Joins tensors of one shape along a new dimension `dim`. */
export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
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
