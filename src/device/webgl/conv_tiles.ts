/**
 * Convolutions in tiles: a fragment computes four columns × four output channels into four layers of a grid, 64 products
 * for 8 fetches, over packed operands (conv_pack.ts); a second pass puts the columns where they belong.
 */
import { sizeOf } from "../../tensor/shape.js";
import type { ConvCall, Operand } from "../kernel.js";
import type { PassBuilder } from "./builder.js";
import { includeTexels, packFilter, packImage } from "./conv_pack.js";
import { columnsOf, mirrored, type Problem, type Tiles, texelsOf, tilesOf } from "./conv_problem.js";
import { weightGradient } from "./conv_weight_tiles.js";
import { finishImage, type ImageIndices } from "./image.js";
import type { TextureId } from "./pass.js";
import type { ShaderBuilder } from "./shader.js";
import { lanes } from "./storage.js";

/** Below so many multiply-adds the draws that pack and merge cost more than they save. */
const leastWork = 4096;

/** The passes of a call, unless its geometry, its size or the device is for the general form: then false. */
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
  const texels = tiles.batch * tiles.outHeight * groups * tiles.outputs;
  const { id: parts, grid } = builder.layeredScratch(texels, groups * tiles.outputs, lanes);

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
    "int row = quotient(t, outputs);",
    "int o = t - row * outputs;",
    "int column = row;",
    "row = quotient(row, groups);",
    "column -= row * groups;",
    `int n = quotient(row, ${int(tiles.outHeight)});`,
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
    `texelB(${w}, filters, 0), texelB(${w}, filters, outputs),`,
    `texelB(${w}, filters, 2 * outputs), texelB(${w}, filters, 3 * outputs));`,
    "at += 4 * outputs;",
    `s0 += b * texelA(${x}, line, from);`,
    `s1 += b * texelA(${x}, line, from + pixel);`,
    `s2 += b * texelA(${x}, line, from + 2 * pixel);`,
    `s3 += b * texelA(${x}, line, from + 3 * pixel);`,
    "from++;",
    "}",
    "}",
    "}",
  );
  shader.storeLayers(parts, ["s0", "s1", "s2", "s3"]);
  const terms = tiles.kernel[0] * tiles.kernel[1] * tiles.channels * lanes;
  builder.add(shader.build({ name: "conv tiles", texels, flops: 2 * texels * lanes * lanes * terms, grid }));
  mergeColumns(parts, grid.width, groups, tiles, output, builder);
}

/** Output [N, O, OH, OW]: column ow is lane-wise in layer ow & 3. */
function mergeColumns(
  parts: TextureId,
  gridWidth: number,
  groups: number,
  tiles: Tiles,
  output: Operand,
  builder: PassBuilder,
): void {
  const texel = (shader: ShaderBuilder, [n, o, oh, ow]: ImageIndices) => {
    const [rows, across, outputs] = [tiles.outHeight, groups, tiles.outputs].map((size) => shader.int(size));
    return `((${n} * ${rows} + ${oh}) * ${across} + (${ow} >> 2)) * ${outputs} + (${o} >> 2)`;
  };
  const width = (shader: ShaderBuilder) => shader.shared("gridWidth", gridWidth);
  finishImage(
    {
      name: "conv merge",
      output,
      flops: builder.sizeOf(output.slot),
      value(shader, indices) {
        const [, o, , ow] = indices;
        shader.add(
          `ivec4 from = ${texel(shader, indices)};`,
          `ivec4 layer = ${ow} & 3;`,
          `ivec4 lane = ${o} & 3;`,
          "vec4 sum;",
          "for (int j = 0; j < 4; j++) {",
          `sum[j] = gridTexel(${shader.layers(parts)}, from[j], layer[j], ${width(shader)})[lane[j]];`,
          "}",
        );
        return "sum";
      },
      pixelValue(shader, indices) {
        const at = texel(shader, indices);
        return `gridTexel(${shader.layers(parts)}, ${at}, ${indices[3]} & 3, ${width(shader)})`;
      },
    },
    builder,
  );
}
