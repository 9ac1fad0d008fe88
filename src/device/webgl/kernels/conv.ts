/**
 * conv and its two gradients, by the first applicable method: tiles over packed operands (conv_tiles.ts); for groups and for input
 * gradients of strided convolutions a product with the im2col matrix (columns.ts), for a part of the batch at a time if that matrix is
 * large; one sum per output element (conv_general.ts).
 */
import { sizeOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { ConvCall, Expression, MatmulCall, Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import { type Patches, patchLength, preparePatches } from "../shader/columns.js";
import { fetched } from "../shader/shader.js";
import { generalConv } from "./conv_general.js";
import { prepareConvTiles } from "./conv_tiles.js";
import { prepareMap } from "./map.js";
import { prepareMatmul } from "./matmul.js";
import { suitsTiles } from "./product.js";

/** Maximum elements of the im2col matrix: 128 MiB. */
const largestMatrix = 2 ** 25;
/** Maximum number of parts of a batch, whose weight gradients one map adds. */
const mostParts = 16;

export function prepareConv(call: ConvCall, builder: PassBuilder): void {
  const { input, output, kernel } = call;
  const computed = { conv: output, convGradInput: input, convGradWeight: call.weight }[kernel];
  if (sizeOf(computed.view.shape) === 0 || prepareConvTiles(call, builder)) return;
  const batch = input.view.shape[0];
  const isEmpty = [input, output, call.weight].some(({ view }) => sizeOf(view.shape) === 0);
  const patches = patchesOf(call);
  const perImage = patchLength(patches) * patches.pixels[0] * patches.pixels[1] * call.geometry.groups;
  const part = Math.max(1, Math.min(batch, Math.floor(largestMatrix / Math.max(perImage, 1))));
  const parts = Math.ceil(batch / part);
  const fits = perImage <= largestMatrix && (kernel !== "convGradWeight" || parts <= mostParts);
  if (isEmpty || !fits || !suitsTiles(productShape(call, patches, part), builder)) {
    generalConv(call, builder);
    return;
  }
  const pieces = Array.from({ length: parts }, (_, i) =>
    piece(call, i * part, Math.min(part, batch - i * part)),
  );
  if (kernel === "convGradWeight") {
    sumWeights(
      call,
      pieces.map((some) => weightProduct(some, builder)),
      builder,
    );
    return;
  }
  const weights = packWeights(call, builder);
  for (const some of pieces) imageProduct(some, weights, builder);
}

/** The call on images `from`..`from + count − 1`. */
function piece(call: ConvCall, from: number, count: number): ConvCall {
  const narrow = (operand: Operand): Operand => {
    const { shape, strides, offset } = operand.view;
    return { ...operand, view: { shape: shape.with(0, count), strides, offset: offset + from * strides[0] } };
  };
  return { ...call, input: narrow(call.input), output: narrow(call.output) };
}

function patchesOf({ kernel, input, weight, output, geometry }: ConvCall): Patches {
  const kernelSize = weight.view.shape.slice(2) as [number, number];
  const isBackward = kernel === "convGradInput";
  const pixels = (isBackward ? input : output).view.shape.slice(2) as [number, number];
  return {
    image: isBackward ? output : input,
    pixels,
    kernel: kernelSize,
    geometry,
    direction: isBackward ? "backward" : "forward",
  };
}

/** Channels per group of the weight, on the side that is not summed over. */
function groupWidth({ kernel, weight, geometry }: ConvCall): number {
  return kernel === "convGradInput" ? weight.view.shape[1] : weight.view.shape[0] / geometry.groups;
}

/** The product of one group, to decide whether it is tiled. */
function productShape(call: ConvCall, patches: Patches, part: number): MatmulCall {
  const pixels = part * patches.pixels[0] * patches.pixels[1];
  const length = patchLength(patches);
  const [m, k] = call.kernel === "convGradWeight" ? [length, pixels] : [pixels, length];
  const operand = (shape: number[]): Operand => ({
    slot: 0,
    dtype: "float32",
    view: { shape, strides: [0, 0], offset: 0 },
  });
  const n = groupWidth(call);
  return { kernel: "matmul", a: operand([m, k]), b: operand([k, n]), output: operand([m, n]) };
}

/** float32 [groups, patchLength, width of a group]: filters as columns, rows after the last kernel element zero. */
function packWeights(call: ConvCall, builder: PassBuilder): Operand {
  const { weight, geometry, kernel } = call;
  const patches = patchesOf(call);
  const length = patchLength(patches);
  const width = groupWidth(call);
  const pitch = Math.ceil(width / lanes) * lanes;
  const shape = [geometry.groups, length, width];
  const slot = builder.scratch("float32", geometry.groups * length * pitch);
  const channels = patches.image.view.shape[1] / geometry.groups;
  const [, , , kernelW] = weight.view.shape;
  const used = channels * patches.kernel[0] * patches.kernel[1];
  const [strideO, strideC, strideH, strideW] = weight.view.strides;
  // Along the summed and along the other channels, and from group to group.
  const isBackward = kernel === "convGradInput";
  const [summed, other] = isBackward ? [strideO, strideC] : [strideC, strideO];
  const perGroup = (isBackward ? channels : width) * strideO;
  const shader = builder.shader();
  const int = (value: number) => shader.int(value);
  shader.add(
    `int line = quotient(e, ${int(pitch)});`,
    `ivec4 column = e - line * ${int(pitch)} + ivec4(0, 1, 2, 3);`,
    `int group = quotient(line, ${int(length)});`,
    `int k = line - group * ${int(length)};`,
    `int element = quotient(k, ${int(channels)});`,
    `int c = k - element * ${int(channels)};`,
    `int kh = quotient(element, ${int(kernelW)});`,
    `int kw = element - kh * ${int(kernelW)};`,
    `int at = ${int(weight.view.offset)} + group * ${int(perGroup)} + c * ${int(summed)};`,
    `at += kh * ${int(strideH)} + kw * ${int(strideW)};`,
    "vec4 value = vec4(0.0);",
    `if (k < ${int(used)}) value = ${fetched(shader, weight.dtype, (kind) => `${kind}sAt(${shader.texture(weight.slot, weight.dtype)}, at + column * ${int(other)})`)};`,
  );
  shader.store(slot, "float32", "value");
  const texels = (geometry.groups * length * pitch) / lanes;
  builder.add(shader.build({ name: "conv weights", texels, flops: texels * lanes }));
  return { slot, dtype: "float32", view: { shape, strides: [length * pitch, pitch, 1], offset: 0 } };
}

/** conv or convGradInput: patches times filters. */
function imageProduct(call: ConvCall, weights: Operand, builder: PassBuilder): void {
  const { kernel, geometry } = call;
  const computed = kernel === "conv" ? call.output : call.input;
  const a = preparePatches(patchesOf(call), builder);
  const [groups, pixels] = a.view.shape;
  const width = groupWidth(call);
  const [n, , height, columns] = computed.view.shape;
  const [strideN, strideC, strideH, strideW] = computed.view.strides;
  // The product writes the output directly if one stride covers all pixels of rows and images.
  const isMatrix = strideH === columns * strideW && (n === 1 || strideN === height * strideH);
  if (isMatrix) {
    const view: View = {
      shape: [groups, pixels, width],
      strides: [width * strideC, strideW, strideC],
      offset: computed.view.offset,
    };
    prepareMatmul({ kernel: "matmul", a, b: weights, output: { ...computed, view } }, builder);
    return;
  }
  const channels = geometry.groups * width;
  const whole = builder.scratchOperand("float32", pixels * channels);
  const view: View = { shape: [groups, pixels, width], strides: [width, channels, 1], offset: 0 };
  prepareMatmul({ kernel: "matmul", a, b: weights, output: { ...whole, view } }, builder);
  const strides = [height * columns * channels, 1, columns * channels, channels];
  const image: View = { shape: computed.view.shape, strides, offset: 0 };
  copy([{ ...whole, view: image }], computed, builder);
}

/** convGradWeight of a part of the batch: [groups, patchLength, O / groups]. */
function weightProduct(call: ConvCall, builder: PassBuilder): Operand {
  const { output, geometry } = call;
  const patches = preparePatches(patchesOf(call), builder);
  const [groups, pixels, length] = patches.view.shape;
  const width = groupWidth(call);
  const channels = geometry.groups * width;
  const [n, , height, columns] = output.view.shape;
  const [strideN, strideC, strideH, strideW] = output.view.strides;
  let source = output;
  let steps = [width * strideC, strideW, strideC];
  if (strideH !== columns * strideW || (n !== 1 && strideN !== height * strideH)) {
    const whole = builder.scratchOperand("float32", pixels * channels);
    const strides = [height * columns * channels, 1, columns * channels, channels];
    copy([output], { ...whole, view: { shape: output.view.shape, strides, offset: 0 } }, builder);
    source = whole;
    steps = [width, channels, 1];
  }
  const b: Operand = {
    ...source,
    view: { shape: [groups, pixels, width], strides: steps, offset: source.view.offset },
  };
  const a: Operand = {
    ...patches,
    view: { shape: [groups, length, pixels], strides: [pixels * length, 1, length], offset: 0 },
  };
  const result = builder.scratchOperand("float32", groups * length * width, true);
  const view: View = { shape: [groups, length, width], strides: [length * width, width, 1], offset: 0 };
  prepareMatmul({ kernel: "matmul", a, b, output: { ...result, view } }, builder);
  return { ...result, view };
}

/** Adds the parts, and permutes kernel elements and channels to the order of the weights. */
function sumWeights({ weight }: ConvCall, parts: readonly Operand[], builder: PassBuilder): void {
  const [, channels, , kernelW] = weight.view.shape;
  const [groups, , width] = parts[0].view.shape;
  const [strideG, strideK] = parts[0].view.strides;
  // Weights are [groups · width, channels, KH, KW]; here groups are a separate dimension.
  const { shape, strides, offset } = weight.view;
  const target: Operand = {
    ...weight,
    view: {
      shape: [groups, width, ...shape.slice(1)],
      strides: [width * strides[0], ...strides],
      offset,
    },
  };
  const from = [strideG, 1, strideK, kernelW * channels * strideK, channels * strideK];
  copy(
    parts.map((part) => ({ ...part, view: { shape: target.view.shape, strides: from, offset: 0 } })),
    target,
    builder,
  );
}

/** target = Σ sources, element by element. */
function copy(sources: readonly Operand[], target: Operand, builder: PassBuilder): void {
  const instructions: Expression["instructions"][number][] = sources.map((_, index) => ({
    op: "load",
    dtype: "float32",
    args: [],
    index,
  }));
  let sum = 0;
  for (let i = 1; i < sources.length; i++) {
    sum = instructions.push({ op: "add", dtype: "float32", args: [sum, i] }) - 1;
  }
  prepareMap(
    {
      kernel: "map",
      shape: target.view.shape,
      inputs: sources,
      outputs: [target],
      expression: { instructions, results: [sum] },
    },
    builder,
  );
}
