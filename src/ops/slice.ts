/** Taking parts of a tensor, and placing a tensor inside a larger one: each is the other's gradient. */

import { aNumber, check, integers, type Kind, wrong } from "../core/check.js";
import { elementOf } from "../core/element.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { checkShape, formatShape, normalizeDim, normalizeDims, type Shape, sizeOf } from "../core/shape.js";
import { isDense, memoryOrder, type SliceRange, sliceView } from "../core/view.js";
import type { KernelOp, ViewOp } from "../graph/op.js";
import { requireTensor } from "../graph/require.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import type { MapCall, Operand } from "../kernels/kernel.js";

const sliceOp: ViewOp<{ readonly ranges: readonly SliceRange[] }> = {
  kind: "view",
  name: "slice",
  apply: (input, { ranges }) => sliceView(input, ranges),
  gradient: ({ inputs: [x], gradient, attributes: { ranges } }) => [place([gradient], [ranges], x.shape, 0)],
};

function take(x: Tensor, ranges: readonly SliceRange[]): Tensor {
  const whole = ranges.every(
    ({ start, length, step }, i) => start === 0 && step === 1 && length === x.shape[i],
  );
  if (whole) return x;
  const shape = ranges.map(({ length }) => length);
  return createNode(sliceOp, [x], { ranges }, shape, x.dtype);
}

function takeAlong(x: Tensor, dim: number, range: SliceRange): Tensor {
  return take(
    x,
    x.shape.map((extent, i) => (i === dim ? range : { start: 0, length: extent, step: 1 })),
  );
}

interface PlaceAttributes {
  /** The range of each input in the output; the ranges are disjoint. */
  readonly places: readonly (readonly SliceRange[])[];
  /** Value of the elements outside all ranges. */
  readonly value: number;
}

const placeOp: KernelOp<PlaceAttributes> = {
  kind: "kernel",
  name: "place",
  lower: (context) => {
    const { places, value } = context.attributes;
    const sources = places.map((_, i) => context.input(i));
    // The memory order of the first input, so that a channels-last feature map stays one.
    const first = sources[0].view;
    const output = context.output(isDense(first) ? memoryOrder(first) : undefined);
    const covered = sources.reduce((sum, { view }) => sum + sizeOf(view.shape), 0);
    if (covered < sizeOf(output.view.shape)) context.emit(fillCall(output, value));
    sources.forEach((source, i) => {
      if (sizeOf(source.view.shape) === 0) return;
      context.emit(copyCall(source, { ...output, view: sliceView(output.view, places[i]) }));
    });
  },
  gradient: ({ gradient, attributes: { places }, needs }) =>
    places.map((ranges, i) => (needs(i) ? take(gradient, ranges) : undefined)),
};

/** A tensor of `shape` that holds each part at its place (disjoint from the others') and `value` elsewhere. */
export function place(
  parts: readonly Tensor[],
  places: readonly (readonly SliceRange[])[],
  shape: Shape,
  value: number,
): Tensor {
  return createNode(placeOp, parts, { places, value }, shape, parts[0].dtype);
}

/**
 * a + b as one placement, if both are parts placed among zeros that do not overlap: what the gradients of the
 * parts of one tensor are. Saves filling and adding whole tensors.
 */
export function sumOfPlaced(a: Tensor, b: Tensor): Tensor | undefined {
  const [first, second] = [placement(a), placement(b)];
  if (first === undefined || second === undefined) return undefined;
  const apart = first.places.every((p) => second.places.every((q) => disjoint(p, q)));
  if (!apart) return undefined;
  const parts = [...a.node!.inputs, ...b.node!.inputs];
  return place(parts, [...first.places, ...second.places], a.shape, 0);
}

/** The placement of a lazy tensor among zeros. */
function placement({ node, storage }: Tensor): PlaceAttributes | undefined {
  if (storage !== undefined || node?.op !== placeOp) return undefined;
  const attributes = node.attributes as PlaceAttributes;
  return attributes.value === 0 ? attributes : undefined;
}

function disjoint(a: readonly SliceRange[], b: readonly SliceRange[]): boolean {
  return a.some((range, i) => {
    const [low, high] = bounds(range);
    const [otherLow, otherHigh] = bounds(b[i]);
    return high < otherLow || otherHigh < low;
  });
}

/** The smallest and the largest index taken. */
function bounds({ start, length, step }: SliceRange): [number, number] {
  const last = start + (length - 1) * step;
  return [Math.min(start, last), Math.max(start, last)];
}

function fillCall(output: Operand, value: number): MapCall {
  return {
    kernel: "map",
    shape: output.view.shape,
    inputs: [],
    outputs: [output],
    expression: { instructions: [{ op: "constant", dtype: output.dtype, args: [], value }], results: [0] },
  };
}

/** Writes `source` into `output`, element by element; the views have one shape. */
export function copyCall(source: Operand, output: Operand): MapCall {
  return {
    kernel: "map",
    shape: output.view.shape,
    inputs: [source],
    outputs: [output],
    expression: { instructions: [{ op: "load", dtype: source.dtype, args: [], index: 0 }], results: [0] },
  };
}

/**
 * Elements start, start + step, … before `stop` along `dim`, as Python's x[start:stop:step]: negative bounds count from the end,
 * bounds are clamped to the dimension, a negative step reverses the order. Any dtype.
 *
 * @example
 * slice(arange(5), 0, 1, -1); // [1, 2, 3]
 * slice(arange(5), 0, undefined, undefined, -2); // [4, 2, 0]
 *
 * @throws ArgumentError for a step of 0 or a dimension that x lacks.
 */
export function slice(x: Tensor, dim: number, start?: number, stop?: number, step = 1): Tensor {
  const d = normalizeDim(dim, requireTensor("slice", x).rank, "slice");
  if (!Number.isInteger(step) || step === 0) {
    throw new ArgumentError(`the step is a non-zero integer, got ${step}`, { op: "slice" });
  }
  const extent = x.shape[d];
  // With a negative step, positions are in extent-1 … -1, where -1 is before the first element.
  const low = step > 0 ? 0 : -1;
  const high = step > 0 ? extent : extent - 1;
  const bound = (value: number | undefined, missing: number) => {
    if (value === undefined) return missing;
    if (!Number.isInteger(value)) {
      throw new ArgumentError(`bounds are integers, got ${value}`, { op: "slice" });
    }
    return Math.min(Math.max(value < 0 ? value + extent : value, low), high);
  };
  const first = bound(start, step > 0 ? low : high);
  const end = bound(stop, step > 0 ? high : low);
  const length = Math.max(0, Math.ceil((end - first) / step));
  return takeAlong(x, d, { start: length === 0 ? 0 : first, length, step });
}

/**
 * `length` elements from `start` along `dim`. Any dtype.
 *
 * @example
 * narrow(arange(5), 0, 1, 2); // [1, 2]
 *
 * @throws ArgumentError if they exceed the dimension.
 */
export function narrow(x: Tensor, dim: number, start: number, length: number): Tensor {
  const d = normalizeDim(dim, requireTensor("narrow", x).rank, "narrow");
  const first = start < 0 ? start + x.shape[d] : start;
  const integers = Number.isInteger(first) && Number.isInteger(length);
  if (!integers || first < 0 || length < 0 || first + length > x.shape[d]) {
    throw new ArgumentError(
      `${length} elements from ${start} do not lie inside dim ${d} of ${formatShape(x.shape)}`,
      {
        op: "narrow",
      },
    );
  }
  return takeAlong(x, d, { start: first, length, step: 1 });
}

/**
 * Reverses the order along the given dimensions (default: all). Any dtype.
 *
 * @example
 * flip(tensor([[1, 2], [3, 4]]), 1); // [[2, 1], [4, 3]]
 */
export function flip(x: Tensor, dims?: number | readonly number[]): Tensor {
  const axes = normalizeDims(dims, requireTensor("flip", x).rank, "flip");
  return take(
    x,
    x.shape.map((extent, i) =>
      axes.includes(i) && extent > 1
        ? { start: extent - 1, length: extent, step: -1 }
        : { start: 0, length: extent, step: 1 },
    ),
  );
}

/**
 * Surrounds x with `value` (default 0): `widths[d]` is [before, after] for dimension d, each at least 0; use `slice` to crop.
 *
 * @example
 * pad(tensor([1, 2]), [[1, 2]]); // [0, 1, 2, 0, 0]
 *
 * @throws ArgumentError for negative widths and for a value outside the range of x's dtype.
 */
export function pad(x: Tensor, widths: readonly (readonly [number, number])[], value = 0): Tensor {
  requireTensor("pad", x);
  check("pad", "widths", widths, pairs);
  if (typeof value !== "number") throw wrong("pad", "the value", value, aNumber);
  if (widths.length !== x.rank) {
    throw new ShapeError(`${widths.length} pairs of widths given for ${formatShape(x.shape)}`, { op: "pad" });
  }
  for (const [before, after] of widths) {
    if (!Number.isInteger(before) || !Number.isInteger(after) || before < 0 || after < 0) {
      throw new ArgumentError(`widths are non-negative integers, got [${before}, ${after}]`, { op: "pad" });
    }
  }
  if (widths.every(([before, after]) => before + after === 0)) return x;
  const shape = x.shape.map((extent, i) => widths[i][0] + extent + widths[i][1]);
  checkShape(shape, "pad");
  const ranges = x.shape.map((extent, i) => ({ start: widths[i][0], length: extent, step: 1 }));
  return place([x], [ranges], shape, elementOf("pad", value, x.dtype));
}

const pairs: Kind = [
  "an array of pairs [before, after]",
  (widths) => Array.isArray(widths) && widths.every((pair) => Array.isArray(pair) && pair.length === 2),
];

/**
 * Splits x along `dim` (default 0) into parts of `size` (the last may be smaller), or of the given sizes.
 *
 * @example
 * const [head, tail] = split(arange(5), [2, 3]);
 * tail; // [2, 3, 4]
 *
 * @throws ShapeError if the sizes do not sum to the extent, ArgumentError for a size below 1.
 */
export function split(x: Tensor, sizes: number | readonly number[], dim = 0): Tensor[] {
  const d = normalizeDim(dim, requireTensor("split", x).rank, "split");
  const extent = x.shape[d];
  const list =
    typeof sizes === "number" ? equalParts(extent, sizes) : check("split", "sizes", sizes, integers);
  const total = list.reduce((sum, size) => sum + size, 0);
  if (total !== extent) {
    throw new ShapeError(`sizes [${list.join(", ")}] do not add up to dim ${d} of ${formatShape(x.shape)}`, {
      op: "split",
    });
  }
  let start = 0;
  return list.map((length) => {
    const part = narrow(x, d, start, length);
    start += length;
    return part;
  });
}

function equalParts(extent: number, size: number): number[] {
  if (!Number.isInteger(size) || size < 1) {
    throw new ArgumentError(`the size is a positive integer, got ${size}`, { op: "split" });
  }
  return Array.from({ length: Math.ceil(extent / size) }, (_, i) => Math.min(size, extent - i * size));
}
