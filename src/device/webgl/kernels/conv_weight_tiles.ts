/**
 * The gradient of a convolution with respect to its weight, in tiles: a fragment sums four input channels × four output channels of one
 * kernel element over a chunk of the pixels; a second pass adds the chunks.
 */
import type { ConvCall, Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import { deferImage } from "../shader/image.js";
import type { TextureId } from "../shader/pass.js";
import { declareTexels } from "../shader/product_texels.js";
import { packGradient, packImage } from "./conv_pack.js";
import { columnsOf, type Tiles, tilesOf } from "./conv_problem.js";

export function weightGradient(call: ConvCall, builder: PassBuilder): void {
  const problem = columnsOf(call);
  const { id: image, tiles } = packImage(problem, tilesOf(problem, problem.outWidth), builder);
  const { id: gradient, width: gradientWidth } = packGradient(call.output, tiles, builder);
  const tilesPerChunk = tiles.kernel[0] * tiles.kernel[1] * tiles.channels * tiles.outputs;
  const rows = tiles.batch * tiles.outHeight;
  const rowsPerChunk = Math.ceil(rows / Math.min(rows, Math.ceil(builder.target.fragments / tilesPerChunk)));
  const chunks = Math.ceil(rows / rowsPerChunk);
  const texels = chunks * tilesPerChunk;
  const width = tiles.kernel[1] * tiles.channels * tiles.outputs;
  const { id: parts, targetLayout } = builder.layeredScratch(texels, width, lanes);

  const shader = builder.shader();
  const [x, y] = declareTexels(
    shader,
    { slot: image, span: tiles.width * tiles.channels },
    { slot: gradient, span: gradientWidth * tiles.outputs },
  );
  const int = (value: number) => shader.int(value);
  shader.add(
    `int outputs = ${int(tiles.outputs)};`,
    `int channels = ${int(tiles.channels)};`,
    `int kernelWidth = ${int(tiles.kernel[1])};`,
    "int rest = quotient(t, outputs);",
    "int o = t - rest * outputs;",
    "int c = rest;",
    "rest = quotient(rest, channels);",
    "c -= rest * channels;",
    "int kw = rest;",
    "rest = quotient(rest, kernelWidth);",
    "kw -= rest * kernelWidth;",
    `int chunk = quotient(rest, ${int(tiles.kernel[0])});`,
    `int kh = rest - chunk * ${int(tiles.kernel[0])};`,
    `int row = chunk * ${int(rowsPerChunk)};`,
    `int end = min(row + ${int(rowsPerChunk)}, ${int(rows)});`,
    `int pixel = ${int(tiles.stride[1])} * channels;`,
    "vec4 stepsX = vec4(0.0, 1.0, 2.0, 3.0) * (float(pixel) * scaleA.x);",
    "vec4 stepsY = vec4(0.0, 1.0, 2.0, 3.0) * (float(outputs) * scaleB.x);",
    `int right = kw * ${int(tiles.dilation[1])};`,
    `int down = kh * ${int(tiles.dilation[0])};`,
    "vec4 s0 = vec4(0.0), s1 = vec4(0.0), s2 = vec4(0.0), s3 = vec4(0.0);",
    "for (; row < end; row++) {",
    `int n = quotient(row, ${int(tiles.outHeight)});`,
    `int line = n * ${int(tiles.height)} + (row - n * ${int(tiles.outHeight)}) * ${int(tiles.stride[0])} + down;`,
    `int rowX = line * ${int(tiles.width)} * channels;`,
    `int rowY = row * ${int(gradientWidth)} * outputs;`,
    "vec2 lineX = lineA(rowX), lineY = lineB(rowY);",
    "int fromX = right * channels + c;",
    "int fromY = o;",
    // Each row is summed separately first: fewer roundings in the long sum.
    "vec4 r0 = vec4(0.0), r1 = vec4(0.0), r2 = vec4(0.0), r3 = vec4(0.0);",
    `int width = ${int(tiles.outWidth)};`,
    "int i = 0;",
    // Four pixels per iteration, to reduce loop overhead.
    "for (; i + 4 <= width; i += 4) {",
    "vec4 alongX = float(fromX) * scaleA.x + stepsX, alongY = float(fromY) * scaleB.x + stepsY;",
    "mat4 a = transpose(mat4(",
    `texelA(${x}, lineX, alongX.x), texelA(${x}, lineX, alongX.y),`,
    `texelA(${x}, lineX, alongX.z), texelA(${x}, lineX, alongX.w)));`,
    "mat4 b = mat4(",
    `texelB(${y}, lineY, alongY.x), texelB(${y}, lineY, alongY.y),`,
    `texelB(${y}, lineY, alongY.z), texelB(${y}, lineY, alongY.w));`,
    "r0 += b * a[0];",
    "r1 += b * a[1];",
    "r2 += b * a[2];",
    "r3 += b * a[3];",
    "fromX += 4 * pixel;",
    "fromY += 4 * outputs;",
    "}",
    "for (; i < width; i++) {",
    `vec4 a = texelA(${x}, lineX, float(fromX) * scaleA.x);`,
    `vec4 b = texelB(${y}, lineY, float(fromY) * scaleB.x);`,
    "r0 += a.x * b;",
    "r1 += a.y * b;",
    "r2 += a.z * b;",
    "r3 += a.w * b;",
    "fromX += pixel;",
    "fromY += outputs;",
    "}",
    "s0 += r0;",
    "s1 += r1;",
    "s2 += r2;",
    "s3 += r3;",
    "}",
  );
  shader.storeLayers(parts, ["s0", "s1", "s2", "s3"]);
  const flops = 2 * lanes * lanes * tilesPerChunk * rows * tiles.outWidth;
  builder.add(shader.build({ name: "convGradWeight tiles", texels, flops, targetLayout }));
  mergeChunks(parts, targetLayout.width, chunks, tiles, problem.foldedColumns, call.weight, builder);
}

/** The weight's gradient [O, C, KH, KW]: channel c is in layer c & 3, once per chunk. */
function mergeChunks(
  parts: TextureId,
  targetWidth: number,
  chunks: number,
  tiles: Tiles,
  foldedColumns: boolean,
  weight: Operand,
  builder: PassBuilder,
): void {
  const pitch = tiles.kernel[0] * tiles.kernel[1] * tiles.channels * tiles.outputs;
  deferImage(
    {
      name: "convGradWeight merge",
      output: weight,
      flops: builder.sizeOf(weight.slot) * chunks,
      value(shader, [o, first, kh, kw]) {
        const [channel, column] = foldedColumns ? [kw, "0"] : [first, kw];
        shader.add(
          `int targetWidth = ${shader.int(targetWidth)};`,
          `ivec4 element = ${kh} * ${shader.int(tiles.kernel[1])} + ${column};`,
          `ivec4 from = (element * ${shader.int(tiles.channels)} + (${channel} >> 2)) * ${shader.int(tiles.outputs)} + (${o} >> 2);`,
          `ivec4 layer = ${channel} & 3;`,
          `ivec4 lane = ${o} & 3;`,
          "vec4 sum = vec4(0.0);",
          `for (int chunk = 0; chunk < ${shader.int(chunks)}; chunk++) {`,
          "for (int j = 0; j < 4; j++) {",
          `sum[j] += targetTexel(${shader.layers(parts)}, from[j], layer[j], targetWidth)[lane[j]];`,
          "}",
          `from += ${shader.int(pitch)};`,
          "}",
        );
        return "sum";
      },
    },
    builder,
  );
}
