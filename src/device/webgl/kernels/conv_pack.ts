/**
 * Packing for tiled convolutions: padded channels-last images, so that inner loops need no bounds checks; filters as [kh, kw, c, o]; and
 * rows that do not cross rows of the texture if the pitch allows it.
 */
import { sizeOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { Instruction, Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import type { TextureId } from "../shader/pass.js";
import { type Problem, permuted, type Tiles } from "./conv_problem.js";
import { prepareMap } from "./map.js";

/** Conditions: Σ factor · index along dim is in from..to − 1. */
type Checks = readonly {
  readonly terms: readonly (readonly [dim: number, factor: number])[];
  readonly from: number;
  readonly to: number;
}[];

/** A copy of `view`, 0 wherever an index built by `checks` is outside its range. */
function packed(source: Operand, view: View, checks: Checks, builder: PassBuilder): TextureId {
  const instructions: Instruction[] = [{ op: "load", dtype: source.dtype, args: [], index: 0 }];
  const emit = (instruction: Instruction) => instructions.push(instruction) - 1;
  const constant = (value: number) => emit({ op: "constant", dtype: "int32", args: [], value });
  const conditions: number[] = [];
  for (const { terms, from, to } of checks) {
    const parts = terms.map(([dim, factor]) => {
      const index = emit({ op: "iota", dtype: "int32", args: [], index: dim });
      return factor === 1 ? index : emit({ op: "mul", dtype: "int32", args: [index, constant(factor)] });
    });
    const index = parts.reduce((a, b) => emit({ op: "add", dtype: "int32", args: [a, b] }));
    conditions.push(emit({ op: "ge", dtype: "bool", args: [index, constant(from)] }));
    conditions.push(emit({ op: "lt", dtype: "bool", args: [index, constant(to)] }));
  }
  let result = 0;
  if (conditions.length > 0) {
    const all = conditions.reduce((a, b) => emit({ op: "and", dtype: "bool", args: [a, b] }));
    const zero = emit({ op: "constant", dtype: "float32", args: [], value: 0 });
    result = emit({ op: "where", dtype: "float32", args: [all, 0, zero] });
  }
  const { shape } = view;
  const id = builder.scratch("float32", sizeOf(shape));
  const strides = shape.map((_, d) => sizeOf(shape.slice(d + 1)));
  prepareMap(
    {
      kernel: "map",
      shape,
      inputs: [{ ...source, view }],
      outputs: [{ slot: id, dtype: "float32", view: { shape, strides, offset: 0 } }],
      expression: { instructions, results: [result] },
    },
    builder,
  );
  return id;
}

/** Checks one dimension only where its extent was rounded up. */
function within(dim: number, extent: number, rounded: number) {
  return extent === rounded ? [] : [{ terms: [[dim, 1]] as const, from: 0, to: extent }];
}

export interface PackedImage {
  readonly id: TextureId;
  readonly tiles: Tiles;
}

/**
 * [N, height, width, channels] with zeros around the image and after its channels; the image itself if it already has this layout. A copy
 * has rows that do not cross rows of the texture, if their lengths can be powers of two.
 */
export function packImage(problem: Problem, tiles: Tiles, builder: PassBuilder): PackedImage {
  const [view, checks] = paddedView(problem, tiles);
  if (checks.length === 0 && isWhole(view, builder.sizeOf(problem.image.slot))) {
    return { id: problem.image.slot, tiles };
  }
  const width = 2 ** Math.ceil(Math.log2(tiles.width));
  const line = builder.target.layout.widthFor(tiles.batch * tiles.height * width * tiles.channels);
  const isLine = line % (width * tiles.channels) === 0;
  const wider = isLine ? { ...tiles, width } : tiles;
  const [paddedTo, questions] = paddedView(problem, wider);
  return { id: packed(problem.image, paddedTo, questions, builder), tiles: wider };
}

/** A view of the image with the packed shape, and the conditions under which it is inside the image. */
function paddedView(
  { image, filter, stride, dilation, padding, foldedColumns }: Problem,
  tiles: Tiles,
): [View, Checks] {
  const { shape, strides, offset } = image.view;
  const [, height, width] = shape;
  const channels = filter.view.shape[2];
  const [n, h, w, c] = strides;
  const [across, deep] = foldedColumns ? [w * stride[1], w * dilation[1]] : [w, c];
  const rounded = tiles.channels * lanes;
  const view: View = {
    shape: [tiles.batch, tiles.height, tiles.width, rounded],
    strides: [n, h, across, deep],
    offset: offset - padding[0] * h - padding[1] * w,
  };
  const inside = (
    terms: readonly (readonly [number, number])[],
    pad: number,
    extent: number,
    last: number,
  ) => (pad <= 0 && last < extent + pad ? [] : [{ terms, from: pad, to: pad + extent }]);
  const columns = foldedColumns
    ? ([
        [2, stride[1]],
        [3, dilation[1]],
      ] as const)
    : ([[2, 1]] as const);
  const lastColumn = foldedColumns
    ? (tiles.width - 1) * stride[1] + (rounded - 1) * dilation[1]
    : tiles.width - 1;
  const checks = [
    ...inside([[1, 1]], padding[0], height, tiles.height - 1),
    ...inside(columns, padding[1], width, lastColumn),
    ...within(3, channels, rounded),
  ];
  return [view, checks];
}

export function packFilter({ filter }: Problem, tiles: Tiles, builder: PassBuilder): TextureId {
  const { shape, strides, offset } = filter.view;
  const [kernelHeight, kernelWidth, channels, outputs] = shape;
  const [roundedIn, roundedOut] = [tiles.channels * lanes, tiles.outputs * lanes];
  const view: View = { shape: [kernelHeight, kernelWidth, roundedIn, roundedOut], strides, offset };
  return packed(
    filter,
    view,
    [...within(2, channels, roundedIn), ...within(3, outputs, roundedOut)],
    builder,
  );
}

/** The output's gradient as [N, OH, width, O], O in whole texels, width at least OW and if possible a power of two. */
export function packGradient(
  output: Operand,
  tiles: Tiles,
  builder: PassBuilder,
): { readonly id: TextureId; readonly width: number } {
  const { view } = permuted(output, [0, 2, 3, 1]);
  const [n, height, width, outputs] = view.shape;
  const rounded = tiles.outputs * lanes;
  const asItIs: View = { ...view, shape: [n, height, width, rounded] };
  const isUsable = rounded === outputs && isWhole(asItIs, builder.sizeOf(output.slot));
  const isLineOf = (columns: number) => {
    const row = columns * tiles.outputs;
    return builder.target.layout.widthFor(n * height * row) % row === 0;
  };
  if (isUsable && isLineOf(width)) return { id: output.slot, width };
  const power = 2 ** Math.ceil(Math.log2(width));
  const isLine = isLineOf(power);
  if (isUsable && !isLine) return { id: output.slot, width };
  const pitch = isLine ? power : width;
  // Elements after the last column are never read.
  const wide: View = { ...view, shape: [n, height, pitch, rounded] };
  return { id: packed(output, wide, within(3, outputs, rounded), builder), width: pitch };
}

/** Whether a view is its whole slot, in order. */
function isWhole({ shape, strides, offset }: View, size: number): boolean {
  return (
    offset === 0 &&
    size === sizeOf(shape) &&
    shape.every((extent, d) => extent === 1 || strides[d] === sizeOf(shape.slice(d + 1)))
  );
}
