/** Encodes the convolutions for assembly/conv_f32.ts and conv_grad_f32.ts. */
import { isDense, memoryOrder } from "../../../core/view.js";
import type { ConvCall, Operand } from "../../../kernels/kernel.js";
import { type CommandWriter, Opcode } from "../command.js";
import { endWithEpilogue, planEpilogue, writeEpilogueWords } from "./epilogue.js";
import { align, imageBytes, isInPlace, type PaddedImage, writeImage } from "./image.js";
import { Stored } from "./strides.js";
import { tileBytes, widenedBytes } from "./tile.js";

/** The words of `conv` and `convGradInput` after those of the window, before the image and the epilogue. */
export const convLayout =
  "source weight output sourceN weightO weightI weightH weightW weightG outputN outputC outputRow outputColumn " +
  "scratch panels padded segments inPlace cachedPanels filled bias relu epilogue format widened image";

/** The words of `convGradWeight` after those of the window, before the image. */
export const convGradWeightLayout =
  "input output weight inputN outputN outputC outputRow outputColumn weightO weightI weightH weightW " +
  "scratch sums padded panels segments image";

export function encodeConv(call: ConvCall, writer: CommandWriter): void {
  if (call.kernel === "convGradWeight") encodeGradWeight(call, writer);
  else encodeCorrelation(call, writer);
}

function encodeCorrelation(
  { kernel, input, weight, output, geometry, epilogue }: ConvCall,
  writer: CommandWriter,
): void {
  const { stride, padding, dilation, groups } = geometry;
  const isGradInput = kernel === "convGradInput";
  const [source, result] = isGradInput ? [output, input] : [input, output];
  const [, , kernelH, kernelW] = weight.view.shape;
  const [batch, resultChannels, resultH, resultW] = result.view.shape;
  const perGroup = source.view.shape[1] / groups;
  const resultPerGroup = resultChannels / groups;
  const extentH = dilation[0] * (kernelH - 1);
  const extentW = dilation[1] * (kernelW - 1);
  // convGradInput is a transposed convolution: source pixels are `stride` apart in the padded image, and the window moves by 1.
  const step = isGradInput ? [1, 1] : stride;
  const image: PaddedImage = {
    operand: source,
    top: isGradInput ? extentH - padding[0] : padding[0],
    left: isGradInput ? extentW - padding[1] : padding[1],
    stepH: isGradInput ? stride[0] : 1,
    stepW: isGradInput ? stride[1] : 1,
    paddedH: (resultH - 1) * step[0] + extentH + 1,
    paddedW: (resultW - 1) * step[1] + extentW + 1,
  };
  const inPlace = isInPlace(image);
  const plan = planEpilogue(result, epilogue, resultChannels, isImageByImage(result));
  const panels = tileBytes;
  const panelBytes = groups * Math.ceil(resultPerGroup / 8) * 8 * kernelH * kernelW * perGroup * 4;
  const padded = align(panels + panelBytes);
  const segments = padded + (inPlace ? 0 : imageBytes(image));

  const [strideO, strideI, strideH, strideW] = weight.view.strides;
  // convGradInput flips the kernel (it starts at the last element, with negative strides) and swaps input and output channels.
  const lastElement = (kernelH - 1) * strideH + (kernelW - 1) * strideW;
  const first: Operand = isGradInput
    ? { ...weight, view: { ...weight.view, offset: weight.view.offset + lastElement } }
    : weight;
  const weightStrides = isGradInput
    ? [strideI, strideO, -strideH, -strideW, perGroup * strideO]
    : [strideO, strideI, strideH, strideW, resultPerGroup * strideO];

  writer.begin(isGradInput ? Opcode.convGradInput : Opcode.conv);
  writer.i32(
    batch,
    groups,
    perGroup,
    resultPerGroup,
    kernelH,
    kernelW,
    ...dilation,
    ...step,
    resultH,
    resultW,
  );
  writer.address(source);
  writer.address(first);
  writer.address(result);
  const [resultN, resultC, resultRow, resultColumn] = result.view.strides;
  const channelStride = resultChannels === 1 ? 1 : resultC;
  const strides = [source.view.strides[0], ...weightStrides, resultN, channelStride, resultRow, resultColumn];
  writer.i32(...strides);
  const widened = align(segments + kernelH * kernelW * 4);
  writer.scratch(widened + widenedBytes);
  writer.i32(panels, padded, segments, inPlace ? 1 : 0);
  const layout = [groups, perGroup, resultPerGroup, kernelH, kernelW, ...weightStrides];
  writer.panels(weight.dtype === "float32" ? first : undefined, layout, panelBytes);
  writeEpilogueWords(plan, writer);
  writer.i32(Stored[weight.dtype as keyof typeof Stored]);
  writer.i32(widened);
  writeImage(image, writer);
  endWithEpilogue(plan, resultChannels * resultH * resultW, writer);
}

/** Whether the images of the batch are contiguous in memory, in order. */
function isImageByImage({ view }: Operand): boolean {
  return isDense(view) && (view.shape[0] === 1 || memoryOrder(view)[0] === 0);
}

function encodeGradWeight({ input, weight, output, geometry }: ConvCall, writer: CommandWriter): void {
  const { stride, padding, dilation, groups } = geometry;
  const [outputs, perGroup, kernelH, kernelW] = weight.view.shape;
  const [batch, , outputH, outputW] = output.view.shape;
  const outputsPerGroup = outputs / groups;
  const image: PaddedImage = {
    operand: input,
    top: padding[0],
    left: padding[1],
    stepH: 1,
    stepW: 1,
    paddedH: (outputH - 1) * stride[0] + dilation[0] * (kernelH - 1) + 1,
    paddedW: (outputW - 1) * stride[1] + dilation[1] * (kernelW - 1) + 1,
  };
  const sums = tileBytes;
  const padded = align(sums + outputs * kernelH * kernelW * perGroup * 4);
  const panels = padded + imageBytes(image);
  const segments = panels + groups * Math.ceil(outputsPerGroup / 4) * outputH * outputW * 16;

  writer.begin(Opcode.convGradWeight);
  writer.i32(
    batch,
    groups,
    perGroup,
    outputsPerGroup,
    kernelH,
    kernelW,
    ...dilation,
    ...stride,
    outputH,
    outputW,
  );
  writer.address(input);
  writer.address(output);
  writer.address(weight);
  writer.i32(input.view.strides[0], ...output.view.strides, ...weight.view.strides);
  writer.scratch(segments + kernelH * kernelW * 4);
  writer.i32(sums, padded, panels, segments);
  writeImage(image, writer);
  writer.end();
}
