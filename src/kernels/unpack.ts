/** Unpacks weights (packed.ts) to row-major integers, for the reference device and for files. */
import type { TypedArray } from "../core/dtype.js";
import {
  type ConvExtents,
  isDepthwise,
  packedBytes,
  packedConvBytes,
  panelRows,
  stepLength,
  storedOffset,
  wordBytes,
} from "./packed.js";
import type { QuantizedFormat } from "./quantized.js";

/** The bytes of packed weights from int32 element `start` on. */
export function bytesOf(packed: TypedArray, start = 0): Int8Array {
  return new Int8Array(packed.buffer, packed.byteOffset + start * wordBytes);
}

/** The integers [n, k], row-major, of a packed matrix; for 4 bits k is a multiple of 8. */
export function unpackMatrix(
  packed: ArrayLike<number>,
  n: number,
  k: number,
  format: QuantizedFormat,
  start = 0,
): Int8Array {
  const result = new Int8Array(n * k);
  const offset = storedOffset(format);
  for (let row = 0; row < n; row++) {
    for (let p = 0; p < k; p++) {
      if (format.bits === 4) {
        const { at, shift } = placeOf4(row, p, k);
        result[row * k + p] = ((packed[start + at] >> shift) & 0xf) - offset;
      } else {
        result[row * k + p] = packed[start + placeOf8(row, p, k)] - offset;
      }
    }
  }
  return result;
}

/** The byte of weight [row, p]. */
function placeOf8(row: number, p: number, k: number): number {
  const step = Math.floor(row / panelRows) * Math.ceil(k / stepLength) + Math.floor(p / stepLength);
  return panelRows * stepLength * step + stepLength * (row % panelRows) + (p % stepLength);
}

/** The byte of weight [row, p], and the shift of its four bits there. */
function placeOf4(row: number, p: number, k: number): { readonly at: number; readonly shift: number } {
  const step = Math.floor(row / panelRows) * (k / 8) + Math.floor(p / 8);
  const at = panelRows * stepLength * step + stepLength * (row % panelRows) + (p % stepLength);
  return { at, shift: p % 8 < stepLength ? 0 : 4 };
}

/** The integers [O, C/groups, KH, KW], row-major, of packed convolution weights. */
export function unpackConv(
  packed: ArrayLike<number>,
  extents: ConvExtents,
  format: QuantizedFormat,
): Int8Array {
  const [out, perGroup, kernelH, kernelW] = extents.shape;
  const kernelSize = kernelH * kernelW;
  const result = new Int8Array(out * perGroup * kernelSize);
  if (isDepthwise(extents)) {
    const pitch = packedConvBytes(extents, format) / kernelSize;
    for (let channel = 0; channel < out; channel++) {
      for (let element = 0; element < kernelSize; element++) {
        result[channel * kernelSize + element] = packed[element * pitch + channel] - storedOffset(format);
      }
    }
    return result;
  }
  const rows = out / extents.groups;
  const k = kernelSize * perGroup;
  const groupBytes = packedBytes(rows, k, format);
  for (let group = 0; group < extents.groups; group++) {
    const matrix = unpackMatrix(packed, rows, k, format, group * groupBytes);
    for (let row = 0; row < rows; row++) {
      for (let channel = 0; channel < perGroup; channel++) {
        for (let element = 0; element < kernelSize; element++) {
          const to = ((group * rows + row) * perGroup + channel) * kernelSize + element;
          result[to] = matrix[row * k + element * perGroup + channel];
        }
      }
    }
  }
  return result;
}
