/**
 * Products of rows with packed weights: a fragment computes up to four rows × the four columns of half a panel, or those of
 * several where there are the render targets, and a second pass puts the rows together and finishes the sums. Where few tiles have long sums, k is split:
 * the partial sums lie behind each other in the targets, and the second pass adds them up.
 */
import texelsChunk from "../../../../glsl/int8_texels.glsl";
import { sizeOf } from "../../../core/shape.js";
import { rowMajor } from "../../../core/view.js";
import type { Expression, Operand, WeightFormat } from "../../../kernels/kernel.js";
import { panelRows, stepLength, storedOffset } from "../../../kernels/packed.js";
import { type Extent, lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import type { TextureId } from "../shader/pass.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { storeInside } from "../shader/store.js";
import { declareWalk, operandPosition, planWalk, type Steps } from "../shader/walk.js";
import { prepareMap } from "./map.js";
import { pitchFor } from "./product.js";
import { type Epilogue, finishSum } from "./quantized_epilogue.js";

/** Rows of a tile, at most. */
const tile = 4;
/** Half panels that a tile is wide, at most: each texel of the input is fetched once for so many columns. */
const mostHalves = 4;
/** Steps along k that one turn of the loop takes, if they come in as many: one position of the texture serves both. */
const unrolled = 2;
/** Texels of a step of a panel: each holds the words of four rows. */
const stepTexels = panelRows / lanes;
/** Tiles below which k is split on every device, if the sums are long enough to be worth it: measured on software rasterisers. */
const wantedTiles = 2048;
const shortestSplit = 128;
/** Longest sum of floats in one accumulator. */
const longestSum = 4096;
/** Steps whose products of integers add up to no more than 2^24, exact in floats: four of 2^14, or eight of 2^10 with 4 bits. */
const exactSteps = 256;
const exactStepsOf4 = 2048;

export interface QuantizedFactors {
  /** [matrices, m, k], int8 or float32. */
  readonly input: Operand;
  /** Packed, one matrix [n, k] after the other. */
  readonly weight: Operand;
  readonly format: WeightFormat;
  readonly n: number;
  /** Of 4-bit weights: the scales of the input's groups [m, k / groupSize], and those of the weights' as they are packed. */
  readonly inputScales?: Operand;
  readonly scales?: Operand;
}

/**
 * Sums in grids: grid (r · halves + h) holds row r of the tiles' half panel h, the tiles in rows of the grid's width, and the
 * splits below each other, each in as many rows.
 */
export interface TileSums {
  readonly parts: readonly TextureId[];
  readonly grid: Extent;
  readonly splits: number;
  readonly rowTiles: number;
  readonly columnTiles: number;
  readonly halves: number;
  readonly isInteger: boolean;
}

/** Where an element of the output lies among the sums: the steps of its matrix, row and column along the output's dimensions. */
export interface SumSteps {
  readonly matrix: Steps;
  readonly row: Steps;
  readonly column: Steps;
}

export function quantizedTiles(factors: QuantizedFactors, builder: PassBuilder): TileSums {
  const { format, n } = factors;
  const [matrices, m, k] = factors.input.view.shape;
  const { input, isStraight } = alignedRows(factors.input, builder);
  const weight = alignedWeight(factors.weight, builder);
  const rows = Math.min(m, tile);
  const halves = widthOf(n, Math.floor(builder.target.drawBuffers / rows));
  const [rowTiles, columnTiles] = [Math.ceil(m / tile), Math.ceil(n / (lanes * halves))];
  const tiles = matrices * rowTiles * columnTiles;
  const isInteger = input.dtype === "int8" && format.bits !== 4;
  // What is split: texels of the weights, or groups.
  const steps = Math.ceil(k / (format.bits === 4 ? 2 * stepLength : stepLength));
  const units = format.bits === 4 ? k / format.groupSize : steps;
  const wanted = Math.min(
    Math.ceil(Math.max(wantedTiles, builder.target.fragments) / tiles),
    Math.floor(k / shortestSplit),
    units,
  );
  const least = Math.max(1, wanted, isInteger ? 1 : Math.ceil(k / longestSum));
  const stride = format.bits !== 4 && steps % unrolled === 0 ? unrolled : 1;
  const length = Math.ceil(units / stride / least) * stride;
  const splits = Math.max(1, Math.ceil(units / Math.max(1, length)));
  const grid = splitGrid(splits, tiles, columnTiles, builder);
  const dtype = isInteger ? "int32" : "float32";
  const parts = Array.from({ length: rows * halves }, () => builder.gridScratch(grid, dtype));

  const shader = builder.shader();
  const int = (value: number) => shader.int(value);
  shader.include(`#define STORED_OFFSET ${storedOffset(format)}`);
  if (input.dtype === "float32") shader.include("#define FLOAT_INPUT");
  if (isStraight) shader.include("#define STRAIGHT_INPUT");
  shader.include(texelsChunk);
  const [matrixStep, rowStep] = input.view.strides;
  const matrixTexels = Math.ceil(n / panelRows) * steps * stepTexels;
  shader.add(
    `int split = quotient(int(gl_FragCoord.y), ${int(grid.height / splits)});`,
    `int place = t - split * ${int((grid.height / splits) * grid.width)};`,
    `int columnTiles = ${int(columnTiles)};`,
    "int line = quotient(place, columnTiles);",
    "int columnTile = place - line * columnTiles;",
    `int rowTiles = ${int(rowTiles)};`,
    "int matrix = quotient(line, rowTiles);",
    "int row = (line - matrix * rowTiles) << 2;",
    `int steps = ${int(steps)};`,
    `int from = split * ${int(length)};`,
    `int to = min(from + ${int(length)}, ${int(units)});`,
    `int at = ${int(weight.view.offset / lanes)} + matrix * ${int(matrixTexels)};`,
    `int panel = columnTile * ${halves} >> 1;`,
    `int half0 = columnTile * ${halves} & 1;`,
    `at += panel * steps * ${stepTexels} + half0;`,
    `int start = ${int(input.view.offset / lanes)} + matrix * ${int(matrixStep / lanes)};`,
  );
  const [x, w] = [input, weight].map(({ slot, dtype }) => shader.sampler(slot, dtype));
  shader.add(
    `const int shiftX = ${shader.shift(input.slot)}, shiftW = ${shader.shift(weight.slot)};`,
    `vec2 sizeX = 1.0 / vec2(textureSize(${x}, 0));`,
    `vec2 sizeW = 1.0 / vec2(textureSize(${w}, 0));`,
  );
  for (let r = 0; r < rows; r++) {
    shader.add(
      `int row${r} = start + (row + ${r}) * ${shader.shared("row step", rowStep / lanes)};`,
      `vec2 line${r} = lineOf(shiftX, row${r}, sizeX);`,
    );
  }
  const terms: Terms = { x, w, rows, halves, stride };
  if (format.bits === 4) multiplyGroups(shader, factors, format.groupSize, terms, builder);
  else multiplySteps(shader, terms, length, isInteger);
  eachSum(terms, (r, h) => shader.store(parts[r * halves + h], dtype, `sum${r}${h}`));
  const flops = 2 * rows * halves * lanes * tiles * k;
  builder.add(shader.build({ name: "quantized tiles", texels: grid.width * grid.height, flops, grid }));
  return { parts, grid, splits, rowTiles, columnTiles, halves, isInteger };
}

function splitGrid(splits: number, tiles: number, columnTiles: number, builder: PassBuilder): Extent {
  const { extent } = builder.target;
  const one = builder.grid(tiles, columnTiles);
  const width = one.height * splits <= extent ? one.width : Math.min(tiles, extent);
  return { width, height: Math.ceil(tiles / width) * splits };
}

/** Half panels of a tile: a power of two, as many as there are targets for and columns. */
function widthOf(n: number, targets: number): number {
  let halves = 1;
  while (halves * 2 <= Math.min(targets, mostHalves) && halves * lanes < n) halves *= 2;
  return halves;
}

/** What the loops over k read, and how much they add up. */
interface Terms {
  readonly x: string;
  readonly w: string;
  readonly rows: number;
  readonly halves: number;
  /** Steps along k in one turn. */
  readonly stride: number;
}

function eachRow<T>({ rows }: Terms, of: (r: number) => T): T[] {
  return Array.from({ length: rows }, (_, r) => of(r));
}

function eachSum<T>(terms: Terms, of: (r: number, h: number) => T): T[] {
  return eachRow(terms, (r) => Array.from({ length: terms.halves }, (_, h) => of(r, h))).flat();
}

/** Statements that declare where the texels of each panel lie at step `at`. */
function panelLines({ halves }: Terms): string[] {
  const count = Math.ceil(halves / 2);
  return Array.from(
    { length: count },
    (_, p) =>
      `vec2 panel${p} = middleOf(shiftW, at${p === 0 ? "" : ` + ${p} * steps * ${stepTexels}`}, sizeW);`,
  );
}

/** GLSL for the words of half panel h, `step` steps behind `at`. */
function wordsOf({ w }: Terms, h: number, step = 0): string {
  return `wordsAt(${w}, panel${h >> 1}, ${(h & 1) + step * stepTexels}, sizeW)`;
}

/** Each half by itself, so that few values live at a time. */
function eachHalf({ halves }: Terms, of: (h: number) => readonly string[]): string[] {
  return Array.from({ length: halves }, (_, h) => ["{", ...of(h), "}"]).flat();
}

/** A loop of `i` up to `to`, whose turns add products to `part…`. */
interface Turns {
  readonly to: string;
  readonly stride: number;
  readonly statements: readonly string[];
  /** Of integers: how many steps there are at most, and how many add up exactly. */
  readonly integers?: { readonly steps: number; readonly exact: number };
}

/** Declares `${sums}…` and adds up the turns in them: those of integers in as many blocks as it takes to be exact. */
function addTurns(
  shader: ShaderBuilder,
  terms: Terms,
  sums: string,
  { to, stride, statements, integers }: Turns,
): void {
  const vector = integers ? "ivec4" : "vec4";
  const isBlocked = integers !== undefined && integers.steps > integers.exact;
  shader.add(
    ...eachSum(terms, (r, h) => `${vector} ${sums}${r}${h} = ${vector}(0);`),
    isBlocked ? `while (i < ${to}) {` : "{",
    ...eachSum(terms, (r, h) => `vec4 part${r}${h} = vec4(0.0);`),
    `int end = ${isBlocked ? `min(i + ${integers.exact}, ${to})` : to};`,
    `for (; i < end; i += ${stride}) {`,
    ...statements,
    "}",
    ...eachSum(terms, (r, h) => `${sums}${r}${h} += ${vector}(part${r}${h});`),
    "}",
  );
}

/** 8 and 7 bits; `steps` is how many there are at most. */
function multiplySteps(shader: ShaderBuilder, terms: Terms, steps: number, isInteger: boolean): void {
  const { x, stride } = terms;
  const turn = Array.from({ length: stride }, (_, step) => [
    "{",
    ...eachRow(
      terms,
      (r) => `vec4 x${r} = inputTexel(${x}, shiftX, line${r}, row${r}, i + ${step}, sizeX) * perByte;`,
    ),
    ...eachHalf(terms, (h) => [
      `mat4 w = weightsOf(${wordsOf(terms, h, step)});`,
      ...eachRow(terms, (r) => `part${r}${h} += w * x${r};`),
    ]),
    "}",
  ]).flat();
  shader.add(`at += from * ${stepTexels};`, "int i = from;");
  addTurns(shader, terms, "sum", {
    to: "to",
    stride,
    statements: [...panelLines(terms), ...turn, `at += ${stride * stepTexels};`],
    ...(isInteger && { integers: { steps, exact: exactSteps } }),
  });
}

/** 4 bits: the sum of each group is scaled. */
function multiplyGroups(
  shader: ShaderBuilder,
  factors: QuantizedFactors,
  groupSize: number,
  terms: Terms,
  builder: PassBuilder,
): void {
  const { x, halves } = terms;
  const scales = denseScales(factors.scales!, builder);
  const inputScales = factors.inputScales!;
  const [scaleRow, scaleGroup] = inputScales.view.strides.map((stride) => shader.int(stride));
  const s = shader.texture(scales.slot, "float32");
  const v = shader.texture(inputScales.slot, "float32");
  const steps = groupSize / (2 * stepLength);
  shader.add(
    ...eachSum(terms, (r, h) => `vec4 sum${r}${h} = vec4(0.0);`),
    `int length = ${shader.int(steps)};`,
    `at += from * length * ${stepTexels};`,
    "int k = from * length * 2;",
    `int groups2 = ${shader.int(2 * scales.view.shape[1])};`,
    `int scaleAt = ${shader.int(scales.view.offset / lanes)} + panel * groups2 + from * 2 + half0;`,
    "for (int group = from; group < to; group++) {",
    "int i = 0;",
  );
  addTurns(shader, terms, "total", {
    to: "length",
    stride: 1,
    statements: [
      ...panelLines(terms),
      ...eachRow(
        terms,
        (r) => `vec4 x${r} = inputTexel(${x}, shiftX, line${r}, row${r}, k, sizeX) * perByte;`,
      ),
      ...eachRow(
        terms,
        (r) => `vec4 y${r} = inputTexel(${x}, shiftX, line${r}, row${r}, k + 1, sizeX) * (perByte / 16.0);`,
      ),
      ...eachHalf(terms, (h) => [
        `ivec4 words = ${wordsOf(terms, h)};`,
        "mat4 low = lowOf(words), high = highOf(words);",
        ...eachRow(terms, (r) => `part${r}${h} += low * x${r} + high * y${r};`),
      ]),
      `at += ${stepTexels};`,
      "k += 2;",
    ],
    integers: { steps, exact: exactStepsOf4 },
  });
  shader.add(
    `int inputScale = ${shader.int(inputScales.view.offset)} + row * ${scaleRow} + group * ${scaleGroup};`,
    ...Array.from(
      { length: halves },
      (_, h) => `vec4 scale${h} = floatTexel(${s}, scaleAt + ${h & 1} + ${h >> 1} * groups2);`,
    ),
    "scaleAt += 2;",
    ...eachRow(terms, (r) => `float scaleOf${r} = floatAt(${v}, inputScale + ${r} * ${scaleRow});`),
    ...eachSum(terms, (r, h) => `sum${r}${h} += vec4(total${r}${h}) * scaleOf${r} * scale${h};`),
    "}",
  );
}

/** The input with rows of whole texels, and whether no row crosses lines of the texture: as it lies if possible, else a copy. */
function alignedRows(
  input: Operand,
  builder: PassBuilder,
): { readonly input: Operand; readonly isStraight: boolean } {
  const { shape, strides, offset } = input.view;
  const [matrices, m, k] = shape;
  const isWhole = (stride: number, extent: number) => extent === 1 || stride % lanes === 0;
  const isAligned =
    (strides[2] === 1 || k === 1) &&
    isWhole(strides[0], matrices) &&
    isWhole(strides[1], m) &&
    offset % lanes === 0 &&
    // The weights beyond k are 0, and so are their products with all integers, but not with all floats.
    (input.dtype === "int8" || k % lanes === 0);
  const used = isAligned ? input : copiedRows(input, builder);
  const { view } = used;
  const texels = Math.ceil(k / lanes);
  const line = builder.lineOf(used.slot);
  const isSingle = matrices * m === 1;
  const pitch = isSingle ? line : view.strides[1] / lanes;
  const isStraight =
    pitch > 0 &&
    line % pitch === 0 &&
    ((view.offset / lanes) % pitch) + texels <= pitch &&
    (matrices === 1 || (view.strides[0] / lanes) % pitch === 0);
  return { input: used, isStraight };
}

/** A copy with rows of whole texels, zeros behind them. */
function copiedRows(input: Operand, builder: PassBuilder): Operand {
  const { dtype } = input;
  const [matrices, m, k] = input.view.shape;
  const pitch = pitchFor(Math.max(k, 1), builder);
  const view = rowMajor([matrices, m, pitch]);
  const slot = builder.scratch(dtype, sizeOf(view.shape));
  const constant = (value: number, type: "int32" | typeof dtype) =>
    ({ op: "constant", dtype: type, args: [], value }) as const;
  const expression: Expression = {
    instructions: [
      { op: "load", dtype, args: [], index: 0 },
      { op: "iota", dtype: "int32", args: [], index: 2 },
      constant(k, "int32"),
      { op: "lt", dtype: "bool", args: [1, 2] },
      constant(0, dtype),
      { op: "where", dtype, args: [3, 0, 4] },
    ],
    results: [5],
  };
  const source = { ...input, view: { ...input.view, shape: view.shape } };
  const call = { shape: view.shape, inputs: [source], outputs: [{ slot, dtype, view }], expression };
  prepareMap({ kernel: "map", ...call }, builder);
  return { slot, dtype, view: { ...view, shape: input.view.shape } };
}

/** Weights of which what a turn of the loop reads lies on one line of the texture. */
function alignedWeight(weight: Operand, builder: PassBuilder): Operand {
  const { view } = weight;
  const isAligned = view.strides[0] === 1 && view.offset % (lanes * stepTexels * unrolled) === 0;
  return isAligned ? weight : copied(weight, builder);
}

function denseScales(scales: Operand, builder: PassBuilder): Operand {
  const { shape, strides, offset } = scales.view;
  const dense = rowMajor(shape).strides;
  const isDense = strides.every((stride, d) => stride === dense[d] || shape[d] === 1);
  return isDense && offset % lanes === 0 ? scales : copied(scales, builder);
}

/** A dense copy. */
function copied(operand: Operand, builder: PassBuilder): Operand {
  const { dtype } = operand;
  const { shape } = operand.view;
  const slot = builder.scratch(dtype, sizeOf(shape));
  const result: Operand = { slot, dtype, view: rowMajor(shape) };
  const expression: Expression = { instructions: [{ op: "load", dtype, args: [], index: 0 }], results: [0] };
  prepareMap({ kernel: "map", shape, inputs: [operand], outputs: [result], expression }, builder);
  return result;
}

/** Puts the sums where they belong in `output`, finished. */
export function mergeSums(
  sums: TileSums,
  output: Operand,
  { matrix, row, column }: SumSteps,
  epilogue: Epilogue,
  builder: PassBuilder,
): void {
  const { parts, grid, splits, rowTiles, columnTiles, halves, isInteger } = sums;
  const slotSize = builder.sizeOf(output.slot);
  const steps = [matrix, row, column, ...epilogue.operands.map((operand) => operand.steps)];
  const planned = planWalk(output.view, slotSize, steps);
  // Texels of the output are texels of a grid if they lie along the columns.
  const whole = planned.quad && planned.operands[2].strides.at(-1) === 1;
  const walk = { ...planned, quad: whole };
  const shader = builder.shader();
  const names = declareWalk(shader, walk);
  const [matrixAt, rowAt, columnAt, ...rest] = walk.operands;
  const at = (operand: Steps) => operandPosition(shader, walk, names, operand);
  const { type } = names;
  shader.add(
    `${type} row = ${at(rowAt)};`,
    `${type} column = ${at(columnAt)};`,
    `${type} place = (${at(matrixAt)}) * ${shader.int(rowTiles)} + (row >> 2);`,
    `place = place * ${shader.int(columnTiles)} + (column >> ${2 + Math.log2(halves)});`,
    `${type} which = (row & 3) * ${halves} + (column >> 2 & ${halves - 1});`,
    isInteger ? "ivec4 sum = ivec4(0);" : "vec4 sum = vec4(0.0);",
    `int width = ${shader.int(grid.width)};`,
    `${type} down = quotient(place, width);`,
    `${type} across = place - down * width;`,
    `int splits = ${shader.int(splits)};`,
    "for (int i = 0; i < splits; i++) {",
  );
  const samplers = parts.map((part) => shader.sampler(part, isInteger ? "int32" : "float32"));
  // Written out as branches, of which one fetches.
  const add = (sum: string, which: string, from: (sampler: string) => string) => {
    samplers.forEach((sampler, part) => {
      const last = part === samplers.length - 1;
      shader.add(
        `${part === 0 ? "" : "else "}${last ? "" : `if (${which} == ${part}) `}${sum} += ${from(sampler)};`,
      );
    });
  };
  const fetched = (at: string) => (sampler: string) =>
    isInteger ? `texelFetch(${sampler}, ${at}, 0)` : `toFloats(texelFetch(${sampler}, ${at}, 0))`;
  if (whole) add("sum", "which", fetched("ivec2(across, down)"));
  else {
    shader.add("for (int j = 0; j < 4; j++) {");
    const lane = fetched("ivec2(across[j], down[j])");
    add("sum[j]", "which[j]", (sampler) => `${lane(sampler)}[column[j] & 3]`);
    shader.add("}");
  }
  shader.add(`down += ${shader.int(grid.height / splits)};`, "}");
  const value = finishSum(shader, walk, names, epilogue, rest, "sum");
  storeInside(shader, walk.quad, names.inside, output, output.slot, value);
  const texels = Math.ceil(slotSize / lanes);
  builder.add(shader.build({ name: "quantized merge", texels, flops: slotSize * splits }));
}
