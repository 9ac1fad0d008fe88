/**
 * Memory layout of packed quantized weights, the same on every device: a 1-D int32 buffer that holds four bytes per element,
 * little-endian. packWeight in src/ops/packed_weight.ts writes it.
 *
 * - 8 and 7 bits, a matrix [n, k]: panels of 8 rows, each split into steps of 4 along k. Byte 32·(panel·⌈k/4⌉ + step) + 4·j + i is
 *   weight [8·panel + j, 4·step + i]. Values of 7 bits are stored with an offset of 64, as 1..127, because engines differ in whether
 *   relaxed SIMD's int8 dot product reads its second operand as signed or unsigned.
 * - 4 bits: panels of 8 rows, steps of 8 along k. Byte 32·(panel·k/8 + step) + 4·j + i holds number 0..15 [8·panel + j, 8·step + i]
 *   in its low half and [8·panel + j, 8·step + 4 + i] in its high half. Without minimums the number is the weight + 8.
 * - scales and minimums of groups, float32 [⌈n/8⌉ panels][k/groupSize groups][8 rows].
 * - convolutions [O, C/groups, KH, KW]: for each group a matrix [O/groups, KH·KW·C/groups] as above, its columns in the order
 *   (row, column, channel), channel fastest. Depthwise (one input and one output channel per group): [KH·KW, channels rounded up to 16].
 *
 * Padding beyond n, k or the channels represents 0.
 */
import type { QuantizedFormat } from "./quantized.js";

/** Rows of a panel, and consecutive values of a row in a step. */
export const panelRows = 8;
export const stepLength = 4;
/** Added to 7-bit values when they are stored. */
const offsetOf7 = 64;
/** Added to 4-bit values when they are stored. */
const offsetOf4 = 8;
/** Channels of depthwise weights are padded to a multiple of this. */
export const depthwiseLanes = 16;

/** Extents of convolution weights, [O, C/groups, KH, KW], and the groups. */
export interface ConvExtents {
  readonly shape: readonly number[];
  readonly groups: number;
}

/** Stored number minus weight. For 4-bit weights with minimums it is 0: the weights are 0..15. */
export function storedOffset({ bits, offset }: QuantizedFormat): number {
  if (bits === 4) return offset === "minimum" ? 0 : offsetOf4;
  return bits === 7 ? offsetOf7 : 0;
}

/** Bytes of an element of the buffer. */
export const wordBytes = 4;

/** Bytes of a packed matrix [n, k]. */
export function packedBytes(n: number, k: number, { bits }: QuantizedFormat): number {
  const panels = Math.ceil(n / panelRows);
  return bits === 4
    ? (panels * panelRows * k) / 2
    : panels * panelRows * Math.ceil(k / stepLength) * stepLength;
}

/** True if each of several groups has one input and one output channel. */
export function isDepthwise({ shape: [out, perGroup], groups }: ConvExtents): boolean {
  return perGroup === 1 && out === groups && groups > 1;
}

export function packedConvBytes(extents: ConvExtents, format: QuantizedFormat): number {
  const [out, perGroup, kernelH, kernelW] = extents.shape;
  if (isDepthwise(extents)) return kernelH * kernelW * Math.ceil(out / depthwiseLanes) * depthwiseLanes;
  return extents.groups * packedBytes(out / extents.groups, kernelH * kernelW * perGroup, format);
}
