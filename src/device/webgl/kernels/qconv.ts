/**
 * qconv: for depthwise convolutions one sum over the kernel elements per output (qconv_depthwise.ts); for all others a product of the
 * im2col matrix (columns.ts) with the weights, for a part of the batch or of an image at a time if that matrix is large.
 */
import { sizeOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { Operand, QconvCall } from "../../../kernels/kernel.js";
import { isDepthwise } from "../../../kernels/packed.js";
import type { PassBuilder } from "../shader/builder.js";
import { preparePatches } from "../shader/columns.js";
import { depthwiseQconv } from "./qconv_depthwise.js";
import { mergeSums } from "./quantized_merge.js";
import { quantizedTiles } from "./quantized_product.js";
import { dequantizationOf } from "./quantized_values.js";

/** Maximum elements of the im2col matrix: 64 MiB. */
const largestMatrix = 2 ** 26;

export function prepareQconv(call: QconvCall, builder: PassBuilder): void {
  const { input, output, kernelSize, geometry } = call;
  if (sizeOf(output.view.shape) === 0) return;
  const [batch, channels] = input.view.shape;
  const [, outChannels, outHeight, outWidth] = output.view.shape;
  const shape = [outChannels, channels / geometry.groups, ...kernelSize];
  if (isDepthwise({ shape, groups: geometry.groups })) {
    depthwiseQconv(call, builder);
    return;
  }
  const perRow = channels * sizeOf(kernelSize) * outWidth;
  const rows = Math.max(1, Math.min(outHeight, Math.floor(largestMatrix / Math.max(perRow, 1))));
  const images =
    rows < outHeight
      ? 1
      : Math.max(1, Math.min(batch, Math.floor(largestMatrix / Math.max(perRow * outHeight, 1))));
  for (let n = 0; n < batch; n += images) {
    for (let h = 0; h < outHeight; h += rows) {
      product(piece(call, n, Math.min(images, batch - n), h, Math.min(rows, outHeight - h)), builder);
    }
  }
}

/** The call on images from `n` on and rows of the output from `h` on. */
function piece(call: QconvCall, n: number, images: number, h: number, rows: number): QconvCall {
  const { input, output, inputScales, geometry } = call;
  const narrow = (operand: Operand, dim: number, from: number, count: number): Operand => {
    const { shape, strides, offset } = operand.view;
    const view: View = { shape: shape.with(dim, count), strides, offset: offset + from * strides[dim] };
    return { ...operand, view };
  };
  const [down, across] = geometry.padding;
  return {
    ...call,
    input: narrow(input, 0, n, images),
    output: narrow(narrow(output, 0, n, images), 2, h, rows),
    inputScales: inputScales && narrow(inputScales, 0, n, images),
    geometry: { ...geometry, padding: [down - h * geometry.stride[0], across] },
  };
}

function product(call: QconvCall, builder: PassBuilder): void {
  const { input, weight, format, output, kernelSize, geometry, inputZeroPoint } = call;
  const { groups } = geometry;
  const [, outChannels, outHeight, outWidth] = output.view.shape;
  const pixels = [outHeight, outWidth] as const;
  const patches = { image: input, pixels, kernel: kernelSize, geometry, outside: inputZeroPoint };
  const rows = pixelRows(call) ?? preparePatches({ ...patches, direction: "forward" }, builder);
  const n = outChannels / groups;
  const sums = quantizedTiles({ input: rows, weight, format, n }, builder);
  // Channels as [groups, channels of a group].
  const { shape, strides, offset } = output.view;
  const view: View = {
    shape: [shape[0], groups, n, outHeight, outWidth],
    strides: [strides[0], n * strides[1], ...strides.slice(1)],
    offset,
  };
  const steps = {
    matrix: { strides: [0, 1, 0, 0, 0], offset: 0 },
    row: { strides: [outHeight * outWidth, 0, 0, outWidth, 1], offset: 0 },
    column: { strides: [0, 0, 1, 0, 0], offset: 0 },
  };
  const dequantization = dequantizationOf(call, "integers", [0, n, 1, 0, 0], [1, 0, 0, 0, 0]);
  mergeSums(sums, { ...output, view }, steps, dequantization, builder);
}

/** The image itself as [groups, pixels, channels], if each patch is one pixel and one stride covers all pixels. */
function pixelRows({ input, output, kernelSize, geometry }: QconvCall): Operand | undefined {
  const { shape, strides, offset } = input.view;
  const [batch, channels, height, width] = shape;
  const isPixel =
    kernelSize.every((extent) => extent === 1) &&
    geometry.stride.every((stride) => stride === 1) &&
    geometry.padding.every((padding) => padding === 0) &&
    output.view.shape[2] === height;
  const isEven = strides[2] === width * strides[3] && (batch === 1 || strides[0] === height * strides[2]);
  if (!isPixel || !isEven) return undefined;
  const perGroup = channels / geometry.groups;
  const view: View = {
    shape: [geometry.groups, batch * height * width, perGroup],
    strides: [perGroup * strides[1], strides[3], strides[1]],
    offset,
  };
  return { ...input, view };
}
