/**
 * Depthwise int8 convolutions: one sum over the kernel elements per output element, for four channels of a pixel at a time if the output
 * is channels-last in whole texels, and lane by lane for all other layouts.
 */
import bytesChunk from "../../../../glsl/bytes.glsl";
import { sizeOf } from "../../../core/shape.js";
import type { QconvCall } from "../../../kernels/kernel.js";
import { depthwiseLanes, storedOffset } from "../../../kernels/packed.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import {
  declareImageIteration,
  declarePixelIteration,
  type ImageIteration,
  planPixelIteration,
} from "../shader/image.js";
import { planIteration } from "../shader/iteration.js";
import type { Emitted } from "../shader/result.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { dequantizationOf, dequantized } from "./quantized_values.js";

export function depthwiseQconv(call: QconvCall, builder: PassBuilder): void {
  const { output, kernelSize } = call;
  const slotSize = builder.sizeOf(output.slot);
  const dequantization = dequantizationOf(call, "integers", [0, 1, 0, 0], [1, 0, 0, 0]);
  const planned = planIteration(output.view, slotSize, [
    ...unitSteps,
    ...dequantization.operands.map(({ steps }) => steps),
  ]);
  const emit = (shader: ShaderBuilder): Emitted => {
    const { iteration, names } = addSum(shader, call, builder);
    const steps = planned.operands.slice(unitSteps.length);
    const value = dequantized(shader, iteration, names, dequantization, steps, "sum");
    return { value, quad: iteration.quad, inside: names.inside };
  };
  const flops = 2 * slotSize * sizeOf(kernelSize);
  builder.defer({ name: "depthwise qconv", output, whole: planned.full, flops, emit });
}

/** Adds the statements that compute the ivec4 `sum`. */
function addSum(shader: ShaderBuilder, call: QconvCall, builder: PassBuilder): ImageIteration {
  const { input, weight, format, output, kernelSize, geometry, inputZeroPoint } = call;
  const pixels = planPixelIteration(output, builder);
  const imageIteration = pixels
    ? declarePixelIteration(shader, pixels)
    : declareImageIteration(shader, output, builder);
  const { names, indices } = imageIteration;
  const { type } = names;
  shader.include(bytesChunk);
  const int = (value: number) => shader.int(value);
  const [, channels, height, width] = input.view.shape;
  const [strideN, strideC, strideH, strideW] = input.view.strides;
  const [n, c, oh, ow] = indices;
  // Pitch in words of four channels.
  const pitch = (Math.ceil(channels / depthwiseLanes) * depthwiseLanes) / lanes;
  const x = shader.texture(input.slot, "int8");
  const w = shader.texture(weight.slot, weight.dtype);
  const isInside = (at: string, extent: string) =>
    pixels
      ? `${at} >= 0 && ${at} < ${extent}`
      : `both(greaterThanEqual(${at}, ivec4(0)), lessThan(${at}, ivec4(${extent})))`;
  shader.add(
    `int height = ${int(height)};`,
    `int width = ${int(width)};`,
    `${type} top = ${oh} * ${int(geometry.stride[0])} - ${int(geometry.padding[0])};`,
    `${type} left = ${ow} * ${int(geometry.stride[1])} - ${int(geometry.padding[1])};`,
    `${type} plane = ${int(input.view.offset)} + ${n} * ${int(strideN)} + ${c} * ${int(strideC)};`,
    `${type} element = ${int(weight.view.offset)} + (${c} >> 2);`,
    "ivec4 sum = ivec4(0);",
    `for (int kh = 0; kh < ${int(kernelSize[0])}; kh++) {`,
    `${type} h = top + kh * ${int(geometry.dilation[0])};`,
    `for (int kw = 0; kw < ${int(kernelSize[1])}; kw++) {`,
    `${type} v = left + kw * ${int(geometry.dilation[1])};`,
    `${type} from = plane + h * ${int(strideH)} + v * ${int(strideW)};`,
    `ivec4 value = ivec4(${int(inputZeroPoint)});`,
  );
  if (pixels) {
    const aligned =
      strideC === 1 &&
      input.view.offset % lanes === 0 &&
      [strideN, strideH, strideW].every((stride) => stride % lanes === 0);
    const fetched = aligned
      ? `intTexel(${x}, from >> 2)`
      : `intsAt(${x}, from + ${int(strideC)} * ivec4(0, 1, 2, 3))`;
    shader.add(
      `if (${isInside("h", "height")} && ${isInside("v", "width")}) value = ${fetched};`,
      `sum += value * (bytesOf(intAt(${w}, element)) - ${int(storedOffset(format))});`,
    );
  } else {
    shader.add(
      `value = select(both(${isInside("h", "height")}, ${isInside("v", "width")}), intsAt(${x}, from), value);`,
      `sum += value * (byteOf(intsAt(${w}, element), ${c} & 3) - ${int(storedOffset(format))});`,
    );
  }
  shader.add(`element += ${int(pitch)};`, "}", "}");
  return imageIteration;
}

/** The operands of planImageIteration, so that the dequantization's operands are coalesced in the same way. */
const unitSteps = [0, 1, 2, 3].map((d) => ({
  strides: [0, 1, 2, 3].map((k) => Number(k === d)),
  offset: 0,
}));
