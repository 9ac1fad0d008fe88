/**
 * im2col: the patches of an image as rows of a matrix, so that a convolution is a product. Element k = (kh · KW + kw) · C + c of a pixel's
 * row is the image's value at kernel element (kh, kw) and channel c, 0 outside the image.
 */
import { sizeOf } from "../../../core/shape.js";
import type { ConvGeometry, Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "./builder.js";
import { type ShaderBuilder, vectorOf } from "./shader.js";

export interface Patches {
  /** [N, channels of all groups, height, width]. */
  readonly image: Operand;
  /** Number of patches: [height, width]. */
  readonly pixels: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly geometry: ConvGeometry;
  /**
   * `forward`: the patch of output pixel (oh, ow) has image elements (oh · stride − padding + kh · dilation, …). `backward`: the image is
   * the gradient of an output, and the patch of input pixel (h, w) has the output elements to which the pixel contributed.
   */
  readonly direction: "forward" | "backward";
  /** Padding value, by default 0. */
  readonly outside?: number;
}

/** Length of a row, rounded up to whole texels; the rest is zero. */
export function patchLength({ image, kernel, geometry }: Patches): number {
  const channels = image.view.shape[1] / geometry.groups;
  return Math.ceil((kernel[0] * kernel[1] * channels) / lanes) * lanes;
}

/** [groups, N · height · width, patchLength] of the image's dtype, in a scratch texture. */
export function preparePatches(patches: Patches, builder: PassBuilder): Operand {
  const { image, pixels, kernel, geometry } = patches;
  const [batch, allChannels] = image.view.shape;
  const channels = allChannels / geometry.groups;
  const length = patchLength(patches);
  const count = batch * pixels[0] * pixels[1];
  const shape = [geometry.groups, count, length];
  const { dtype } = image;
  const slot = builder.scratch(dtype, sizeOf(shape));
  const shader = builder.shader();
  const int = (value: number) => shader.int(value);
  // If the channels are a multiple of four, one texel has four channels of one kernel element.
  const together = channels % lanes === 0;
  const type = together ? "int" : "ivec4";
  const inRange = (at: string, extent: number) =>
    together
      ? `${at} >= 0 && ${at} < ${int(extent)}`
      : `both(greaterThanEqual(${at}, ivec4(0)), lessThan(${at}, ivec4(${int(extent)})))`;
  const and = (conditions: readonly string[]) =>
    together
      ? conditions.map((condition) => `(${condition})`).join(" && ")
      : conditions.reduce((a, b) => `both(${a}, ${b})`);
  shader.add(
    `int line = quotient(e, ${int(length)});`,
    `${type} k = e - line * ${int(length)}${together ? "" : " + ivec4(0, 1, 2, 3)"};`,
    `int group = quotient(line, ${int(count)});`,
    `int pixel = line - group * ${int(count)};`,
    `int row = quotient(pixel, ${int(pixels[1])});`,
    `int px = pixel - row * ${int(pixels[1])};`,
    `int n = quotient(row, ${int(pixels[0])});`,
    `int py = row - n * ${int(pixels[0])};`,
    `${type} element = quotient(k, ${int(channels)});`,
    `${type} c = k - element * ${int(channels)};`,
    `${type} kh = quotient(element, ${int(kernel[1])});`,
    `${type} kw = element - kh * ${int(kernel[1])};`,
  );
  const conditions = seenPosition(shader, patches, type);
  const [, , height, width] = image.view.shape;
  conditions.push(
    inRange("h", height),
    inRange("w", width),
    together ? `kh < ${int(kernel[0])}` : inRange("kh", kernel[0]),
  );
  const { strides, offset } = image.view;
  const [strideN, strideC, strideH, strideW] = strides.map((stride) => int(stride));
  shader.add(
    `${together ? "bool" : "bvec4"} seen = ${and(conditions)};`,
    `int plane = ${int(offset)} + n * ${strideN} + group * ${int(channels)} * ${strideC};`,
    `${type} at = plane + c * ${strideC} + h * ${strideH} + w * ${strideW};`,
  );
  const sampler = shader.texture(image.slot, dtype);
  const kind = dtype === "float32" ? "float" : "int";
  const vector = vectorOf(dtype);
  const outside = patches.outside ? `${vector}(${int(patches.outside)})` : `${vector}(0)`;
  const aligned =
    strides[1] === 1 && offset % lanes === 0 && [0, 2, 3].every((d) => strides[d] % lanes === 0);
  if (together) {
    const fetched = aligned
      ? `${kind}Texel(${sampler}, at >> 2)`
      : `${kind}sAt(${sampler}, at + ${strideC} * ivec4(0, 1, 2, 3))`;
    shader.add(`${vector} value = ${outside};`, `if (seen) value = ${fetched};`);
  } else {
    shader.add(`${vector} value = select(seen, ${kind}sAt(${sampler}, at), ${outside});`);
  }
  shader.store(slot, dtype, "value");
  const texels = Math.ceil(sizeOf(shape) / lanes);
  builder.add(shader.build({ name: "conv patches", texels, flops: sizeOf(shape) }));
  return { slot, dtype, view: { shape, strides: [count * length, length, 1], offset: 0 } };
}

/** Declares h and w, the image position of pixel (py, px) and kernel element (kh, kw); returns further conditions for it to be valid. */
function seenPosition(
  shader: ShaderBuilder,
  { geometry, direction }: Patches,
  type: "int" | "ivec4",
): string[] {
  const conditions: string[] = [];
  for (const [d, h, pixel, element] of [
    [0, "h", "py", "kh"],
    [1, "w", "px", "kw"],
  ] as const) {
    const [stride, padding, dilation] = [geometry.stride, geometry.padding, geometry.dilation].map((pair) =>
      shader.int(pair[d]),
    );
    if (direction === "forward") {
      shader.add(`${type} ${h} = ${pixel} * ${stride} - ${padding} + ${element} * ${dilation};`);
      continue;
    }
    shader.add(
      `${type} ${h}Start = ${pixel} + ${padding} - ${element} * ${dilation};`,
      `${type} ${h} = ${h}Start / ${stride};`,
    );
    conditions.push(
      ...(type === "int"
        ? [`${h}Start >= 0`, `${h} * ${stride} == ${h}Start`]
        : [`greaterThanEqual(${h}Start, ivec4(0))`, `equal(${h} * ${stride}, ${h}Start)`]),
    );
  }
  return conditions;
}
