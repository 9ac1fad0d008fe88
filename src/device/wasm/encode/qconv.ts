/** Encodes `qconv`; layout in assembly/qconv_payload_i8.ts. */
import { sizeOf } from "../../../core/shape.js";
import type { QconvCall } from "../../../kernels/kernel.js";
import { depthwiseLanes, isDepthwise, packedConvBytes } from "../../../kernels/packed.js";
import { type CommandWriter, Opcode } from "../command.js";
import { imageBytes, isInPlace, type PaddedImage, writeImage } from "./image.js";
import {
  itemBytes,
  packedRowBytes,
  panelSumBytes,
  rowsOfBlock,
  rowTableBytes,
  WorkingSpaces,
  widenedBytes,
  writeDequantization,
  writeVector,
} from "./quantized.js";

/** The words of the payload after those of the window, before the image and the dequantization. */
export const qconvLayout =
  "source weight output groupBytes sourceN outputN outputRow outputColumn inputScales inputScalesN zeroPoint " +
  "inPlace depthwise blockPixels sums table packed gathered padded segments prepared widened image";

/** Bytes beyond a gathered row that may be overwritten. */
export const gatherOverrun = 16;

export function encodeQconv(call: QconvCall, writer: CommandWriter): void {
  const { input, weight, output, kernelSize, geometry, format } = call;
  if (sizeOf(output.view.shape) === 0) return;
  const { stride, padding, dilation, groups } = geometry;
  const [batch, outputs, outputH, outputW] = output.view.shape;
  const channels = input.view.shape[1];
  const [kernelH, kernelW] = kernelSize;
  const extents = { shape: [outputs, channels / groups, kernelH, kernelW], groups };
  const depthwise = isDepthwise(extents);
  const image: PaddedImage = {
    operand: input,
    top: padding[0],
    left: padding[1],
    stepH: 1,
    stepW: 1,
    paddedH: (outputH - 1) * stride[0] + dilation[0] * (kernelH - 1) + 1,
    paddedW: (outputW - 1) * stride[1] + dilation[1] * (kernelW - 1) + 1,
  };
  // The depthwise kernel reads 16 channels at a time, which would read beyond the buffer of an image in place.
  const inPlace = isInPlace(image) && (!depthwise || channels % depthwiseLanes === 0);
  const length = (kernelH * kernelW * channels) / groups;
  const pixels = rowsOfBlock(outputH * outputW, length);
  const item = itemBytes(output);
  const [outputN, outputC, outputRow, outputColumn] = output.view.strides;
  const spaces = new WorkingSpaces(writer);

  writer.begin(Opcode.qconv);
  writer.i32(
    batch,
    groups,
    channels / groups,
    outputs / groups,
    kernelH,
    kernelW,
    ...dilation,
    ...stride,
    outputH,
    outputW,
  );
  for (const operand of [input, weight, output]) writer.address(operand);
  writer.i32(packedConvBytes(extents, format) / groups, input.view.strides[0]);
  for (const bytes of [outputN, outputRow, outputColumn]) writer.i32(bytes * item);
  writeVector(call.inputScales, writer);
  writer.i32(call.inputZeroPoint, inPlace ? 1 : 0, depthwise ? 1 : 0, pixels);
  // 16 channels of a depthwise convolution are two panels.
  spaces.write(panelSumBytes(depthwise ? 2 * pixels : pixels));
  spaces.write(pixels * rowTableBytes);
  spaces.write(depthwise ? 0 : packedRowBytes(pixels, length));
  spaces.write(4 * (length + gatherOverrun));
  spaces.write(inPlace ? 0 : imageBytes(image));
  // One more for depthwise kernels with an odd number of elements.
  spaces.write((kernelH * kernelW + 1) * 4);
  spaces.write(depthwise ? Math.ceil((kernelH * kernelW) / 2) * Math.ceil(channels / 16) * 64 : 0);
  spaces.write(depthwise ? 0 : widenedBytes(length));
  writeImage(image, writer);
  const step = (outputs === 1 ? 1 : outputC) * item;
  // Groups are computed one after the other, each for all rows of the block.
  const most = depthwise || groups === 1 ? undefined : outputs;
  writeDequantization(call, pixels, [0, 2, 3, 1], step, spaces, writer, undefined, most);
  writer.end();
}
