/**
 * Attention of many rows as two tiled products: the softmax reads the scores in the tile layout of the first product and writes weights
 * in the layout that the second product reads. Tiles above the causal diagonal are skipped.
 */
import weightsChunk from "../../../../glsl/attention_weights.glsl";
import expChunk from "../../../../glsl/exp.glsl";
import { sizeOf } from "../../../core/shape.js";
import { rowMajorStrides } from "../../../core/view.js";
import type { AttentionCall, MatmulCall, Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import { maskStatement } from "../shader/attention_mask.js";
import type { PassBuilder } from "../shader/builder.js";
import { positionOf, splitIndex } from "../shader/iteration.js";
import type { ShaderBuilder } from "../shader/shader.js";
import {
  longestSum,
  pitchFor,
  suitsTiles,
  type TileSums,
  tiledProduct,
  tileSums,
  transposed,
} from "./product.js";

/** Columns of the render target of the rows' statistics. */
const statisticsWidth = 64;
/** Approximate operations per score, including the exponential, for the splitting of long draws. */
const operationsPerScore = 40;

function scoresOf({ q, k, output }: AttentionCall): MatmulCall {
  const shape = [...output.view.shape.slice(0, -1), k.view.shape.at(-2)!];
  const scores: Operand = {
    slot: -1,
    dtype: "float32",
    view: { shape, strides: rowMajorStrides(shape), offset: 0 },
  };
  return { kernel: "matmul", a: q, b: transposed(k), output: scores };
}

/** Whether both products are tiled, and the sums of scores are not split. */
export function suitsTileAttention(call: AttentionCall, builder: PassBuilder): boolean {
  const scores = scoresOf(call);
  const values: MatmulCall = { kernel: "matmul", a: scores.output, b: call.v, output: call.output };
  const isShort = call.q.view.shape.at(-1)! <= longestSum;
  return isShort && suitsTiles(scores, builder) && suitsTiles(values, builder);
}

export function tilesOfAttention(call: AttentionCall, builder: PassBuilder): void {
  const { v, causal, output } = call;
  const product = scoresOf(call);
  const { shape } = product.output.view;
  const [rows, keys] = shape.slice(-2);
  const batch = shape.slice(0, -2);
  const scores = tileSums(product, builder, { triangle: causal ? "columns" : undefined, whole: true });

  // Per row: the maximum score, and the reciprocal of the sum of weights relative to it.
  const lines = sizeOf(batch) * rows;
  const { id: statistics, targetLayout } = builder.layeredScratch(lines, statisticsWidth, 1);
  const folding = builder.shader();
  folding.add(`int line = min(t, ${folding.int(lines - 1)});`);
  declareRow(call, scores, folding);
  folding.add(
    "float largest = -infinity().x;",
    "float total = 0.0;",
    "for (int j = 0; j < seen; j += 4) {",
    ...scoreStatements(call, scores, folding),
    "vec2 pair = max(score.xy, score.zw);",
    "float before = largest;",
    "largest = max(largest, max(pair.x, pair.y));",
    "float reference = visibleReference(largest);",
    "vec4 weight = exponential(score - reference);",
    "total = total * exponential(vec4(before - reference)).x + dot(weight, vec4(1.0));",
    "}",
  );
  folding.storeLayers(statistics, ["vec4(visibleReference(largest), inverseOf(total).x, 0.0, 0.0)"]);
  const flops = operationsPerScore * sizeOf(shape);
  builder.add(folding.build({ name: "attention statistics", texels: lines, flops, targetLayout }));

  const pitch = pitchFor(keys, builder);
  const slot = builder.scratch("float32", lines * pitch);
  const weighing = builder.shader();
  weighing.add(
    `int pitch = ${weighing.int(pitch / lanes)};`,
    "int line = quotient(t, pitch);",
    "int j = (t - line * pitch) << 2;",
  );
  declareRow(call, scores, weighing);
  weighing.add(
    "vec4 weight = vec4(0.0);",
    "if (j < seen) {",
    `vec4 own = targetTexel(${weighing.layers(statistics)}, line, 0, ${weighing.int(targetLayout.width)});`,
    ...scoreStatements(call, scores, weighing),
    "weight = exponential(score - own.x) * own.y;",
    "}",
  );
  weighing.store(slot, "float32", "weight");
  const texels = (lines * pitch) / lanes;
  builder.add(weighing.build({ name: "attention weights", texels, flops }));

  const strides = [...rowMajorStrides([...batch, rows]).map((stride) => stride * pitch), 1];
  const weights: Operand = { slot, dtype: "float32", view: { shape, strides, offset: 0 } };
  const triangle = causal ? "terms" : undefined;
  tiledProduct({ kernel: "matmul", a: weights, b: v, output }, builder, { triangle });
}

/** Declares for row `line` of all batches: the range of visible keys, and the positions of its scores and its mask. */
function declareRow(
  { k, q, mask, output, causal }: AttentionCall,
  { targetLayout }: TileSums,
  shader: ShaderBuilder,
): void {
  for (const chunk of [expChunk, weightsChunk]) shader.include(chunk);
  const batch = output.view.shape.slice(0, -2);
  const [rows, keys] = [q.view.shape.at(-2)!, k.view.shape.at(-2)!];
  const { layers: tile } = targetLayout;
  const [mTiles, nTiles] = [Math.ceil(rows / tile), Math.ceil(keys / lanes)];
  shader.add(
    `int matrix = quotient(line, ${shader.int(rows)});`,
    `int row = line - matrix * ${shader.int(rows)};`,
    `int seen = ${causal ? `min(row + 1, ${shader.int(keys)})` : shader.int(keys)};`,
    `int first = (matrix * ${shader.int(mTiles)} + (row >> ${Math.log2(tile)})) * ${shader.int(nTiles)};`,
    `int layer = row & ${tile - 1};`,
    `int targetWidth = ${shader.int(targetLayout.width)};`,
  );
  if (!mask) return;
  splitIndex(shader, "int", "matrix", batch.length > 0 ? batch : [1], "b");
  const { strides, offset } = mask.view;
  const names = batch.map((_, d) => `b${d}`);
  const start = positionOf(shader, { strides: strides.slice(0, -2), offset }, names, "int");
  shader.add(`int firstMask = ${start} + row * ${shader.int(strides.at(-2)!)};`);
}

/** Declares `score`, of keys j to j + 3. */
function scoreStatements(
  { mask, scale }: AttentionCall,
  { parts }: TileSums,
  shader: ShaderBuilder,
): string[] {
  const statements = [
    `vec4 score = targetTexel(${shader.layers(parts)}, first + (j >> 2), layer, targetWidth) * ${shader.float(scale)};`,
  ];
  if (mask) {
    statements.push("ivec4 at = min(j + ivec4(0, 1, 2, 3), ivec4(seen - 1));", maskStatement(mask, shader));
  }
  statements.push("score = select(lessThan(j + ivec4(0, 1, 2, 3), ivec4(seen)), score, -infinity());");
  return statements;
}
