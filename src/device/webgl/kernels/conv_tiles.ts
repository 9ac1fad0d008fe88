/**
 * Tiled convolutions over packed operands (conv_pack.ts): a fragment computes four columns × eight output channels into eight layers of
 * a texture array, 128 products for 12 fetches; with fewer channels or render targets four channels into four layers. A second pass writes the
 * columns to the output.
 */
import { sizeOf } from "../../../core/shape.js";
import type { ConvCall, Operand } from "../../../kernels/kernel.js";
import { lanes, type RenderTargetLayout } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import { deferImage, type ImageIndices } from "../shader/image.js";
import type { TextureId } from "../shader/pass.js";
import { declareTexels } from "../shader/product_texels.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { packFilter, packImage } from "./conv_pack.js";
import { columnsOf, mirrored, type Problem, type Tiles, texelsOf, tilesOf } from "./conv_problem.js";
import { weightGradient } from "./conv_weight_tiles.js";

/** Minimum multiply-adds: below, the draws that pack and merge cost more than they save. */
const leastWork = 4096;

/** Maximum texels of output channels in a tile, given enough render targets. */
const mostTexels = 2;

/** Adds the passes of a call; returns false, without passes, if its geometry, its size or the device requires the general form. */
export function prepareConvTiles(call: ConvCall, builder: PassBuilder): boolean {
  const { geometry, kernel } = call;
  const work = sizeOf(call.output.view.shape) * sizeOf(call.weight.view.shape.slice(1));
  if (geometry.groups !== 1 || work < leastWork || builder.target.drawBuffers < lanes) return false;
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

function forward(problem: Problem, output: Operand, builder: PassBuilder): void {
  const groups = texelsOf(problem.outWidth);
  const { id: image, tiles } = packImage(problem, tilesOf(problem, groups * lanes), builder);
  const filter = packFilter(problem, tiles, builder);
  const isWide = tiles.outputs % mostTexels === 0 && builder.target.drawBuffers >= mostTexels * lanes;
  const across = isWide ? mostTexels : 1;
  const blocks = tiles.outputs / across;
  const turns = tiles.channels % 2 === 0 ? 2 : 1;
  const texels = tiles.batch * tiles.outHeight * groups * blocks;
  const { id: parts, targetLayout } = builder.layeredScratch(texels, groups * blocks, across * lanes);

  const shader = builder.shader();
  const [x, w] = declareTexels(
    shader,
    { slot: image, span: tiles.width * tiles.channels },
    { slot: filter, span: lanes * tiles.outputs },
  );
  const int = (value: number) => shader.int(value);
  const [outputs, channels] = [int(tiles.outputs), int(tiles.channels)];
  const sums = Array.from({ length: across * lanes }, (_, i) => `s${i}`);
  shader.add(
    `int outputs = ${outputs};`,
    `int channels = ${channels};`,
    `int blocks = ${int(blocks)};`,
    `int groups = ${int(groups)};`,
    "int row = quotient(t, blocks);",
    `int at = (t - row * blocks) * ${across};`,
    "int column = row;",
    "row = quotient(row, groups);",
    "column -= row * groups;",
    `int n = quotient(row, ${int(tiles.outHeight)});`,
    `int top = (row - n * ${int(tiles.outHeight)}) * ${int(tiles.stride[0])} + n * ${int(tiles.height)};`,
    `int left = column * ${int(tiles.stride[1] * lanes)};`,
    `vec4 stepsA = vec4(0.0, 1.0, 2.0, 3.0) * (float(${int(tiles.stride[1])} * channels) * scaleA.x);`,
    "vec4 stepsB = vec4(0.0, 1.0, 2.0, 3.0) * (float(outputs) * scaleB.x);",
    ...sums.map((sum) => `vec4 ${sum} = vec4(0.0);`),
    `for (int kh = 0; kh < ${int(tiles.kernel[0])}; kh++) {`,
    `int row0 = (top + kh * ${int(tiles.dilation[0])}) * ${int(tiles.width)} * channels;`,
    "vec2 line = lineA(row0);",
    `for (int kw = 0; kw < ${int(tiles.kernel[1])}; kw++) {`,
    `int from = (left + kw * ${int(tiles.dilation[1])}) * channels;`,
    // Two texels of channels per iteration if their number is even: SwiftShader copies all sums between iterations.
    `for (int c = 0; c < channels; c += ${turns}) {`,
  );
  for (let turn = 0; turn < turns; turn++) {
    shader.add("{", "vec2 filters = lineB(at);", "float along = float(from) * scaleA.x;");
    for (let block = 0; block < across; block++) {
      const step = (k: number) => `texelB(${w}, filters, stepsB[${k}] + ${block}.0 * scaleB.x)`;
      shader.add(`mat4 b${block} = mat4(${[0, 1, 2, 3].map(step).join(", ")});`);
    }
    for (let column = 0; column < lanes; column++) {
      shader.add(`vec4 a${column} = texelA(${x}, line, along + stepsA[${column}]);`);
      for (let block = 0; block < across; block++) {
        shader.add(`${sums[block * lanes + column]} += b${block} * a${column};`);
      }
    }
    shader.add("at += 4 * outputs;", "from++;", "}");
  }
  shader.add("}", "}", "}");
  shader.storeLayers(parts, sums);
  const terms = tiles.kernel[0] * tiles.kernel[1] * tiles.channels * lanes;
  const flops = 2 * texels * across * lanes * lanes * terms;
  builder.add(shader.build({ name: "conv tiles", texels, flops, targetLayout }));
  mergeColumns(parts, targetLayout, groups, tiles, output, builder);
}

/** Output [N, O, OH, OW]: column ow is lane-wise in layer ow & 3 of four, or in that of the second four for odd texels of o. */
function mergeColumns(
  parts: TextureId,
  { width: targetWidth, layers }: RenderTargetLayout,
  groups: number,
  tiles: Tiles,
  output: Operand,
  builder: PassBuilder,
): void {
  // Both widths of a tile share a program.
  const across = layers / lanes;
  const texel = (shader: ShaderBuilder, [n, o, oh, ow]: ImageIndices) => {
    const [rows, columns, blocks] = [tiles.outHeight, groups, tiles.outputs / across].map((size) =>
      shader.int(size),
    );
    const block = `(${o} >> ${shader.int(Math.log2(layers))})`;
    return `((${n} * ${rows} + ${oh}) * ${columns} + (${ow} >> 2)) * ${blocks} + ${block}`;
  };
  const layer = (shader: ShaderBuilder, [, o, , ow]: ImageIndices) =>
    `(${o} & ${shader.int(layers - lanes)}) + (${ow} & 3)`;
  const width = (shader: ShaderBuilder) => shader.shared("targetWidth", targetWidth);
  deferImage(
    {
      name: "conv merge",
      output,
      flops: builder.sizeOf(output.slot),
      value(shader, indices) {
        shader.add(
          `ivec4 from = ${texel(shader, indices)};`,
          `ivec4 layer = ${layer(shader, indices)};`,
          `ivec4 lane = ${indices[1]} & 3;`,
          "vec4 sum;",
          "for (int j = 0; j < 4; j++) {",
          `sum[j] = targetTexel(${shader.layers(parts)}, from[j], layer[j], ${width(shader)})[lane[j]];`,
          "}",
        );
        return "sum";
      },
      pixelValue(shader, indices) {
        const at = texel(shader, indices);
        const from = layer(shader, indices);
        return `targetTexel(${shader.layers(parts)}, ${at}, ${from}, ${width(shader)})`;
      },
    },
    builder,
  );
}
