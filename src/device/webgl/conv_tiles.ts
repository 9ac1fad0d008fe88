/**
 * Convolutions and their gradients in tiles: a fragment computes four columns (or four input channels of a weight) times
 * four output channels into four render targets, 64 products for 8 fetches. Operands are packed first: images
 * channels-last with their padding around them, so that the inner loops ask no questions; filters as [kh, kw, c, o].
 */
import texelsChunk from "../../../glsl/product_texels.glsl";
import { sizeOf } from "../../tensor/shape.js";
import type { View } from "../../tensor/view.js";
import type { ConvCall, Instruction, Operand } from "../kernel.js";
import type { PassBuilder } from "./builder.js";
import { declareImageWalk } from "./image.js";
import { prepareMap, storeInside } from "./map.js";
import type { TextureId } from "./pass.js";
import type { ShaderBuilder } from "./shader.js";
import { type Extent, lanes } from "./storage.js";
import { accessOf, declareWalk, planWalk, positionOf } from "./walk.js";

/** Below so many multiply-adds the draws that pack and merge cost more than they save. */
const leastWork = 4096;
/** Fragments that a weight gradient should have: its pixels are split among them. */
const wantedFragments = 8192;

/** A packed convolution: output row oh reads packed rows oh · stride[0] + kh · dilation[0], columns likewise. */
interface Tiles {
  readonly batch: number;
  /** Of the packed image. */
  readonly height: number;
  readonly width: number;
  /** Texels of packed channels. */
  readonly channels: number;
  readonly outputs: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly dilation: readonly [number, number];
}

/** The passes of a call, unless its geometry or size is for the general form: then false. */
export function prepareConvTiles(call: ConvCall, builder: PassBuilder): boolean {
  const { geometry, kernel } = call;
  const work = sizeOf(call.output.view.shape) * sizeOf(call.weight.view.shape.slice(1));
  if (geometry.groups !== 1 || work < leastWork) return false;
  if (kernel === "conv") {
    forward(columnsOf(call), call.output, builder);
    return true;
  }
  if (kernel === "convGradInput") {
    if (geometry.stride.some((stride) => stride !== 1)) return false;
    forward(mirrored(call), call.input, builder);
    return true;
  }
  weightGradient(call, builder);
  return true;
}

/** An image [N, H, W, C] in memory and the filter [kh, kw, c, o] that runs over it. */
interface Problem {
  readonly image: Operand;
  readonly filter: Operand;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly stride: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly padding: readonly [number, number];
  /** The filter's columns are channels of the image: channel q lies q · dilation[1] columns further right. */
  readonly foldedColumns: boolean;
}

function permuted({ slot, dtype, view }: Operand, dims: readonly number[]): Operand {
  const pick = (list: readonly number[]) => dims.map((d) => list[d]);
  return { slot, dtype, view: { shape: pick(view.shape), strides: pick(view.strides), offset: view.offset } };
}

/** The call as it stands; a single channel would waste three lanes of four, so the filter's columns become channels. */
function columnsOf({ input, weight, output, geometry }: ConvCall): Problem {
  const [, , outHeight, outWidth] = output.view.shape;
  const { stride, dilation, padding } = geometry;
  const image = permuted(input, [0, 2, 3, 1]);
  const filter = permuted(weight, [2, 3, 1, 0]);
  const problem = { image, filter, outHeight, outWidth, stride, dilation, padding, foldedColumns: false };
  if (image.view.shape[3] !== 1 || filter.view.shape[1] === 1) return problem;
  const columns: View = {
    shape: [filter.view.shape[0], 1, filter.view.shape[1], filter.view.shape[3]],
    strides: [filter.view.strides[0], 0, filter.view.strides[1], filter.view.strides[3]],
    offset: filter.view.offset,
  };
  return { ...problem, filter: { ...filter, view: columns }, foldedColumns: true };
}

/** The gradient by the input, for stride 1: the turned filter over the output's gradient. */
function mirrored({ input, weight, output, geometry }: ConvCall): Problem {
  const { view } = weight;
  const [, , kernelHeight, kernelWidth] = view.shape;
  const [, , rows, columns] = view.strides;
  const turned: View = {
    shape: view.shape,
    strides: [view.strides[0], view.strides[1], -rows, -columns],
    offset: view.offset + (kernelHeight - 1) * rows + (kernelWidth - 1) * columns,
  };
  const { dilation, padding } = geometry;
  return {
    image: permuted(output, [0, 2, 3, 1]),
    filter: permuted({ ...weight, view: turned }, [2, 3, 0, 1]),
    outHeight: input.view.shape[2],
    outWidth: input.view.shape[3],
    stride: [1, 1],
    dilation,
    padding: [(kernelHeight - 1) * dilation[0] - padding[0], (kernelWidth - 1) * dilation[1] - padding[1]],
    foldedColumns: false,
  };
}

function texelsOf(elements: number): number {
  return Math.ceil(elements / lanes);
}

/** Sizes of the packed problem; `columns` output columns are computed, the last ones for nothing. */
function tilesOf(
  { image, filter, outHeight, outWidth, stride, dilation, foldedColumns }: Problem,
  columns: number,
): Tiles {
  const [kernelHeight, kernelWidth, channels, outputs] = filter.view.shape;
  const acrossStride = foldedColumns ? 1 : stride[1];
  return {
    batch: image.view.shape[0],
    height: (outHeight - 1) * stride[0] + (kernelHeight - 1) * dilation[0] + 1,
    width: (columns - 1) * acrossStride + (kernelWidth - 1) * dilation[1] + 1,
    channels: texelsOf(channels),
    outputs: texelsOf(outputs),
    outHeight,
    outWidth,
    kernel: [kernelHeight, kernelWidth],
    stride: [stride[0], acrossStride],
    dilation,
  };
}

/* ---- packing ----------------------------------------------------------------------------------------- */

/** Σ factor · index along dim lies in from..to − 1. */
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

interface PackedImage {
  readonly id: TextureId;
  readonly tiles: Tiles;
}

/**
 * [N, height, width, channels] with zeros around the image and behind its channels; the image itself where it lies like
 * that. A copy gets rows that do not cross lines of the texture, where their lengths can be powers of two.
 */
function packImage(problem: Problem, tiles: Tiles, builder: PassBuilder): PackedImage {
  const [view, checks] = paddedView(problem, tiles);
  if (checks.length === 0 && isWhole(view, builder.sizeOf(problem.image.slot))) {
    return { id: problem.image.slot, tiles };
  }
  const width = 2 ** Math.ceil(Math.log2(tiles.width));
  const isLine = 2 ** builder.target.shift % (width * tiles.channels) === 0;
  const wider = isLine ? { ...tiles, width } : tiles;
  const [paddedTo, questions] = paddedView(problem, wider);
  return { id: packed(problem.image, paddedTo, questions, builder), tiles: wider };
}

/** The view of the packed image's shape, and where it leaves the image. */
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

function packFilter({ filter }: Problem, tiles: Tiles, builder: PassBuilder): TextureId {
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

/** Whether a view is its slot's memory, in order. */
function isWhole({ shape, strides, offset }: View, size: number): boolean {
  return (
    offset === 0 &&
    size === sizeOf(shape) &&
    shape.every((extent, d) => extent === 1 || strides[d] === sizeOf(shape.slice(d + 1)))
  );
}

/** The macros of product_texels.glsl, given the texels of what must not cross a line of A and of B. */
function includeTexels(shader: ShaderBuilder, spanA: number, spanB: number, { target }: PassBuilder): void {
  if (2 ** target.shift % spanA === 0) shader.include("#define STRAIGHT_A");
  if (2 ** target.shift % spanB === 0) shader.include("#define STRAIGHT_B");
  shader.include(texelsChunk);
}

/* ---- the convolution ----------------------------------------------------------------------------------- */

function forward(problem: Problem, output: Operand, builder: PassBuilder): void {
  const groups = texelsOf(problem.outWidth);
  const { id: image, tiles } = packImage(problem, tilesOf(problem, groups * lanes), builder);
  const filter = packFilter(problem, tiles, builder);
  const texels = tiles.batch * tiles.outHeight * groups * tiles.outputs;
  const grid = builder.grid(texels, groups * tiles.outputs);
  const parts = Array.from({ length: lanes }, () => builder.gridScratch(grid));

  const shader = builder.shader();
  includeTexels(shader, tiles.width * tiles.channels, lanes * tiles.outputs, builder);
  const x = shader.texture(image, "float32");
  const w = shader.texture(filter, "float32");
  const int = (value: number) => shader.int(value);
  const [outputs, channels] = [int(tiles.outputs), int(tiles.channels)];
  shader.add(
    `int outputs = ${outputs};`,
    `int channels = ${channels};`,
    `int groups = ${int(groups)};`,
    "int row = t / outputs;",
    "int o = t - row * outputs;",
    "int column = row;",
    "row /= groups;",
    "column -= row * groups;",
    `int n = row / ${int(tiles.outHeight)};`,
    `int top = (row - n * ${int(tiles.outHeight)}) * ${int(tiles.stride[0])} + n * ${int(tiles.height)};`,
    `int left = column * ${int(tiles.stride[1] * lanes)};`,
    `int pixel = ${int(tiles.stride[1])} * channels;`,
    `vec2 scaleA = texelSize(${x}), scaleB = texelSize(${w});`,
    "vec4 s0 = vec4(0.0), s1 = vec4(0.0), s2 = vec4(0.0), s3 = vec4(0.0);",
    "int at = o;",
    `for (int kh = 0; kh < ${int(tiles.kernel[0])}; kh++) {`,
    `int row0 = (top + kh * ${int(tiles.dilation[0])}) * ${int(tiles.width)} * channels;`,
    "vec2 line = lineA(row0);",
    `for (int kw = 0; kw < ${int(tiles.kernel[1])}; kw++) {`,
    `int from = (left + kw * ${int(tiles.dilation[1])}) * channels;`,
    "for (int c = 0; c < channels; c++) {",
    "vec2 filters = lineB(at);",
    "mat4 b = mat4(",
    `texelB(${w}, filters, at, 0), texelB(${w}, filters, at, outputs),`,
    `texelB(${w}, filters, at, 2 * outputs), texelB(${w}, filters, at, 3 * outputs));`,
    "at += 4 * outputs;",
    `s0 += b * texelA(${x}, line, row0, from);`,
    `s1 += b * texelA(${x}, line, row0, from + pixel);`,
    `s2 += b * texelA(${x}, line, row0, from + 2 * pixel);`,
    `s3 += b * texelA(${x}, line, row0, from + 3 * pixel);`,
    "from++;",
    "}",
    "}",
    "}",
  );
  parts.forEach((id, j) => {
    shader.store(id, "float32", `s${j}`);
  });
  const terms = tiles.kernel[0] * tiles.kernel[1] * tiles.channels * lanes;
  builder.add(shader.build({ name: "conv tiles", texels, flops: 2 * texels * lanes * lanes * terms, grid }));
  mergeColumns(parts, grid, groups, tiles, output, builder);
}

/** Output [N, O, OH, OW]: column ow is lane-wise in part ow & 3. */
function mergeColumns(
  parts: readonly TextureId[],
  grid: Extent,
  groups: number,
  tiles: Tiles,
  output: Operand,
  builder: PassBuilder,
): void {
  const shader = builder.shader();
  const dims = [0, 1, 2, 3];
  const unit = dims.map((d) => ({ strides: dims.map((k) => Number(k === d)), offset: 0 }));
  const slotSize = builder.sizeOf(output.slot);
  const walk = planWalk(output.view, slotSize, unit);
  const last = walk.extents.length - 1;
  const samplers = parts.map((id) => shader.texture(id, "float32"));
  shader.add(`int gridWidth = ${shader.int(grid.width)};`);
  const texel = (n: string, oh: string, ow: string, o: string) =>
    `((${n} * ${shader.shared("outHeight", tiles.outHeight)} + ${oh}) * ${shader.shared("groups", groups)} + (${ow} >> 2)) * ${shader.shared("outputs", tiles.outputs)} + (${o} >> 2)`;
  // Four neighbours in memory are four channels of one pixel: one fetch.
  if (walk.quad && accessOf(walk.operands[1]) !== "scalar" && walk.operands[1].strides[last] === 1) {
    const names = declareWalk(shader, walk);
    const [n, o, oh, ow] = walk.operands.map(
      (steps) => `(${positionOf(shader, steps, names.indices, "int")})`,
    );
    shader.add(`int from = ${texel(n, oh, ow, o)};`, `int part = ${ow} & 3;`, "vec4 sum;");
    samplers.forEach((sampler, j) => {
      shader.add(
        `${j === 0 ? "" : "else "}${j === 3 ? "" : `if (part == ${j}) `}sum = gridTexel(${sampler}, from, gridWidth);`,
      );
    });
    storeInside(shader, walk, names, output, output.slot, "sum");
  } else {
    const { walk: scattered, names, indices } = declareImageWalk(shader, output, builder);
    const [n, o, oh, ow] = indices;
    shader.add(
      `ivec4 from = (${texel(n, oh, ow, o)}) * 4 + (${o} & 3);`,
      `ivec4 part = ${ow} & 3;`,
      "vec4 sum;",
    );
    for (const lane of "xyzw") pickPart(shader, samplers, `sum.${lane}`, `from.${lane}`, `part.${lane}`);
    storeInside(shader, scattered, names, output, output.slot, "sum");
  }
  const texels = texelsOf(slotSize);
  builder.add(shader.build({ name: "conv merge", texels, flops: texels * lanes }));
}

function pickPart(
  shader: ShaderBuilder,
  samplers: readonly string[],
  to: string,
  from: string,
  part: string,
): void {
  samplers.forEach((sampler, j) => {
    shader.add(
      `${j === 0 ? "" : "else "}${j === 3 ? "" : `if (${part} == ${j}) `}${to} = gridTexel(${sampler}, ${from} >> 2, gridWidth)[${from} & 3];`,
    );
  });
}

/* ---- the gradient by the weight -------------------------------------------------------------------------- */

function weightGradient(call: ConvCall, builder: PassBuilder): void {
  const problem = columnsOf(call);
  const { id: image, tiles } = packImage(problem, tilesOf(problem, problem.outWidth), builder);
  const { id: gradient, width: gradientWidth } = packGradient(call.output, tiles, builder);
  const tilesPerChunk = tiles.kernel[0] * tiles.kernel[1] * tiles.channels * tiles.outputs;
  const rows = tiles.batch * tiles.outHeight;
  const rowsPerChunk = Math.ceil(rows / Math.min(rows, Math.ceil(wantedFragments / tilesPerChunk)));
  const chunks = Math.ceil(rows / rowsPerChunk);
  const texels = chunks * tilesPerChunk;
  const grid = builder.grid(texels, tiles.kernel[1] * tiles.channels * tiles.outputs);
  const parts = Array.from({ length: lanes }, () => builder.gridScratch(grid));

  const shader = builder.shader();
  includeTexels(shader, tiles.width * tiles.channels, gradientWidth * tiles.outputs, builder);
  const x = shader.texture(image, "float32");
  const y = shader.texture(gradient, "float32");
  const int = (value: number) => shader.int(value);
  shader.add(
    `int outputs = ${int(tiles.outputs)};`,
    `int channels = ${int(tiles.channels)};`,
    `int kernelWidth = ${int(tiles.kernel[1])};`,
    "int rest = t / outputs;",
    "int o = t - rest * outputs;",
    "int c = rest;",
    "rest /= channels;",
    "c -= rest * channels;",
    "int kw = rest;",
    "rest /= kernelWidth;",
    "kw -= rest * kernelWidth;",
    `int chunk = rest / ${int(tiles.kernel[0])};`,
    `int kh = rest - chunk * ${int(tiles.kernel[0])};`,
    `int row = chunk * ${int(rowsPerChunk)};`,
    `int end = min(row + ${int(rowsPerChunk)}, ${int(rows)});`,
    `int pixel = ${int(tiles.stride[1])} * channels;`,
    `vec2 scaleA = texelSize(${x}), scaleB = texelSize(${y});`,
    `int right = kw * ${int(tiles.dilation[1])};`,
    `int down = kh * ${int(tiles.dilation[0])};`,
    "vec4 s0 = vec4(0.0), s1 = vec4(0.0), s2 = vec4(0.0), s3 = vec4(0.0);",
    "for (; row < end; row++) {",
    `int n = row / ${int(tiles.outHeight)};`,
    `int line = n * ${int(tiles.height)} + (row - n * ${int(tiles.outHeight)}) * ${int(tiles.stride[0])} + down;`,
    `int rowX = line * ${int(tiles.width)} * channels;`,
    `int rowY = row * ${int(gradientWidth)} * outputs;`,
    "vec2 lineX = lineA(rowX), lineY = lineB(rowY);",
    "int fromX = right * channels + c;",
    "int fromY = o;",
    // A row is summed on its own first: fewer roundings along the long sum.
    "vec4 r0 = vec4(0.0), r1 = vec4(0.0), r2 = vec4(0.0), r3 = vec4(0.0);",
    `int width = ${int(tiles.outWidth)};`,
    "int i = 0;",
    // Four pixels at a time, as one alone is hardly more than its loop.
    "for (; i + 4 <= width; i += 4) {",
    "mat4 a = transpose(mat4(",
    `texelA(${x}, lineX, rowX, fromX), texelA(${x}, lineX, rowX, fromX + pixel),`,
    `texelA(${x}, lineX, rowX, fromX + 2 * pixel), texelA(${x}, lineX, rowX, fromX + 3 * pixel)));`,
    "mat4 b = mat4(",
    `texelB(${y}, lineY, rowY, fromY), texelB(${y}, lineY, rowY, fromY + outputs),`,
    `texelB(${y}, lineY, rowY, fromY + 2 * outputs), texelB(${y}, lineY, rowY, fromY + 3 * outputs));`,
    "r0 += b * a[0];",
    "r1 += b * a[1];",
    "r2 += b * a[2];",
    "r3 += b * a[3];",
    "fromX += 4 * pixel;",
    "fromY += 4 * outputs;",
    "}",
    "for (; i < width; i++) {",
    `vec4 a = texelA(${x}, lineX, rowX, fromX);`,
    `vec4 b = texelB(${y}, lineY, rowY, fromY);`,
    "r0 += a.x * b;",
    "r1 += a.y * b;",
    "r2 += a.z * b;",
    "r3 += a.w * b;",
    "fromX += pixel;",
    "fromY += outputs;",
    "}",
    "s0 += r0;",
    "s1 += r1;",
    "s2 += r2;",
    "s3 += r3;",
    "}",
  );
  parts.forEach((id, j) => {
    shader.store(id, "float32", `s${j}`);
  });
  const flops = 2 * lanes * lanes * tilesPerChunk * rows * tiles.outWidth;
  builder.add(shader.build({ name: "convGradWeight tiles", texels, flops, grid }));
  mergeChunks(parts, grid, chunks, tiles, problem.foldedColumns, call.weight, builder);
}

/** The output's gradient as [N, OH, width, O], O in whole texels, width at least OW and if possible a power of two. */
function packGradient(
  output: Operand,
  tiles: Tiles,
  builder: PassBuilder,
): { readonly id: TextureId; readonly width: number } {
  const { view } = permuted(output, [0, 2, 3, 1]);
  const [n, height, width, outputs] = view.shape;
  const rounded = tiles.outputs * lanes;
  const asItIs: View = { ...view, shape: [n, height, width, rounded] };
  const lineLength = 2 ** builder.target.shift;
  const isUsable = rounded === outputs && isWhole(asItIs, builder.sizeOf(output.slot));
  if (isUsable && lineLength % (width * tiles.outputs) === 0) return { id: output.slot, width };
  const power = 2 ** Math.ceil(Math.log2(width));
  const isLine = lineLength % (power * tiles.outputs) === 0;
  if (isUsable && !isLine) return { id: output.slot, width };
  const pitch = isLine ? power : width;
  // What lies behind the last column is never read.
  const wide: View = { ...view, shape: [n, height, pitch, rounded] };
  return { id: packed(output, wide, within(3, outputs, rounded), builder), width: pitch };
}

/** The weight's gradient [O, C, KH, KW]: channel c is in part c & 3, once per chunk. */
function mergeChunks(
  parts: readonly TextureId[],
  grid: Extent,
  chunks: number,
  tiles: Tiles,
  foldedColumns: boolean,
  weight: Operand,
  builder: PassBuilder,
): void {
  const shader = builder.shader();
  const { walk, names, indices } = declareImageWalk(shader, weight, builder);
  const [o, first, kh, kw] = indices;
  const [channel, column] = foldedColumns ? [kw, "0"] : [first, kw];
  const samplers = parts.map((id) => shader.texture(id, "float32"));
  const pitch = tiles.kernel[0] * tiles.kernel[1] * tiles.channels * tiles.outputs * lanes;
  shader.add(
    `int gridWidth = ${shader.int(grid.width)};`,
    `ivec4 tap = ${kh} * ${shader.int(tiles.kernel[1])} + ${column};`,
    `ivec4 from = ((tap * ${shader.int(tiles.channels)} + (${channel} >> 2)) * ${shader.int(tiles.outputs)} + (${o} >> 2)) * 4 + (${o} & 3);`,
    `ivec4 part = ${channel} & 3;`,
    "vec4 sum = vec4(0.0);",
    `for (int chunk = 0; chunk < ${shader.int(chunks)}; chunk++) {`,
    "vec4 term;",
  );
  for (const lane of "xyzw") pickPart(shader, samplers, `term.${lane}`, `from.${lane}`, `part.${lane}`);
  shader.add("sum += term;", `from += ${shader.int(pitch)};`, "}");
  storeInside(shader, walk, names, weight, weight.slot, "sum");
  const slotSize = builder.sizeOf(weight.slot);
  const texels = texelsOf(slotSize);
  builder.add(shader.build({ name: "convGradWeight merge", texels, flops: texels * lanes * chunks }));
}
