/**
 * Attention with an online softmax (Milakov and Gimelshein 2018; Dao et al. 2022), without a matrix of scores: a fragment loops over the
 * keys of one row, four at a time, with the running maximum and sums relative to it. Its columns of the result are render targets, in
 * layers of a texture array. For few rows the keys are split into parts, which the last pass combines; if the columns of such a row need several
 * fragments, an earlier pass computes the scores once for all of them.
 */
import partsChunk from "../../../../glsl/attention_parts.glsl";
import weightsChunk from "../../../../glsl/attention_weights.glsl";
import expChunk from "../../../../glsl/exp.glsl";
import { type Shape, sizeOf } from "../../../core/shape.js";
import { rowMajorStrides, type View } from "../../../core/view.js";
import type { AttentionCall, Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import { maskStatement } from "../shader/attention_mask.js";
import { declareSeen, isRagged } from "../shader/attention_visibility.js";
import type { PassBuilder } from "../shader/builder.js";
import {
  declareIteration,
  operandPosition,
  planIteration,
  positionOf,
  type Steps,
  splitIndex,
} from "../shader/iteration.js";
import type { TextureId } from "../shader/pass.js";
import { declareTexels, type Source } from "../shader/product_texels.js";
import type { Emitted } from "../shader/result.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { isStraight } from "./gemv.js";
import { packed } from "./product.js";

/** Up to this many rows, scores that several fragments need are computed in an earlier pass. */
export const gemvMaxRows = 3;
/** Widest query held in registers. */
const widestQuery = 128;
/** Minimum number of render targets: for rows of scores, and for a part's statistics besides its values. */
const fewestTargets = 4;
/** Minimum number of keys of a part. */
const shortestPart = 64;
/** Columns of the render target of scores. */
const scoresWidth = 64;

/**
 * Whether attention by rows is used: the device has the render targets, and no score is computed by several fragments of a row (or
 * lengths are values, so that it is worth it).
 */
export function suitsRows(call: AttentionCall, builder: PassBuilder): boolean {
  const [rows, width] = call.q.view.shape.slice(-2);
  const isReadable = width % lanes === 0 && width <= widestQuery;
  if (!isReadable || builder.target.drawBuffers < fewestTargets) return false;
  return rows <= gemvMaxRows || isRagged(call) || divide(call, builder).chunks === 1;
}

/** Division of the work: keys into parts, columns into chunks of texels. */
interface Division {
  readonly parts: number;
  readonly chunks: number;
  readonly chunkTexels: number;
}

function divide({ q, v, output }: AttentionCall, { target }: PassBuilder): Division {
  const rows = q.view.shape.at(-2)!;
  const [keys, valueWidth] = v.view.shape.slice(-2);
  const texels = Math.ceil(valueWidth / lanes);
  const lines = sizeOf(output.view.shape.slice(0, -2)) * rows;
  const wanted = Math.ceil(target.fragments / lines);
  const parts = Math.max(1, Math.min(wanted, Math.floor(keys / shortestPart)));
  const targets = target.drawBuffers - (parts > 1 ? 1 : 0);
  const chunks = Math.ceil(texels / targets);
  return { parts, chunks, chunkTexels: Math.ceil(texels / chunks) };
}

export function rowsOfAttention(given: AttentionCall, builder: PassBuilder): void {
  const readable = (operand: Operand) =>
    isReadable(operand.view) ? operand : packed(operand, builder, "rows");
  const call = { ...given, q: readable(given.q), k: readable(given.k), v: readable(given.v) };
  const { v, causal, output } = call;
  const batch = output.view.shape.slice(0, -2);
  const [rows, width] = call.q.view.shape.slice(-2);
  const [keys, valueWidth] = v.view.shape.slice(-2);
  const division = divide(call, builder);
  const { parts, chunks, chunkTexels } = division;
  const scores = chunks > 1 && rows <= gemvMaxRows ? storedScores(call, builder) : undefined;
  const perPart = sizeOf(batch) * chunks * rows;
  const layers = chunkTexels + (parts > 1 ? 1 : 0);
  const { id, targetLayout } = builder.layeredScratch(parts * perPart, rows, layers);

  const shader = builder.shader();
  for (const chunk of [expChunk, weightsChunk]) shader.include(chunk);
  shader.add(
    `int part = quotient(t, ${shader.int(perPart)});`,
    `int place = t - part * ${shader.int(perPart)};`,
    `int rows = ${shader.int(rows)};`,
    "int line = quotient(place, rows);",
    "int row = place - line * rows;",
    `int matrix = quotient(line, ${shader.int(chunks)});`,
    `int chunk = line - matrix * ${shader.int(chunks)};`,
  );
  const { start, names } = declareBatch(shader, batch);
  const length = Math.ceil(keys / parts / lanes) * lanes;
  const [, values] = declareTexels(shader, sourceOf(call.k, builder), sourceOf(v, builder));
  shader.add(
    `int firstValue = ((${start(v)}) >> 2) + chunk * ${chunkTexels};`,
    `int valueStep = ${shader.int(stepOf(v))};`,
    `int from = part * ${shader.int(length)};`,
  );
  const ragged = isRagged(call);
  if (ragged) {
    declareSeen(call, shader, names, "row");
    shader.add(`int to = min(from + ${shader.int(length)}, seen);`, "from = max(from, firstSeen & ~3);");
  } else {
    shader.add(
      `int keys = ${shader.int(keys)};`,
      `int to = min(from + ${shader.int(length)}, ${causal ? "min(row + 1, keys)" : "keys"});`,
    );
  }
  const score = scores
    ? [
        `vec4 score = targetTexel(${shader.layers(scores.id)}, ${scoreTexel(shader, keys)}, row, scoresWidth);`,
      ]
    : ownScores(call, shader, start);
  if (scores) shader.add(`int scoresWidth = ${shader.int(scores.width)};`);
  shader.add(
    "float largest = -infinity().x;",
    "float total = 0.0;",
    ...times(chunkTexels, (i) => `vec4 s${i} = vec4(0.0);`),
    "for (int j = from; j < to; j += 4) {",
    // Beyond the last key, the last key is read again, with weight 0.
    "ivec4 at = min(j + ivec4(0, 1, 2, 3), ivec4(to - 1));",
    ...score,
    "score = select(lessThan(j + ivec4(0, 1, 2, 3), ivec4(to)), score, -infinity());",
    ...(ragged
      ? ["score = select(lessThan(j + ivec4(0, 1, 2, 3), ivec4(firstSeen)), -infinity(), score);"]
      : []),
    "vec2 pair = max(score.xy, score.zw);",
    "float before = largest;",
    "largest = max(largest, max(pair.x, pair.y));",
    "float reference = visibleReference(largest);",
    "vec4 weight = exponential(score - reference);",
    "float decay = exponential(vec4(before - reference)).x;",
    "total = total * decay + dot(weight, vec4(1.0));",
    ...times(lanes, (i) => `vec2 value${i} = lineB(firstValue + at[${i}] * valueStep);`),
    ...times(chunkTexels, (d) => {
      const texels = times(lanes, (i) => `texelB(${values}, value${i}, ${d}.0 * scaleB.x)`);
      return `s${d} = s${d} * decay + mat4(${texels.join(", ")}) * weight;`;
    }),
    "}",
  );
  const sums = times(chunkTexels, (d) => `s${d}`);
  if (parts > 1) shader.storeLayers(id, [...sums, "vec4(largest, total, 0.0, 0.0)"]);
  else {
    shader.add("vec4 inverse = inverseOf(total);");
    shader.storeLayers(
      id,
      sums.map((sum) => `${sum} * inverse`),
    );
  }
  const seen = causal ? Math.min(rows, keys) / 2 : keys;
  const flops = 2 * sizeOf(batch) * rows * seen * ((scores ? 0 : width) + valueWidth);
  builder.add(shader.build({ name: "attention rows", texels: parts * perPart, flops, targetLayout }));
  collect(call, id, targetLayout.width, division, builder);
}

/** Statements that declare `score`: the masked scores of the row's query and the keys `at`. */
function ownScores(
  { q, k, mask, scale }: AttentionCall,
  shader: ShaderBuilder,
  start: (operand: Operand) => string,
): string[] {
  const quads = q.view.shape.at(-1)! / lanes;
  const queries = shader.texture(q.slot, "float32");
  const keys = shader.sampler(k.slot, "float32");
  shader.add(
    `int query = ((${start(q)}) >> 2) + row * ${shader.int(stepOf(q))};`,
    `float scale = ${shader.float(scale)};`,
    ...times(quads, (e) => `vec4 q${e} = floatTexel(${queries}, query + ${e}) * scale;`),
    `int firstKey = (${start(k)}) >> 2;`,
    `int keyStep = ${shader.int(stepOf(k))};`,
  );
  const statements = [
    ...times(lanes, (i) => `vec2 key${i} = lineA(firstKey + at[${i}] * keyStep);`),
    "vec4 score = vec4(0.0);",
    ...times(quads, (e) => {
      const texels = times(lanes, (i) => `texelA(${keys}, key${i}, ${e}.0 * scaleA.x)`);
      return `score += q${e} * mat4(${texels.join(", ")});`;
    }),
  ];
  if (!mask) return statements;
  shader.add(`int firstMask = ${start(mask)} + row * ${shader.int(mask.view.strides.at(-2)!)};`);
  return [...statements, maskStatement(mask, shader)];
}

/** A pass for the scores of few rows, one layer per row, in texels of four keys. */
function storedScores(
  call: AttentionCall,
  builder: PassBuilder,
): { readonly id: TextureId; readonly width: number } {
  const { q, k, mask, scale, output } = call;
  const batch = output.view.shape.slice(0, -2);
  const [rows, width] = q.view.shape.slice(-2);
  const keys = k.view.shape.at(-2)!;
  const texels = sizeOf(batch) * Math.ceil(keys / lanes);
  const { id, targetLayout } = builder.layeredScratch(texels, scoresWidth, rows);
  const shader = builder.shader();
  const quads = shader.int(Math.ceil(keys / lanes));
  shader.add(`int matrix = quotient(t, ${quads});`, `int j = (t - matrix * ${quads}) << 2;`);
  const { start, names } = declareBatch(shader, batch);
  if (isRagged(call)) {
    // From the first key of the first row to the last key of the last row; texels that no row sees are skipped.
    declareSeen(call, shader, names, shader.int(rows - 1));
    shader.add(
      `int width = j < seen && j + ${shader.int(rows + 2)} >= firstSeen ? ${shader.int(width / lanes)} : 0;`,
      "ivec4 at = min(j + ivec4(0, 1, 2, 3), ivec4(max(seen - 1, 0)));",
    );
  } else {
    shader.add(
      `int width = ${shader.int(width / lanes)};`,
      `ivec4 at = min(j + ivec4(0, 1, 2, 3), ivec4(${shader.int(keys - 1)}));`,
    );
  }
  const queries = shader.texture(q.slot, "float32");
  const [texture] = declareTexels(shader, sourceOf(k, builder), sourceOf(k, builder));
  shader.add(
    `int query = (${start(q)}) >> 2;`,
    `int queryStep = ${shader.int(stepOf(q))};`,
    `int firstKey = (${start(k)}) >> 2;`,
    `int keyStep = ${shader.int(stepOf(k))};`,
    ...times(lanes, (i) => `vec2 key${i} = lineA(firstKey + at[${i}] * keyStep);`),
    ...times(rows, (i) => `vec4 score${i} = vec4(0.0);`),
    "for (int e = 0; e < width; e++) {",
    `mat4 y = mat4(${times(lanes, (i) => `texelA(${texture}, key${i}, float(e) * scaleA.x)`).join(", ")});`,
    ...times(rows, (i) => `score${i} += floatTexel(${queries}, query + ${i} * queryStep + e) * y;`),
    "}",
    `float scale = ${shader.float(scale)};`,
  );
  const maskStart = mask && start(mask);
  const maskStep = mask && shader.int(mask.view.strides.at(-2)!);
  const scores = times(rows, (i) =>
    shader.block("vec4", () => {
      shader.add(`vec4 score = score${i} * scale;`);
      if (mask) shader.add(`int firstMask = ${maskStart} + ${i} * ${maskStep};`, maskStatement(mask, shader));
      return "score";
    }),
  );
  shader.storeLayers(id, scores);
  const flops = 2 * sizeOf(batch) * rows * keys * width;
  builder.add(shader.build({ name: "attention scores", texels, flops, targetLayout }));
  return { id, width: targetLayout.width };
}

/** Splits `matrix` into the indices of the batch; returns their names, and a function for an operand's first element there. */
function declareBatch(shader: ShaderBuilder, batch: Shape) {
  splitIndex(shader, "int", "matrix", batch.length > 0 ? batch : [1], "b");
  const names = batch.map((_, d) => `b${d}`);
  const start = ({ view: { strides, offset } }: Operand): string =>
    positionOf(shader, { strides: strides.slice(0, -2), offset }, names, "int");
  return { start, names };
}

/** The rows of an operand, each of which may be within one row of its texture. */
function sourceOf(operand: Operand, builder: PassBuilder): Source {
  const isOnLine = isStraight({ operand, order: "rows" }, "columns", builder);
  return { slot: operand.slot, span: isOnLine ? operand.view.strides.at(-2)! / lanes : undefined };
}

/** Texels from row to row. */
function stepOf({ view: { shape, strides } }: Operand): number {
  return shape.at(-2) === 1 ? 0 : strides.at(-2)! / lanes;
}

function scoreTexel(shader: ShaderBuilder, keys: number): string {
  return `matrix * ${shader.int(Math.ceil(keys / lanes))} + (j >> 2)`;
}

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

/** Whether rows consist of whole texels. */
function isReadable({ shape, strides, offset }: View): boolean {
  const last = shape.length - 1;
  const isAligned = strides.every((stride, d) => d === last || shape[d] === 1 || stride % lanes === 0);
  return strides[last] === 1 && offset % lanes === 0 && isAligned;
}

/** Writes the columns to the output, combining the parts of each row. */
function collect(
  { output, q }: AttentionCall,
  sums: TextureId,
  targetWidth: number,
  { parts, chunks, chunkTexels }: Division,
  builder: PassBuilder,
): void {
  const { shape } = output.view;
  const rank = shape.length;
  const rows = q.view.shape[rank - 2];
  const slotSize = builder.sizeOf(output.slot);
  const along = (dim: number): Steps => ({ strides: shape.map((_, d) => Number(d === dim)), offset: 0 });
  const matrix: Steps = { strides: [...rowMajorStrides(shape.slice(0, -2)), 0, 0], offset: 0 };
  const planned = planIteration(output.view, slotSize, [matrix, along(rank - 2), along(rank - 1)]);
  // Texels of the output are texels of a target if they lie along the columns.
  const iteration = { ...planned, quad: planned.quad && planned.operands[2].strides.at(-1) === 1 };
  const emit = (shader: ShaderBuilder): Emitted => {
    const names = declareIteration(shader, iteration);
    const [matrixAt, rowAt, columnAt] = iteration.operands.map((steps) =>
      operandPosition(shader, iteration, names, steps),
    );
    const { type } = names;
    const perPart = sizeOf(shape.slice(0, -2)) * chunks * rows;
    shader.add(
      `${type} column = ${columnAt};`,
      `${type} chunk = quotient(column >> 2, ${shader.int(chunkTexels)});`,
      `${type} layer = (column >> 2) - chunk * ${shader.int(chunkTexels)};`,
      `${type} place = ((${matrixAt}) * ${shader.int(chunks)} + chunk) * ${shader.int(rows)} + ${rowAt};`,
      `int targetWidth = ${shader.int(targetWidth)};`,
    );
    const sampler = shader.layers(sums);
    if (parts > 1) for (const chunk of [expChunk, weightsChunk, partsChunk]) shader.include(chunk);
    const joined = `${shader.int(perPart)}, ${shader.int(parts)}`;
    const texel = (at: string, layer: string) =>
      parts === 1
        ? `targetTexel(${sampler}, ${at}, ${layer}, targetWidth)`
        : `joinedParts(${sampler}, ${at}, ${joined}, ${layer}, ${chunkTexels}, targetWidth)`;
    if (iteration.quad) shader.add(`vec4 result = ${texel("place", "layer")};`);
    else {
      shader.add(
        "vec4 result;",
        "for (int j = 0; j < 4; j++) {",
        `result[j] = ${texel("place[j]", "layer[j]")}[column[j] & 3];`,
        "}",
      );
    }
    return { value: "result", quad: iteration.quad, inside: names.inside };
  };
  builder.defer({ name: "attention merge", output, whole: iteration.full, flops: slotSize * parts, emit });
}
