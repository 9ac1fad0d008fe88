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
import type { TypedArray } from "../tensor/dtype.js";
import type { WeightFormat } from "./kernel.js";

/** Rows of a panel, and values of a row that stand together. */
export const panelRows = 8;
export const stepLength = 4;
/** What is added to values of 7 bits. */
const offsetOf7 = 64;
/** What is added to values of 4 bits. */
const offsetOf4 = 8;
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

/** The bytes of packed weights from element `start` on, as they lie in memory. */
export function bytesOf(packed: TypedArray, start = 0): Int8Array {
  return new Int8Array(packed.buffer, packed.byteOffset + start * wordBytes);
}

/** Bytes of a packed matrix [n, k]. */
export function packedBytes(n: number, k: number, { bits }: WeightFormat): number {
  const panels = Math.ceil(n / panelRows);
  return bits === 4
    ? (panels * panelRows * k) / 2
    : panels * panelRows * Math.ceil(k / stepLength) * stepLength;
}

/** The whole numbers [n, k], row-major, of a packed matrix; k of 4-bit weights is a multiple of 8. */
export function unpackMatrix(
  packed: ArrayLike<number>,
  n: number,
  k: number,
  format: WeightFormat,
  start = 0,
): Int8Array {
  const result = new Int8Array(n * k);
  const offset = storedOffset(format);
  for (let row = 0; row < n; row++) {
    for (let p = 0; p < k; p++) {
      if (format.bits === 4) {
        const { at, shift } = placeOf4(row, p, k);
        result[row * k + p] = ((packed[start + at] >> shift) & 0xf) - offsetOf4;
      } else {
        result[row * k + p] = packed[start + placeOf8(row, p, k)] - offset;
      }
    }
  }
  return result;
}

function placeOf8(row: number, p: number, k: number): number {
  const step = Math.floor(row / panelRows) * Math.ceil(k / stepLength) + Math.floor(p / stepLength);
  return panelRows * stepLength * step + stepLength * (row % panelRows) + (p % stepLength);
}

function placeOf4(row: number, p: number, k: number): { readonly at: number; readonly shift: number } {
  const step = Math.floor(row / panelRows) * (k / 8) + Math.floor(p / 8);
  const at = panelRows * stepLength * step + stepLength * (row % panelRows) + (p % stepLength);
  return { at, shift: p % 8 < stepLength ? 0 : 4 };
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

/** The whole numbers [O, C/groups, KH, KW], row-major, of packed weights. */
export function unpackConv(packed: ArrayLike<number>, extents: ConvExtents, format: WeightFormat): Int8Array {
  const [out, perGroup, kernelH, kernelW] = extents.shape;
  const taps = kernelH * kernelW;
  const result = new Int8Array(out * perGroup * taps);
  if (isDepthwise(extents)) {
    const pitch = packedConvBytes(extents, format) / taps;
    for (let channel = 0; channel < out; channel++) {
      for (let tap = 0; tap < taps; tap++) {
        result[channel * taps + tap] = packed[tap * pitch + channel] - storedOffset(format);
      }
    }
    return result;
  }
  const rows = out / extents.groups;
  const k = taps * perGroup;
  const groupBytes = packedBytes(rows, k, format);
  for (let group = 0; group < extents.groups; group++) {
    const matrix = unpackMatrix(packed, rows, k, format, group * groupBytes);
    for (let row = 0; row < rows; row++) {
      for (let channel = 0; channel < perGroup; channel++) {
        for (let tap = 0; tap < taps; tap++) {
          const to = ((group * rows + row) * perGroup + channel) * taps + tap;
          result[to] = matrix[row * k + tap * perGroup + channel];
        }
      }
    }
  }
  return result;
}
