/**
 * GEMV: products of one to three rows with a large matrix, as in decoding (a single column is a row of the transposed product). The time
 * is that of reading the matrix, so each texel is fetched once, for all rows. A fragment computes four columns over a part of k, and a
 * second pass adds the parts.
 */
import axpyLoop from "../../../../glsl/gemv_axpy.glsl";
import dotLoop from "../../../../glsl/gemv_dot.glsl";
import { sizeOf } from "../../../core/shape.js";
import { rowMajorStrides, type View } from "../../../core/view.js";
import type { MatmulCall, Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
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
import type { Order } from "../shader/product_loop.js";
import { includeTexels, texelOf } from "../shader/product_texels.js";
import type { Emitted } from "../shader/result.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { type Factor, packed, transposed } from "./product.js";

/** Maximum number of rows; more are tiled (product.ts). */
const mostRows = 3;
/** Minimum multiplications: below, two passes cost more than one that fetches element by element. */
const leastWork = 16384;
/** With fewer fragments than this, k is split if the parts are long enough; measured on software rasterizers. */
const wantedFragments = 4096;
const shortestPart = 64;
/** Width of the render targets, so that vertical neighbours also read nearby texels. */
const targetWidth = 128;
/** Longest sum in one accumulator. */
const longestSum = 4096;

/** Form by the matrix's layout: [n, k] is `dot` (texels have four k), [k, n] is `axpy`; undefined for others. */
function formOf({ shape, strides, offset }: View): "dot" | "axpy" | undefined {
  const rank = shape.length;
  const isAligned = (contiguous: number) =>
    offset % lanes === 0 &&
    strides.every((stride, d) => (d === contiguous ? stride === 1 : shape[d] === 1 || stride % lanes === 0));
  if (isAligned(rank - 2)) return "dot";
  return isAligned(rank - 1) ? "axpy" : undefined;
}

/** The call as a GEMV, if it has few rows and enough work and its matrix can be read by texels. */
export function asGemv(call: MatmulCall, { target }: PassBuilder): MatmulCall | undefined {
  const [m, n] = call.output.view.shape.slice(-2);
  const rows = m <= mostRows ? call : n <= mostRows ? exchanged(call) : undefined;
  if (rows === undefined) return undefined;
  const k = rows.b.view.shape.at(-2)!;
  const isLarge = sizeOf(rows.output.view.shape) * k >= leastWork;
  const form = formOf(rows.b.view);
  // Rows of texels with four k must be whole texels.
  const isWhole = form === "axpy" || k % lanes === 0;
  return isLarge && target.drawBuffers >= mostRows && form && isWhole ? rows : undefined;
}

/** (A · B)ᵀ = Bᵀ · Aᵀ. */
function exchanged({ a, b, output, ...rest }: MatmulCall): MatmulCall {
  return {
    ...rest,
    a: transposed(b),
    b: transposed(a),
    output: transposed(output),
  };
}

/** Layout of the partial sums in the render targets, one target per row. */
interface Parts {
  readonly targets: readonly TextureId[];
  /** Width of the targets. */
  readonly width: number;
  readonly count: number;
  /** From one matrix, from four columns to the next four, and from part to part, in texels. */
  readonly steps: { readonly matrix: number; readonly column: number; readonly part: number };
}

export function gemv(call: MatmulCall, builder: PassBuilder): void {
  const { b, output } = call;
  const rank = output.view.shape.length;
  const [m, n] = output.view.shape.slice(-2);
  const k = b.view.shape[rank - 2];
  const form = formOf(b.view)!;
  const a = isReadable(call.a.view) ? call.a : packed(call.a, builder, "rows");
  const batch = output.view.shape.slice(0, -2);
  const nTexels = Math.ceil(n / lanes);
  const count = partCount(k, sizeOf(batch) * nTexels);
  // Neighbouring fragments read neighbouring texels: along k for `dot`, along n for `axpy`.
  const steps =
    form === "dot"
      ? { matrix: nTexels * count, column: count, part: 1 }
      : { matrix: nTexels * count, column: 1, part: nTexels };
  const quads = Math.floor(k / lanes);
  const length = Math.ceil(quads / count);
  const texels = sizeOf(batch) * nTexels * count;
  const targetLayout = builder.targetLayout(texels, targetWidth);
  const targets = Array.from({ length: m }, () => builder.targetScratch(targetLayout));

  const shader = builder.shader();
  shader.include(`#define ROWS ${m}`);
  const order = form === "dot" ? "columns" : "rows";
  includeTexels(shader, a, b, [
    isStraight({ operand: a, order: "rows" }, "columns", builder),
    isStraight({ operand: b, order }, "rows", builder),
  ]);
  shader.include(form === "dot" ? dotLoop : axpyLoop);
  shader.add(
    `int matrix = quotient(t, ${shader.int(steps.matrix)});`,
    `int place = t - matrix * ${shader.int(steps.matrix)};`,
  );
  const [outer, inner, extent] = steps.part === 1 ? ["column", "part", count] : ["part", "column", nTexels];
  shader.add(
    `int ${outer} = quotient(place, ${shader.int(extent)});`,
    `int ${inner} = place - ${outer} * ${shader.int(extent)};`,
  );
  splitIndex(shader, "int", "matrix", batch.length > 0 ? batch : [1], "b");
  const names = batch.map((_, d) => `b${d}`);
  const start = ({ view }: Operand) =>
    positionOf(shader, { strides: view.strides.slice(0, -2), offset: view.offset }, names, "int");
  const stepOf = (stride: number) => shader.int(stride / lanes);
  shader.add(
    `ivec3 rows = ((${start(a)}) >> 2) + ivec3(0, 1, 2) * ${stepOf(m === 1 ? 0 : a.view.strides[rank - 2])};`,
    `int startB = (${start(b)}) >> 2;`,
    form === "dot"
      ? `ivec4 columns = startB + ((column << 2) + ivec4(0, 1, 2, 3)) * ${stepOf(n === 1 ? 0 : b.view.strides[rank - 1])};`
      : "ivec4 columns = ivec4(startB + column);",
    `int stepB = ${form === "dot" ? "0" : stepOf(b.view.strides[rank - 2])};`,
    `int all = ${shader.int(quads)};`,
  );
  if (steps.part === 1) shader.add("int from = part;", "int to = all;", `int by = ${shader.int(count)};`);
  else {
    const step = shader.int(length);
    shader.add(`int from = part * ${step};`, `int to = min(from + ${step}, all);`, "int by = 1;");
  }
  shader.add("vec4 s0 = vec4(0.0);", "vec4 s1 = vec4(0.0);", "vec4 s2 = vec4(0.0);");
  const [textureA, textureB] = [a, b].map(({ slot, dtype }) => shader.texture(slot, dtype));
  shader.add(`multiply(${textureA}, rows, ${textureB}, columns, stepB, from, to, by, s0, s1, s2);`);
  if (k % lanes > 0) {
    // The last part includes the rest of k.
    shader.add(
      `if (part == ${shader.int(count - 1)}) {`,
      `for (int k = 4 * all; k < ${shader.int(k)}; k++) {`,
      `vec4 y = ${texelOf(shader, b, "columns.x + k * stepB")};`,
      ...targets.map((_, i) => `s${i} += ${texelOf(shader, a, `rows[${i}] + all`)}[k & 3] * y;`),
      "}",
      "}",
    );
  }
  targets.forEach((target, i) => {
    shader.store(target, "float32", `s${i}`);
  });
  const flops = 2 * m * lanes * sizeOf(batch) * nTexels * k;
  builder.add(shader.build({ name: "matmul rows", texels, flops, targetLayout }));
  addParts(call, { targets, count, steps, width: targetLayout.width }, builder);
}

/**
 * Whether the texels that a fragment reads together are in one row of the texture: a whole row along k, or, if the operand has the
 * order `across`, four rows with one k each. Widths of textures are powers of two, so pitches must be as well.
 */
export function isStraight({ operand, order }: Factor, across: Order, builder: PassBuilder): boolean {
  const { shape, strides, offset } = operand.view;
  const rank = shape.length;
  const [pitchDim, lengthDim] = order === "rows" ? [rank - 2, rank - 1] : [rank - 1, rank - 2];
  const pitch = strides[pitchDim] / lanes;
  const group = (order === across ? lanes : 1) * pitch;
  const length = Math.ceil(shape[lengthDim] / lanes);
  return (
    pitch > 0 &&
    builder.textureWidthOf(operand.slot) % group === 0 &&
    ((offset / lanes) % group) + length <= pitch &&
    strides.slice(0, -2).every((stride) => (stride / lanes) % group === 0)
  );
}

/** Whether each texel has four k of one row. */
function isReadable({ shape, strides, offset }: View): boolean {
  const last = shape.length - 1;
  if (strides[last] !== 1 || offset % lanes !== 0) return false;
  return strides.every((stride, d) => d === last || shape[d] === 1 || stride % lanes === 0);
}

/** Number of parts of k: enough to occupy a GPU, but none shorter than the cost of its partial sum. */
function partCount(k: number, fragments: number): number {
  const wanted = Math.min(Math.ceil(wantedFragments / fragments), Math.floor(k / shortestPart));
  return Math.max(1, wanted, Math.ceil(k / longestSum));
}

/** Defers the pass that adds the parts. */
function addParts({ output }: MatmulCall, parts: Parts, builder: PassBuilder): void {
  const { shape } = output.view;
  const rank = shape.length;
  const along = (dim: number): Steps => ({ strides: shape.map((_, d) => Number(d === dim)), offset: 0 });
  const matrix: Steps = { strides: [...rowMajorStrides(shape.slice(0, -2)), 0, 0], offset: 0 };
  const slotSize = builder.sizeOf(output.slot);
  const operands = [matrix, along(rank - 2), along(rank - 1)];
  const planned = planIteration(output.view, slotSize, operands);
  // Texels of the output are texels of a target if they lie along the columns.
  const iteration = { ...planned, quad: planned.quad && planned.operands[2].strides.at(-1) === 1 };
  const emit = (shader: ShaderBuilder): Emitted => {
    const names = declareIteration(shader, iteration);
    const [matrixAt, rowAt, columnAt] = iteration.operands;
    const at = (steps: Steps) => operandPosition(shader, iteration, names, steps);
    const { type } = names;
    const { targets, width, count, steps } = parts;
    shader.add(
      `${type} row = ${at(rowAt)};`,
      `${type} column = ${at(columnAt)};`,
      `${type} place = (${at(matrixAt)}) * ${shader.int(steps.matrix)} + (column >> 2) * ${shader.int(steps.column)};`,
      "vec4 sum = vec4(0.0);",
      `int count = ${shader.int(count)};`,
      `int targetWidth = ${shader.int(width)};`,
      "for (int i = 0; i < count; i++) {",
    );
    const samplers = targets.map((target) => shader.sampler(target, "float32"));
    const choose = (row: string, [first, ...others]: readonly string[]) =>
      others.reduce((chosen, other, i) => `(${row} == ${i + 1} ? ${other} : ${chosen})`, first);
    if (iteration.quad) {
      const fetched = samplers.map((name) => `targetTexel(${name}, place, targetWidth)`);
      shader.add(`sum += ${choose("row", fetched)};`);
    } else {
      const fetched = samplers.map((name) => `targetTexel(${name}, place[j], targetWidth)[column[j] & 3]`);
      shader.add("for (int j = 0; j < 4; j++) {", `sum[j] += ${choose("row[j]", fetched)};`, "}");
    }
    shader.add(`place += ${shader.int(steps.part)};`, "}");
    return { value: "sum", quad: iteration.quad, inside: names.inside };
  };
  builder.defer({ name: "matmul parts", output, whole: iteration.full, flops: slotSize * parts.count, emit });
}
