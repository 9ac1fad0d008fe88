/**
 * Large matrix products: a fragment computes a tile of 8 × 4 outputs (4 × 4 with fewer render targets) into as many layers of a texture array:
 * layer i has row i of all tiles. A second pass assembles the rows and applies the epilogue. If there are few tiles with long sums, k is
 * split: partial products are consecutive in the layers, and the second pass adds them.
 */

import { sizeOf } from "../../../core/shape.js";
import { rowMajor, rowMajorStrides, type View } from "../../../core/view.js";
import type { MatmulCall, Operand } from "../../../kernels/kernel.js";
import { lanes, type RenderTargetLayout } from "../gl/storage.js";
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
import { addTileSums, type Order, type Side } from "../shader/product_loop.js";
import type { Emitted } from "../shader/result.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { prepareMap } from "./map.js";

/** Minimum rows of a tile; each row is a layer, and each layer a render target. */
const fewestRows = 4;
/** Rows of a tile with enough render targets: 12 fetches for 128 products instead of 8 for 64. */
const mostRows = 8;
/** Minimum length of a part of a split sum. */
const shortestSplit = 128;
/** Longest sum in one accumulator. */
export const longestSum = 4096;

/** An operand of a tiled product: matrices [m, k] or [k, n] for each batch index. */
export interface Factor {
  readonly operand: Operand;
  readonly order: Order;
}

/** Whether the product is large enough for tiles, and the device has the render targets. */
export function suitsTiles({ a, b }: MatmulCall, builder: PassBuilder): boolean {
  const [m, k] = a.view.shape.slice(-2);
  const n = b.view.shape.at(-1)!;
  const isLarge = m >= fewestRows && n >= lanes && k >= lanes && m * n * k >= 4096;
  return builder.target.drawBuffers >= fewestRows && isLarge;
}

export interface TileOptions {
  /** For a triangular matrix, the part that is skipped: columns of the result after the row's number, or terms after it. */
  readonly triangle?: "columns" | "terms";
  /** k is not split. */
  readonly whole?: boolean;
}

/** The sums of all tiles, before the second pass. */
export interface TileSums {
  readonly parts: TextureId;
  /** Texel (matrix · mTiles + row / layers) · nTiles + column / 4 of layer row % layers has four columns of a row. */
  readonly targetLayout: RenderTargetLayout;
  /** Number of partial products. */
  readonly splits: number;
}

export function tiledProduct(call: MatmulCall, builder: PassBuilder, options?: TileOptions): void {
  const { parts, targetLayout, splits } = tileSums(call, builder, options);
  mergeTiles(call, parts, targetLayout, splits, builder);
}

export function tileSums(
  call: MatmulCall,
  builder: PassBuilder,
  { triangle, whole = false }: TileOptions = {},
): TileSums {
  const { output } = call;
  const rank = output.view.shape.length;
  const [m, n] = output.view.shape.slice(-2);
  const k = call.a.view.shape[rank - 1];
  const a = factorOf(call.a, k, builder, "columns");
  const b = factorOf(call.b, k, builder, "rows");
  const batch = output.view.shape.slice(0, -2);
  const tile = m > fewestRows && builder.target.drawBuffers >= mostRows ? mostRows : fewestRows;
  const [mTiles, nTiles] = [Math.ceil(m / tile), Math.ceil(n / lanes)];
  const tiles = sizeOf(batch) * mTiles * nTiles;
  const splits = whole ? 1 : splitCount(k, tiles, builder);
  const quads = Math.floor(k / lanes);
  const length = Math.ceil(quads / splits);
  const { id: parts, targetLayout } = builder.layeredScratch(splits * tiles, nTiles, tile);

  const shader = builder.shader();
  shader.add(
    `int split = quotient(t, ${shader.int(tiles)});`,
    `int place = t - split * ${shader.int(tiles)};`,
    `int nTiles = ${shader.int(nTiles)};`,
    "int line = quotient(place, nTiles);",
    "int column = (place - line * nTiles) << 2;",
    `int mTiles = ${shader.int(mTiles)};`,
    "int matrix = quotient(line, mTiles);",
    `int row = (line - matrix * mTiles) * ${tile};`,
    `int from = split * ${shader.int(length)};`,
    `int to = min(from + ${shader.int(length)}, ${shader.int(quads)});`,
  );
  if (triangle === "columns") shader.add(`if (column >= row + ${tile}) to = from;`);
  // Unrolling by pairs of quads needs whole quads.
  if (triangle === "terms") shader.add(`to = min(to, ((row + ${tile} + 7) >> 3) << 1);`);
  splitIndex(shader, "int", "matrix", batch.length > 0 ? batch : [1], "b");
  const names = batch.map((_, d) => `b${d}`);
  const start = ({ view }: Operand) =>
    positionOf(shader, { strides: view.strides.slice(0, -2), offset: view.offset }, names, "int");
  // If the texels are across k, one texel has four rows of A, or four columns of B.
  const sideOf = ({ operand, order }: Factor, across: Order, line: string): Side => {
    const { strides } = operand.view;
    const stride = strides[order === "rows" ? rank - 2 : rank - 1];
    const step = shader.int(stride / lanes);
    const at = start(operand);
    return {
      order,
      slot: operand.slot,
      dtype: operand.dtype,
      first: order === across ? `(${at} + ${line}) >> 2` : `((${at}) >> 2) + ${line} * ${step}`,
      step,
    };
  };
  const sums = addTileSums(shader, tile, sideOf(a, "columns", "row"), sideOf(b, "rows", "column"), {
    from: "from",
    to: "to",
    even: quads % 2 === 0 && length % 2 === 0,
    rest: k % lanes,
    split: "split",
    last: splits - 1,
  });
  shader.storeLayers(parts, sums);
  builder.add(
    shader.build({
      name: "matmul tiles",
      texels: splits * tiles,
      flops: 2 * tile * lanes * tiles * k,
      targetLayout,
    }),
  );
  return { parts, targetLayout, splits };
}

function splitCount(k: number, tiles: number, { target }: PassBuilder): number {
  const wanted = Math.min(Math.ceil(target.fragments / tiles), Math.floor(k / shortestSplit));
  return Math.max(1, wanted, Math.ceil(k / longestSum));
}

/** The operand itself if its texels can be used, else a copy with texels in `order`. */
function factorOf(operand: Operand, k: number, builder: PassBuilder, order: Order): Factor {
  const { view } = operand;
  const rank = view.shape.length;
  const isAligned = (contiguous: number) =>
    view.strides[contiguous] === 1 &&
    view.offset % lanes === 0 &&
    view.strides.every((stride, d) => d === contiguous || stride % lanes === 0);
  // Texels along k must not extend beyond k.
  const isA = order === "columns";
  if (isAligned(rank - 1) && (!isA || k % lanes === 0)) return { operand, order: "rows" };
  if (isAligned(rank - 2) && (isA || k % lanes === 0)) return { operand, order: "columns" };
  return { operand: packed(operand, builder, order), order };
}

/** A copy with rows (or columns) of whole texels; elements after the end of a row are never used. */
export function packed(operand: Operand, builder: PassBuilder, order: Order): Operand {
  const { view } = operand;
  const rank = view.shape.length;
  const contiguous = order === "rows" ? rank - 1 : rank - 2;
  const others = view.shape.map((_, d) => d).filter((d) => d !== contiguous);
  const pitch = pitchFor(view.shape[contiguous], builder);
  const extents = view.shape.with(contiguous, pitch);
  // Broadcast batch dimensions are copied once.
  const dims = [...others.filter((d) => view.strides[d] !== 0 || d >= rank - 2), contiguous];
  const shape = dims.map((d) => extents[d]);
  const { dtype } = operand;
  const slot = builder.scratch(dtype, sizeOf(shape));
  const source: View = { shape, strides: dims.map((d) => view.strides[d]), offset: view.offset };
  prepareMap(
    {
      kernel: "map",
      shape,
      inputs: [{ ...operand, view: source }],
      outputs: [{ slot, dtype, view: rowMajor(shape) }],
      expression: { instructions: [{ op: "load", dtype, args: [], index: 0 }], results: [0] },
    },
    builder,
  );
  const strides = new Array<number>(rank).fill(0);
  rowMajorStrides(shape).forEach((stride, i) => {
    strides[dims[i]] = stride;
  });
  return { slot, dtype, view: { shape: view.shape, strides, offset: 0 } };
}

/** The operand with transposed matrices. */
export function transposed(operand: Operand): Operand {
  const swap = <T>(list: readonly T[]) => [...list.slice(0, -2), list.at(-1)!, list.at(-2)!];
  const { shape, strides, offset } = operand.view;
  return { ...operand, view: { shape: swap(shape), strides: swap(strides), offset } };
}

/** Row pitch of a packed operand in elements: whole texels, a power of two if that fits into a row of the texture. */
export function pitchFor(length: number, { target }: PassBuilder): number {
  const texels = Math.ceil(length / lanes);
  const rounded = 2 ** Math.ceil(Math.log2(texels));
  return (rounded * lanes <= target.layout.widest ? rounded : texels) * lanes;
}

/** The second pass: writes the rows of the tiles to the output, adding the parts of split sums. */
function mergeTiles(
  { output }: MatmulCall,
  parts: TextureId,
  { width, layers: tile }: RenderTargetLayout,
  splits: number,
  builder: PassBuilder,
): void {
  const { shape } = output.view;
  const rank = shape.length;
  const [m, n] = shape.slice(-2);
  const [mTiles, nTiles] = [Math.ceil(m / tile), Math.ceil(n / lanes)];
  const matrix: Steps = { strides: [...rowMajorStrides(shape.slice(0, -2)), 0, 0], offset: 0 };
  const row: Steps = { strides: shape.map((_, d) => Number(d === rank - 2)), offset: 0 };
  const column: Steps = { strides: shape.map((_, d) => Number(d === rank - 1)), offset: 0 };
  const slotSize = builder.sizeOf(output.slot);
  const operands = [matrix, row, column];
  const planned = planIteration(output.view, slotSize, operands);
  // Texels of the output are texels of a target if they lie along the columns.
  const whole = planned.quad && planned.operands[2].strides.at(-1) === 1;
  const iteration = { ...planned, quad: whole };
  const emit = (shader: ShaderBuilder): Emitted => {
    const names = declareIteration(shader, iteration);
    const [matrixAt, rowAt, columnAt] = iteration.operands;
    const at = (steps: Steps) => operandPosition(shader, iteration, names, steps);
    const tiles = sizeOf(shape.slice(0, -2)) * mTiles * nTiles;
    const { type } = names;
    shader.add(
      `${type} row = ${at(rowAt)};`,
      `${type} column = ${at(columnAt)};`,
      `${type} place = (${at(matrixAt)}) * ${shader.int(mTiles)} + (row >> ${Math.log2(tile)});`,
      `place = place * ${shader.int(nTiles)} + (column >> 2);`,
      "vec4 sum = vec4(0.0);",
      `int targetWidth = ${shader.int(width)};`,
    );
    const sampler = shader.layers(parts);
    const term = whole
      ? [`sum += targetTexel(${sampler}, place, row & ${tile - 1}, targetWidth);`]
      : [
          "for (int j = 0; j < 4; j++) {",
          `sum[j] += targetTexel(${sampler}, place[j], row[j] & ${tile - 1}, targetWidth)[column[j] & 3];`,
          "}",
        ];
    if (splits === 1) shader.add(...term);
    else {
      shader.add(
        `int splits = ${shader.int(splits)};`,
        "for (int i = 0; i < splits; i++) {",
        ...term,
        `place += ${shader.int(tiles)};`,
        "}",
      );
    }
    return { value: "sum", quad: iteration.quad, inside: names.inside };
  };
  builder.defer({ name: "matmul merge", output, whole: iteration.full, flops: slotSize * splits, emit });
}
