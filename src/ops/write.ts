/** Slices written into a tensor at positions that are values. */
import { anInteger, check, either } from "../core/check.js";
import { ShapeError } from "../core/errors.js";
import { formatShape, normalizeDim, sameShape } from "../core/shape.js";
import type { KernelOp } from "../graph/op.js";
import { aTensor, requireTensor } from "../graph/require.js";
import { createNode, Tensor } from "../graph/tensor.js";
import { expand } from "./broadcast.js";
import { add } from "./elementwise.js";
import { pick } from "./indexing.js";
import { asIndex, cast } from "./promotion.js";
import { reshape } from "./reshape.js";
import { copyCall } from "./slice.js";
import { constant, iota } from "./source.js";

const tensorOrInteger = either(aTensor, anInteger);

interface WriteAttributes {
  readonly dim: number;
}

/** Inputs: x, source, and int32 positions of source's shape that do not vary along `dim`; the slices lie within x. */
const writeOp: KernelOp<WriteAttributes> = {
  kind: "kernel",
  name: "write",
  writesInput: true,
  lower: (context) => {
    const { dim } = context.attributes;
    const [x, source, position] = [context.input(0), context.input(1), context.input(2)];
    const whole = context.output();
    if (whole.slot !== x.slot) context.emit(copyCall(x, whole));
    const { shape } = source.view;
    context.emit({
      kernel: "write",
      source,
      position,
      output: { ...whole, view: { ...whole.view, shape } },
      axisStride: whole.view.strides[dim],
      positionCount: whole.view.shape[dim] - shape[dim] + 1,
    });
  },
  gradient: ({ inputs: [, source, position], gradient, attributes, needs }) => [
    needs(0)
      ? write(gradient, constant(0, source.shape, "float32", source.device), position, attributes)
      : undefined,
    needs(1) ? read(gradient, position, attributes) : undefined,
    undefined,
  ],
};

function write(x: Tensor, source: Tensor, position: Tensor, attributes: WriteAttributes): Tensor {
  return createNode(writeOp, [x, source, position], attributes, x.shape, x.dtype);
}

function read(x: Tensor, position: Tensor, { dim }: WriteAttributes): Tensor {
  const index = add(position, iota(dim, position.shape, position.device));
  return pick(x, index, {
    dim,
    report: { op: "sliceScatter", item: "index", unit: `elements along dim ${dim}` },
  });
}

/**
 * x with its slices start, start + 1, … along `dim` replaced by `source`: result.narrow(dim, start, n) = source, for
 * n = source.shape[dim] (torch.slice_scatter). The other extents of source are those of x; it is cast to x's dtype.
 *
 * `start` is a number, which is a constant of the Program, or an int32 tensor, which is a value: [] for one start, [N] for one per
 * entry of dimension 0.
 *
 * The result is a copy of x. Assigned to x itself, `x.assign(sliceScatter(x, …))`, it writes only the slices, in place, unless the
 * same Program still needs the old value.
 *
 * @example
 * const cache = zeros([4]).realize();
 * cache.assign(sliceScatter(cache, tensor([7, 8]), 0, 1));
 * cache; // [0, 7, 8, 0]
 *
 * @throws ShapeError, DTypeError at once; IndexError from the next read for a start below 0 or above x.shape[dim] − n.
 */
export function sliceScatter(x: Tensor, source: Tensor, dim: number, start: Tensor | number): Tensor {
  const op = "sliceScatter";
  const d = normalizeDim(dim, requireTensor(op, x).rank, op);
  requireTensor(op, source, "the source");
  const n = source.shape[d];
  if (!(n <= x.shape[d]) || !sameShape(source.shape, x.shape.with(d, n))) {
    throw new ShapeError(
      `slices of shape ${formatShape(source.shape)} do not fit ${formatShape(x.shape)} along dim ${d}`,
      { op },
    );
  }
  check(op, "the start", start, tensorOrInteger);
  const first = start instanceof Tensor ? asIndex(start, op) : constant(start, [], "int32", x.device);
  if (first.rank > 1 || (first.rank === 1 && (first.size !== x.shape[0] || d === 0))) {
    throw new ShapeError(`starts ${formatShape(first.shape)} do not fit ${formatShape(x.shape)}`, {
      op,
      hint: "they are [] or, for another dim than 0, [x.shape[0]]",
    });
  }
  // The check is a gather from zeros, whose result is added to the start.
  const places = x.shape[d] - n + 1;
  const starts = reshape(first, [first.size]);
  const report = { op, item: "start", unit: `places for ${n} along dim ${d}` };
  const checked = add(starts, pick(constant(0, [places], "int32", x.device), starts, { dim: 0, report }));
  const position = expand(reshape(checked, [first.size, ...x.shape.slice(1).map(() => 1)]), source.shape);
  return write(x, cast(source, x.dtype), position, { dim: d });
}
