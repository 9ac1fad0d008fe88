/** The payload words that all convolutions share, and the padded copy of an image in scratch memory (assembly/conv_image.ts). */
import { itemSize } from "../../../core/dtype.js";
import type { Operand } from "../../../kernels/kernel.js";
import type { CommandWriter } from "../command.js";

/**
 * The first words of the payloads of all convolutions: input and output channels are those per group; the strides are those of the
 * window.
 */
export const windowLayout =
  "batch groups inputs outputs kernelH kernelW dilationH dilationW strideH strideW outputH outputW";

/**
 * An image: strides in elements; row and column of pixel (0, 0) in the padded image (may be negative), and the steps between rows and
 * columns there; height and width of the padded image.
 */
export const imageLayout =
  "channels height width strideC strideH strideW top left stepH stepW paddedH paddedW";

/** Bytes beyond the last window that a kernel may read but does not use. */
const overrun = 64;

export interface PaddedImage {
  readonly operand: Operand;
  readonly top: number;
  readonly left: number;
  readonly stepH: number;
  readonly stepW: number;
  readonly paddedH: number;
  readonly paddedW: number;
}

export function writeImage(
  { operand, top, left, stepH, stepW, paddedH, paddedW }: PaddedImage,
  writer: CommandWriter,
): void {
  const [, channels, height, width] = operand.view.shape;
  const [, strideC, strideH, strideW] = operand.view.strides;
  const words = [channels, height, width, channels === 1 ? 1 : strideC, strideH, strideW];
  writer.i32(...words, top, left, stepH, stepW, paddedH, paddedW);
}

export function imageBytes({ operand, paddedH, paddedW }: PaddedImage): number {
  return align(paddedH * paddedW * operand.view.shape[1] * itemSize[operand.dtype] + overrun);
}

export function align(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}

/** Whether the image in memory already has the layout of the padded image. */
export function isInPlace({ operand, top, left, stepH, stepW, paddedH, paddedW }: PaddedImage): boolean {
  const [, channels, height, width] = operand.view.shape;
  const [, strideC, strideH, strideW] = operand.view.strides;
  return (
    top === 0 &&
    left === 0 &&
    stepH === 1 &&
    stepW === 1 &&
    paddedH <= height &&
    paddedW === width &&
    (strideC === 1 || channels === 1) &&
    strideW === channels &&
    strideH === width * channels
  );
}
