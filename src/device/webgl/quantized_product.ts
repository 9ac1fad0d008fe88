/**
 * Products of rows with packed weights: a fragment computes up to four rows × the four columns of half a panel into as many
 * render targets, and a second pass puts the rows together and finishes the sums. Where few tiles have long sums, k is split:
 * the partial sums lie behind each other in the targets, and the second pass adds them up.
 */
import gridIntegersChunk from "../../../glsl/grid_integers.glsl";
import texelsChunk from "../../../glsl/int8_texels.glsl";
import { sizeOf } from "../../tensor/shape.js";
import { rowMajor } from "../../tensor/view.js";
import type { Expression, Operand, WeightFormat } from "../kernel.js";
import { panelRows, stepLength, storedOffset } from "../packed.js";
import type { PassBuilder } from "./builder.js";
import { prepareMap } from "./map.js";
import type { TextureId } from "./pass.js";
import { pitchFor } from "./product.js";
import { type Epilogue, finishSum } from "./quantized_epilogue.js";
import type { ShaderBuilder } from "./shader.js";
import { type Extent, lanes } from "./storage.js";
import { storeInside } from "./store.js";
import { declareWalk, operandPosition, planWalk, type Steps } from "./walk.js";

/** Rows of a tile, and its render targets. */
const tile = 4;
/** Texels of a step of a panel: one for each row. */
const stepTexels = panelRows;
/** Elements of k whose products of int8 float32 adds up exactly: 2^24 / 2^14. */
const exactLength = 1024;
/** Tiles below which k is split, if the sums are long enough to be worth it. */
const wantedTiles = 8192;
const shortestSplit = 128;

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

/** Sums in grids: texel (split · tiles + tile) of grid r holds row r of the tile. */
export interface TileSums {
  readonly parts: readonly TextureId[];
  readonly grid: Extent;
  readonly splits: number;
  readonly rowTiles: number;
  readonly columnTiles: number;
  readonly tiles: number;
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
  const [rowTiles, columnTiles] = [Math.ceil(m / tile), Math.ceil(n / lanes)];
  const tiles = matrices * rowTiles * columnTiles;
  const isInteger = input.dtype === "int8" && format.bits !== 4;
  // What is split: texels of the weights, or groups.
  const steps = Math.ceil(k / (format.bits === 4 ? 2 * stepLength : stepLength));
  const units = format.bits === 4 ? k / format.groupSize : steps;
  const wanted = Math.min(Math.ceil(wantedTiles / tiles), Math.floor(k / shortestSplit), units);
  const length = Math.ceil(units / Math.max(1, wanted));
  const splits = Math.max(1, Math.ceil(units / Math.max(1, length)));
  const grid = builder.grid(splits * tiles, columnTiles);
  const dtype = isInteger ? "int32" : "float32";
  const parts = Array.from({ length: rows }, () => builder.gridScratch(grid, dtype));

  const shader = builder.shader();
  const int = (value: number) => shader.int(value);
  shader.include(`#define STORED_OFFSET ${storedOffset(format).toFixed(1)}`);
  if (input.dtype === "float32") shader.include("#define FLOAT_INPUT");
  if (isStraight) shader.include("#define STRAIGHT_INPUT");
  shader.include(texelsChunk);
  const [matrixStep, rowStep] = input.view.strides;
  const matrixTexels = Math.ceil(n / panelRows) * steps * stepTexels;
  shader.add(
    `int split = t / ${int(tiles)};`,
    `int place = t - split * ${int(tiles)};`,
    `int columnTiles = ${int(columnTiles)};`,
    "int line = place / columnTiles;",
    "int columnTile = place - line * columnTiles;",
    `int rowTiles = ${int(rowTiles)};`,
    "int matrix = line / rowTiles;",
    "int row = (line - matrix * rowTiles) << 2;",
    `int steps = ${int(steps)};`,
    `int from = split * ${int(length)};`,
    `int to = min(from + ${int(length)}, ${int(units)});`,
    `int at = ${int(weight.view.offset / lanes)} + matrix * ${int(matrixTexels)};`,
    "int panel = columnTile >> 1;",
    "at += panel * steps * 8 + (columnTile & 1) * 4;",
    `int start = ${int(input.view.offset / lanes)} + matrix * ${int(matrixStep / lanes)};`,
  );
  const [x, w] = [shader.texture(input.slot, input.dtype), shader.texture(weight.slot, "int8")];
  shader.add(
    `vec2 sizeX = 1.0 / vec2(textureSize(${x}, 0));`,
    `vec2 sizeW = 1.0 / vec2(textureSize(${w}, 0));`,
  );
  for (let r = 0; r < rows; r++) {
    shader.add(
      `int row${r} = start + (row + ${r}) * ${shader.shared("row step", rowStep / lanes)};`,
      `vec2 line${r} = lineOf(row${r}, sizeX);`,
      `${isInteger ? "ivec4" : "vec4"} sum${r} = ${isInteger ? "ivec4(0)" : "vec4(0.0)"};`,
    );
  }
  const terms: Terms = { x, w, rows, isInteger };
  if (format.bits === 4) multiplyGroups(shader, factors, format.groupSize, terms, builder);
  else multiplySteps(shader, terms);
  parts.forEach((part, r) => {
    shader.store(part, dtype, `sum${r}`);
  });
  const flops = 2 * rows * lanes * tiles * k;
  builder.add(shader.build({ name: "quantized tiles", texels: splits * tiles, flops, grid }));
  return { parts, grid, splits, rowTiles, columnTiles, tiles, isInteger };
}

/** What the loops over k read, and what they add up. */
interface Terms {
  readonly x: string;
  readonly w: string;
  readonly rows: number;
  readonly isInteger: boolean;
}

/** 8 and 7 bits: sums of floats, as long as they are exact, are added to the integers. */
function multiplySteps(shader: ShaderBuilder, { x, w, rows, isInteger }: Terms): void {
  const each = (line: (r: number) => string) => Array.from({ length: rows }, (_, r) => line(r));
  shader.add(
    "at += from * 8;",
    `for (int begin = from; begin < to; begin += ${exactLength / stepLength}) {`,
    `int end = min(begin + ${exactLength / stepLength}, to);`,
    ...each((r) => `vec4 part${r} = vec4(0.0);`),
    "for (int k = begin; k < end; k++) {",
    "vec2 weights = middleOf(at, sizeW);",
    `mat4 b = mat4(${[0, 1, 2, 3].map((j) => `weightTexel(${w}, weights, ${j}, sizeW)`).join(", ")});`,
    "at += 8;",
    ...each((r) => `part${r} += inputTexel(${x}, line${r}, row${r}, k, sizeX) * b;`),
    "}",
    ...each((r) => `sum${r} += ${isInteger ? `ivec4(part${r})` : `part${r}`};`),
    "}",
  );
}

/** 4 bits: the sum of a group is exact, and scaled. */
function multiplyGroups(
  shader: ShaderBuilder,
  factors: QuantizedFactors,
  groupSize: number,
  { x, w, rows }: Terms,
  builder: PassBuilder,
): void {
  const scales = denseScales(factors.scales!, builder);
  const inputScales = factors.inputScales!;
  const each = (line: (r: number) => string) => Array.from({ length: rows }, (_, r) => line(r));
  const [scaleRow, scaleGroup] = inputScales.view.strides.map((stride) => shader.int(stride));
  const four = [0, 1, 2, 3];
  const s = shader.texture(scales.slot, "float32");
  const v = shader.texture(inputScales.slot, "float32");
  shader.add(
    `int length = ${shader.int(groupSize / (2 * stepLength))};`,
    "at += from * length * 8;",
    "int k = from * length * 2;",
    `int firstScale = ${shader.int(scales.view.offset / lanes)} + panel * ${shader.int(scales.view.shape[1])} * 2 + (columnTile & 1);`,
    "for (int group = from; group < to; group++) {",
    ...each((r) => `vec4 part${r} = vec4(0.0);`),
    "for (int i = 0; i < length; i++) {",
    "vec2 weights = middleOf(at, sizeW);",
    ...four.map((j) => `ivec4 bytes${j} = byteTexel(${w}, weights, ${j}, sizeW);`),
    `mat4 low = mat4(${four.map((j) => `vec4((bytes${j} & 15) - 8)`).join(", ")});`,
    `mat4 high = mat4(${four.map((j) => `vec4((bytes${j} >> 4 & 15) - 8)`).join(", ")});`,
    "at += 8;",
    ...each(
      (r) =>
        `part${r} += inputTexel(${x}, line${r}, row${r}, k, sizeX) * low + inputTexel(${x}, line${r}, row${r}, k + 1, sizeX) * high;`,
    ),
    "k += 2;",
    "}",
    `vec4 scale = floatTexel(${s}, firstScale + group * 2);`,
    `int inputScale = ${shader.int(inputScales.view.offset)} + row * ${scaleRow} + group * ${scaleGroup};`,
    ...each((r) => `sum${r} += part${r} * floatAt(${v}, inputScale + ${r} * ${scaleRow}) * scale;`),
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
  const line = 2 ** builder.target.shift;
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

/** Weights of which the rows of half a panel lie on one line of the texture. */
function alignedWeight(weight: Operand, builder: PassBuilder): Operand {
  const { view } = weight;
  const isAligned = view.strides[0] === 1 && view.offset % (lanes * lanes) === 0;
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
  const { parts, grid, splits, rowTiles, columnTiles, tiles, isInteger } = sums;
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
  if (isInteger) shader.include(gridIntegersChunk);
  shader.add(
    `${type} row = ${at(rowAt)};`,
    `${type} column = ${at(columnAt)};`,
    `${type} place = (${at(matrixAt)}) * ${shader.int(rowTiles)} + (row >> 2);`,
    `place = place * ${shader.int(columnTiles)} + (column >> 2);`,
    isInteger ? "ivec4 sum = ivec4(0);" : "vec4 sum = vec4(0.0);",
    `int splits = ${shader.int(splits)};`,
    `int gridWidth = ${shader.int(grid.width)};`,
    "for (int i = 0; i < splits; i++) {",
  );
  const samplers = parts.map((part) => shader.texture(part, isInteger ? "int32" : "float32"));
  const choose = (which: string, fetched: readonly string[]): string =>
    fetched
      .slice(0, -1)
      .reduceRight((others, part, r) => `${which} == ${r} ? ${part} : ${others}`, fetched.at(-1)!);
  if (whole) {
    shader.add(
      `sum += ${choose(
        "(row & 3)",
        samplers.map((part) => `gridTexel(${part}, place, gridWidth)`),
      )};`,
    );
  } else {
    const fetched = samplers.map((part) => `gridTexel(${part}, place[j], gridWidth)[column[j] & 3]`);
    shader.add("for (int j = 0; j < 4; j++) {", `sum[j] += ${choose("(row[j] & 3)", fetched)};`, "}");
  }
  shader.add(`place += ${shader.int(tiles)};`, "}");
  const value = finishSum(shader, walk, names, epilogue, rest, "sum");
  storeInside(shader, walk.quad, names.inside, output, output.slot, value);
  const texels = Math.ceil(slotSize / lanes);
  builder.add(shader.build({ name: "quantized merge", texels, flops: slotSize * splits }));
}
