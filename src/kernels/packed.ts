/**
 * How the weights of quantized products lie in memory, the same on every device: an int32 buffer of one dimension, each element
 * four bytes, the first in its lowest bits. packWeight in src/ops/packed_weight.ts arranges them.
 *
 * - 8 and 7 bits, a matrix [n, k]: panels of 8 rows, each cut into steps of 4 along k. Byte 32·(panel·⌈k/4⌉ + step) + 4·j + i is
 *   weight [8·panel + j, 4·step + i]. Values of 7 bits are stored plus 64, as 1..127, because engines differ in whether relaxed
 *   SIMD's int8 dot product takes its second operand for signed or unsigned.
 * - 4 bits: panels of 8 rows, steps of 8 along k. Byte 32·(panel·k/8 + step) + 4·j + i holds weight [8·panel + j, 8·step + i] + 8
 *   in its low half and [8·panel + j, 8·step + 4 + i] + 8 in its high half.
 * - convolutions [O, C/groups, KH, KW]: for each group the matrix [O/groups, KH·KW·C/groups], in it (row, column, channel) from
 *   slow to fast. Depthwise ones, with one input and one output channel in a group: [KH·KW, channels rounded up to 16].
 *
 * What lies beyond n, k or the channels stands for 0.
 */
import type { WeightFormat } from "./quantized.js";

/** Rows of a panel, and values of a row that stand together. */
export const panelRows = 8;
export const stepLength = 4;
/** What is added to values of 7 bits. */
const offsetOf7 = 64;
/** Channels of depthwise weights come in as many. */
export const depthwiseLanes = 16;

/** Extents of convolution weights, [O, C/groups, KH, KW], and the groups. */
export interface ConvExtents {
  readonly shape: readonly number[];
  readonly groups: number;
}

/** What the stored bytes of 8- and 7-bit weights are above the weights. */
export function storedOffset({ bits }: WeightFormat): number {
  return bits === 7 ? offsetOf7 : 0;
}

/** Bytes of an element of the buffer. */
export const wordBytes = 4;

/** Bytes of a packed matrix [n, k]. */
export function packedBytes(n: number, k: number, { bits }: WeightFormat): number {
  const panels = Math.ceil(n / panelRows);
  return bits === 4
    ? (panels * panelRows * k) / 2
    : panels * panelRows * Math.ceil(k / stepLength) * stepLength;
}

/** One input and one output channel in each group. */
export function isDepthwise({ shape: [out, perGroup], groups }: ConvExtents): boolean {
  return perGroup === 1 && out === groups && groups > 1;
}

export function packedConvBytes(extents: ConvExtents, format: WeightFormat): number {
  const [out, perGroup, kernelH, kernelW] = extents.shape;
  if (isDepthwise(extents)) return kernelH * kernelW * Math.ceil(out / depthwiseLanes) * depthwiseLanes;
  return extents.groups * packedBytes(out / extents.groups, kernelH * kernelW * perGroup, format);
}
