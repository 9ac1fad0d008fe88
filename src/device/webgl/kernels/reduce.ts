/**
 * reduce: a tree of passes. Each fragment reduces a chunk of elements; the first pass also evaluates the expression. Chunks are short, so
 * that float32 sums stay accurate. The four lanes are four outputs, or, if the reduced elements are contiguous in memory, each lane
 * reduces every fourth element of one output, and the lanes are combined at the end.
 */
import extremesChunk from "../../../../glsl/extremes.glsl";
import type { DType } from "../../../core/dtype.js";
import { type Shape, sizeOf } from "../../../core/shape.js";
import { denseInOrder, memoryOrder } from "../../../core/view.js";
import type { Expression, Operand, ReduceCall, ReduceOp } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import { emitExpression, type Sources } from "../shader/expression.js";
import {
  declareIteration,
  operandPosition,
  planIteration,
  type Steps,
  splitIndex,
} from "../shader/iteration.js";
import type { Emitted } from "../shader/result.js";
import { type ShaderBuilder, vectorOf } from "../shader/shader.js";
import { loadAt, sourceSteps } from "./map.js";

/** Minimum and maximum number of elements that one lane reduces. */
const shortestChunk = 64;
const longestChunk = 512;
/** From this length on, all four lanes reduce one row. */
const shortestRow = 8;

/** One level of the tree. Steps and strides are per operand: those of sourceSteps. */
interface Level {
  readonly op: ReduceOp;
  readonly inputs: readonly Operand[];
  readonly expression: Expression;
  /** Over the dimensions of the output's view. */
  readonly outer: readonly Steps[];
  /** The reduced dimensions, joined where possible. */
  readonly extents: Shape;
  readonly along: readonly (readonly number[])[];
  /** The operand that is the index of inputs[0] in an arg-reduction; at the first level the index is the position. */
  readonly indices?: number;
  readonly shape: Shape;
}

export function prepareReduce(call: ReduceCall, builder: PassBuilder): void {
  const { op, shape, axes, inputs, expression, output } = call;
  if (sizeOf(output.view.shape) === 0) return;
  const operands = sourceSteps(expression, inputs, shape);
  const order = [...axes].sort((a, b) => strideAt(inputs, b) - strideAt(inputs, a) || a - b);
  const extents = order.map((d) => shape[d]);
  const along = operands.map(({ strides }) => order.map((d) => strides[d]));
  joinDimensions(extents, along);
  reduceLevel({ op, inputs, expression, outer: operands, extents, along, shape }, output, builder);
}

function strideAt(inputs: readonly Operand[], d: number): number {
  return inputs.length > 0 ? Math.abs(inputs[0].view.strides[d]) : 0;
}

/** Coalesces dimensions: drops extents of 1 and joins those that one stride covers in every operand. At least one is left. */
function joinDimensions(extents: number[], along: number[][]): void {
  for (let d = extents.length - 1; d >= 0; d--) {
    const inner = d + 1;
    if (extents[d] === 1 && extents.length > 1) {
      extents.splice(d, 1);
      for (const strides of along) strides.splice(d, 1);
    } else if (
      inner < extents.length &&
      along.every((strides) => strides[d] === strides[inner] * extents[inner])
    ) {
      extents.splice(d, 2, extents[d] * extents[inner]);
      for (const strides of along) strides.splice(d, 1);
    }
  }
}

function reduceLevel(level: Level, output: Operand, builder: PassBuilder): void {
  const { extents, op, expression } = level;
  const length = sizeOf(extents);
  const count = sizeOf(output.view.shape);
  const whole = planIteration(output.view, builder.sizeOf(output.slot), []).full;
  const byRows = !isArg(level) && isContiguous(level);
  const width = byRows ? lanes : 1;
  const rowTexels = byRows ? count / lanes : Math.ceil(count / lanes);
  // Partial arg-reductions have two results.
  const isWhole = isArg(level) && builder.target.drawBuffers < 2;
  const chunks = isWhole ? 1 : chunkCount(length, width, rowTexels, builder);
  if (chunks === 1 && (whole || !byRows)) {
    lastLevel(level, output, byRows, builder);
    return;
  }
  // Partial results are ordered by chunk, then by the memory order of the outputs.
  const pitch = byRows ? count : Math.ceil(count / lanes) * lanes;
  const view = denseInOrder(output.view.shape, memoryOrder(output.view));
  const valueType = expression.instructions[expression.results[0]].dtype;
  const values: Operand = { slot: builder.scratch(valueType, chunks * pitch, true), dtype: valueType, view };
  const numbers: Operand | undefined = isArg(level)
    ? { slot: builder.scratch("int32", chunks * pitch), dtype: "int32", view }
    : undefined;
  const chunkLength = Math.ceil(length / chunks / width) * width;
  levelPass(level, values, { chunks, pitch, length: chunkLength, numbers }, byRows, builder);
  const inputs = numbers ? [values, numbers] : [values];
  reduceLevel(
    {
      op,
      inputs,
      expression: { instructions: [{ op: "load", dtype: valueType, args: [], index: 0 }], results: [0] },
      outer: inputs.map(() => view),
      extents: [chunks],
      along: inputs.map(() => [pitch]),
      indices: numbers ? 1 : undefined,
      shape: [chunks],
    },
    output,
    builder,
  );
}

/** Whether the inputs are contiguous along the innermost reduced dimension. */
function isContiguous({ extents, along, inputs }: Level): boolean {
  const last = extents.length - 1;
  if (last < 0 || sizeOf(extents) < shortestRow) return false;
  if (last > 0 && extents[last] % lanes !== 0) return false;
  return inputs.some((_, k) => along[k][last] === 1) || inputs.length === 0;
}

function chunkCount(length: number, width: number, texels: number, { target }: PassBuilder): number {
  const most = Math.floor(length / (shortestChunk * width));
  const least = Math.ceil(length / (longestChunk * width));
  return Math.max(1, least, Math.min(most, Math.ceil(target.fragments / Math.max(texels, 1))));
}

interface Chunks {
  readonly chunks: number;
  /** Distance in elements between the results of chunks. */
  readonly pitch: number;
  /** Reduced elements per chunk. */
  readonly length: number;
  readonly numbers: Operand | undefined;
}

/** A pass before the last one: its results, ordered by chunk, are in scratch textures. */
function levelPass(
  level: Level,
  output: Operand,
  chunked: Chunks,
  byRows: boolean,
  builder: PassBuilder,
): void {
  const shader = builder.shader();
  const { value, chosen } = emitLevel(shader, level, output, chunked, byRows, builder);
  shader.store(output.slot, output.dtype, value);
  if (chunked.numbers) shader.store(chunked.numbers.slot, "int32", chosen);
  const texels = Math.ceil(builder.sizeOf(output.slot) / lanes);
  builder.add(shader.build({ name: `reduce ${level.op}`, texels, flops: flopsOf(level, output) }));
}

function lastLevel(level: Level, output: Operand, byRows: boolean, builder: PassBuilder): void {
  builder.defer({
    name: `reduce ${level.op}`,
    output,
    whole: planIteration(output.view, builder.sizeOf(output.slot), []).full,
    flops: flopsOf(level, output),
    emit(shader) {
      const { chosen, value, ...where } = emitLevel(shader, level, output, undefined, byRows, builder);
      return { value: isArg(level) ? chosen : value, ...where };
    },
  });
}

function flopsOf({ extents, expression }: Level, { view }: Operand): number {
  return sizeOf(view.shape) * sizeOf(extents) * expression.instructions.length;
}

function isArg({ op }: Level): boolean {
  return op === "argmax" || op === "argmin";
}

interface LevelEmitted extends Emitted {
  /** The index of the value in an arg-reduction. */
  readonly chosen: string;
}

function emitLevel(
  shader: ShaderBuilder,
  level: Level,
  output: Operand,
  chunked: Chunks | undefined,
  byRows: boolean,
  builder: PassBuilder,
): LevelEmitted {
  const { op, expression, extents, outer } = level;
  const length = sizeOf(extents);
  const size = sizeOf(output.view.shape);
  const planned = planIteration(output.view, chunked ? size : builder.sizeOf(output.slot), outer);
  const valueType = expression.instructions[expression.results[0]].dtype;
  const vector = vectorOf(valueType);
  shader.add(`int length = ${shader.int(length)};`, "int from = 0;", "int to = length;");

  if (byRows) {
    const scalar = vector === "vec4" ? "float" : "int";
    shader.add(`${vector} result;`, "for (int j = 0; j < 4; j++) {", "int element = e + j;");
    if (chunked) startChunk(shader, "element", shader.int(size), chunked);
    const iteration = { ...planned, quad: true };
    const names = declareIteration(shader, iteration, "element");
    shader.add(`${vector} best = ${vector}(${identityOf(shader, op, valueType)});`);
    const bases = declareBases(
      shader,
      level,
      (k) => operandPosition(shader, iteration, names, iteration.operands[k]),
      "int",
    );
    shader.add("for (int r = from; r < to; r += 4) {");
    const value = emitTerm(shader, level, bases, iteration.operands, true);
    const isWhole = length % lanes === 0 && (chunked === undefined || chunked.length % lanes === 0);
    const rest = isWhole
      ? value
      : `select(lessThan(r + ivec4(0, 1, 2, 3), ivec4(to)), ${value}, ${vector}(${identityOf(shader, op, valueType)}))`;
    shader.add(`best = ${combine(shader, op, valueType, "best", rest)};`, "}");
    shader.add(`best = ${combine(shader, op, valueType, "best", "best.zwxy")};`);
    shader.add(`best = ${combine(shader, op, valueType, "best", "best.yxwz")};`);
    shader.add(`result[j] = ${scalar}(best.x);`, "}");
    return { value: "result", chosen: "", quad: true, inside: undefined };
  }
  // The last level has a single chunk, so that all levels share a program.
  const pitch = Math.ceil(size / lanes) * lanes;
  const isWhole = planned.full && planned.quad && !isArg(level) && length > 0;
  const parts = chunked ?? (isWhole ? { chunks: 1, pitch, length, numbers: undefined } : undefined);
  if (parts) {
    startChunk(shader, "t", shader.int(parts.pitch / lanes), parts);
    shader.add("int first = element << 2;");
  }
  const { quad, operands } = planned;
  const names = declareIteration(shader, planned, parts ? "first" : "e");
  shader.add(`${vector} best = ${vector}(${identityOf(shader, op, valueType)});`);
  if (isArg(level)) shader.add("ivec4 chosen = ivec4(-1);");
  const bases = declareBases(
    shader,
    level,
    (k) => operandPosition(shader, planned, names, operands[k]),
    names.type,
  );
  shader.add("for (int r = from; r < to; r++) {");
  const value = emitTerm(shader, level, bases, operands, false, quad);
  if (isArg(level)) emitChoice(shader, level, value, bases, operands, quad);
  else shader.add(`best = ${combine(shader, op, valueType, "best", value)};`);
  shader.add("}");
  const isEmptyInteger = length === 0 && valueType === "int32";
  return {
    value: isEmptyInteger ? emptyInteger(op) : "best",
    chosen: "chosen",
    quad,
    inside: names.inside,
  };
}

/** Initial value of int32 extremes, which have no infinities. */
function emptyInteger(op: ReduceOp): string {
  return op === "prod" ? "ivec4(1)" : "ivec4(0)";
}

/** Divides `number` by `period` into the chunk and the `element` in it, and sets the chunk's bounds. */
function startChunk(shader: ShaderBuilder, number: string, period: string, { length }: Chunks): void {
  const element = number === "element" ? "element" : "int element";
  shader.add(
    `int chunk = quotient(${number}, ${period});`,
    `${element} = ${number} - chunk * ${period};`,
    `from = chunk * ${shader.int(length)};`,
    `to = min(from + ${shader.int(length)}, length);`,
  );
}

type Bases = readonly (string | undefined)[];

/** Positions of the first reduced element, computed before the loop. */
function declareBases(
  shader: ShaderBuilder,
  { inputs, expression, indices, shape }: Level,
  position: (k: number) => string,
  type: "int" | "ivec4",
): Bases {
  const used = new Set<number>();
  for (const { op, index } of expression.instructions) {
    if (op === "load") used.add(index!);
    if (op === "iota") used.add(inputs.length + 1 + index!);
    if (op === "uniform") used.add(inputs.length);
  }
  if (indices !== undefined) used.add(indices);
  return Array.from({ length: inputs.length + 1 + shape.length }, (_, k) => {
    if (!used.has(k)) return undefined;
    shader.add(`${type} base${k} = ${position(k)};`);
    return `base${k}`;
  });
}

/** Adds the statements that compute the term at r; the lanes are along the reduced dimension or along the outputs. */
function emitTerm(
  shader: ShaderBuilder,
  level: Level,
  bases: Bases,
  outer: readonly Steps[],
  byRows: boolean,
  quad = true,
): string {
  const { inputs, along, extents, expression } = level;
  splitIndex(shader, "int", "r", extents, "j");
  const positionOf = (k: number) => reducedPosition(shader, bases[k]!, along[k]);
  const stepsOf = (k: number): Steps =>
    byRows
      ? { strides: [...outer[k].strides, ...along[k]], offset: outer[k].offset }
      : { strides: [...along[k], ...outer[k].strides], offset: outer[k].offset };
  const vectorAt = (k: number) => {
    if (!quad) return positionOf(k);
    const { strides } = stepsOf(k);
    return `${positionOf(k)} + ${shader.int(strides[strides.length - 1])} * ivec4(0, 1, 2, 3)`;
  };
  const sources: Sources = {
    load: (index) => loadAt(shader, { quad }, inputs[index], stepsOf(index), () => positionOf(index)),
    iota: (dim) => vectorAt(inputs.length + 1 + dim),
    uniform: () => {
      throw new Error("webgl: random numbers are written before they are reduced");
    },
  };
  return emitExpression(shader, expression, sources)[0];
}

function reducedPosition(shader: ShaderBuilder, base: string, strides: readonly number[]): string {
  const terms = strides.flatMap((stride, d) =>
    stride === 0 ? [] : [stride === 1 ? `j${d}` : `j${d} * ${shader.int(stride)}`],
  );
  return [base, ...terms].join(" + ");
}

function identityOf(shader: ShaderBuilder, op: ReduceOp, dtype: DType): string {
  if (op === "sum") return dtype === "float32" ? "0.0" : "0";
  if (op === "prod") return dtype === "float32" ? "1.0" : "1";
  const isLeast = op === "max" || op === "argmax";
  if (dtype === "float32") return shader.float(isLeast ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY);
  return isLeast ? "1 << 31" : "0x7fffffff";
}

function combine(shader: ShaderBuilder, op: ReduceOp, dtype: DType, a: string, b: string): string {
  switch (op) {
    case "sum":
      return `${a} + ${b}`;
    case "prod":
      return `${a} * ${b}`;
    default:
      if (dtype === "float32") shader.include(extremesChunk);
      if (dtype === "float32") return `${op === "max" ? "maximum" : "minimum"}(${a}, ${b})`;
      return `${op}(${a}, ${b})`;
  }
}

/** NaN beats every number, and the first of equal values stays. */
function emitChoice(
  shader: ShaderBuilder,
  { op, inputs, indices, along, expression }: Level,
  value: string,
  bases: Bases,
  outer: readonly Steps[],
  quad: boolean,
): void {
  const isFloat = expression.instructions[expression.results[0]].dtype === "float32";
  const beats = `${op === "argmax" ? "greaterThan" : "lessThan"}(${value}, best)`;
  shader.add(`bvec4 better = either(equal(chosen, ivec4(-1)), ${beats});`);
  if (isFloat) {
    shader.add(`better = either(better, isNotNumber(${value}));`);
    shader.add("better = both(better, either(equal(chosen, ivec4(-1)), not(isNotNumber(best))));");
  }
  let index = "ivec4(r)";
  if (indices !== undefined) {
    const steps = { strides: [...along[indices], ...outer[indices].strides], offset: outer[indices].offset };
    index = loadAt(shader, { quad }, inputs[indices], steps, () =>
      reducedPosition(shader, bases[indices]!, along[indices]),
    );
  }
  shader.add(`best = select(better, ${value}, best);`, `chosen = select(better, ${index}, chosen);`);
}
