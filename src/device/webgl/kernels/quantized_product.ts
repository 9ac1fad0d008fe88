/**
 * Products of rows with packed weights: a fragment computes up to four rows × the four columns of half a panel, or those of
 * several where there are the render targets, and a second pass puts the rows together and finishes the sums. Where few tiles have long sums, k is split:
 * the partial sums lie behind each other in the targets, and the second pass adds them up.
 */
import texelsChunk from "../../../../glsl/int8_texels.glsl";
import { panelRows, storedOffset } from "../../../kernels/packed.js";
import { type Extent, lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import { eachSum, multiplyGroups, multiplySteps, type Terms } from "./quantized_loops.js";
import type { TileSums } from "./quantized_merge.js";
import {
  alignedRows,
  alignedWeight,
  type QuantizedFactors,
  stepTexels,
  unrolled,
  valuesOfTexel,
} from "./quantized_operands.js";

/** Rows of a tile, at most. */
const tile = 4;
/** Half panels that a tile is wide, at most: each texel of the input is fetched once for so many columns. */
const mostHalves = 4;
/** Tiles below which k is split on every device, if the sums are long enough to be worth it: measured on software rasterisers. */
const wantedTiles = 2048;
const shortestSplit = 128;
/** Longest sum of floats in one accumulator. */
const longestSum = 4096;

export function quantizedTiles(factors: QuantizedFactors, builder: PassBuilder): TileSums {
  const { format, n } = factors;
  const [matrices, m, k] = factors.input.view.shape;
  const { input, isStraight } = alignedRows(factors.input, builder);
  const weight = alignedWeight(factors.weight, builder);
  const rows = Math.min(m, tile);
  const halves = widthOf(n, Math.floor(builder.target.drawBuffers / rows));
  const [rowTiles, columnTiles] = [Math.ceil(m / tile), Math.ceil(n / (lanes * halves))];
  const tiles = matrices * rowTiles * columnTiles;
  const { groupSize } = format;
  const isInteger = input.dtype === "int8" && groupSize === undefined;
  // What is split: texels of the weights, or groups.
  const steps = Math.ceil(k / valuesOfTexel(format));
  const units = groupSize === undefined ? steps : k / groupSize;
  const wanted = Math.min(
    Math.ceil(Math.max(wantedTiles, builder.target.fragments) / tiles),
    Math.floor(k / shortestSplit),
    units,
  );
  const least = Math.max(1, wanted, isInteger ? 1 : Math.ceil(k / longestSum));
  const stride = groupSize === undefined && steps % unrolled === 0 ? unrolled : 1;
  const length = Math.ceil(units / stride / least) * stride;
  const splits = Math.max(1, Math.ceil(units / Math.max(1, length)));
  const targetLayout = splitTarget(splits, tiles, columnTiles, builder);
  const dtype = isInteger ? "int32" : "float32";
  const parts = Array.from({ length: rows * halves }, () => builder.targetScratch(targetLayout, dtype));

  const shader = builder.shader();
  const int = (value: number) => shader.int(value);
  shader.include(`#define STORED_OFFSET ${storedOffset(format)}`);
  if (input.dtype === "float32") shader.include("#define FLOAT_INPUT");
  if (isStraight) shader.include("#define STRAIGHT_INPUT");
  shader.include(texelsChunk);
  const [matrixStep, rowStep] = input.view.strides;
  const matrixTexels = Math.ceil(n / panelRows) * steps * stepTexels;
  shader.add(
    `int split = quotient(int(gl_FragCoord.y), ${int(targetLayout.height / splits)});`,
    `int place = t - split * ${int((targetLayout.height / splits) * targetLayout.width)};`,
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
  if (groupSize !== undefined) multiplyGroups(shader, factors, groupSize, terms, builder);
  else multiplySteps(shader, terms, length, isInteger);
  eachSum(terms, (r, h) => shader.store(parts[r * halves + h], dtype, `sum${r}${h}`));
  const flops = 2 * rows * halves * lanes * tiles * k;
  builder.add(
    shader.build({
      name: "quantized tiles",
      texels: targetLayout.width * targetLayout.height,
      flops,
      targetLayout,
    }),
  );
  return { parts, targetLayout, splits, rowTiles, columnTiles, halves, isInteger };
}

function splitTarget(splits: number, tiles: number, columnTiles: number, builder: PassBuilder): Extent {
  const { extent } = builder.target;
  const one = builder.targetLayout(tiles, columnTiles);
  const width = one.height * splits <= extent ? one.width : Math.min(tiles, extent);
  return { width, height: Math.ceil(tiles / width) * splits };
}

/** Half panels of a tile: a power of two, as many as there are targets for and columns. */
function widthOf(n: number, targets: number): number {
  let halves = 1;
  while (halves * 2 <= Math.min(targets, mostHalves) && halves * lanes < n) halves *= 2;
  return halves;
}
