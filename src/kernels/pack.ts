/** Packs rows of weights in host memory into the kernels' layout (packed.ts), without a detour over floats. */
import type { HostWeight } from "../core/weight_format.js";
import { formatOf, requireParts } from "../core/weight_format.js";
import { packedBytes, panelRows, stepLength, storedOffset, wordBytes } from "./packed.js";
import type { QuantizedFormat } from "./quantized.js";

/** Rows of a quantized weight as kernels read them. Panels are independent, so that a matrix can be packed by ranges of whole panels. */
export interface PackedRows {
  readonly words: Int32Array;
  /** Scales of rows [n], or of groups in panels. */
  readonly scales: Float32Array;
  /** For formats with an offset, in panels: minimums, or for zero points (8 − zero point) · scale. */
  readonly minimums?: Float32Array;
}

/**
 * Packs a quantized weight. Rows from a multiple of 8 on may be packed by themselves.
 *
 * @param memory Where the words are written, if it is given.
 * @throws ArgumentError if the parts do not fit the format and the shape.
 */
export function packRows(weight: HostWeight, memory?: ArrayBuffer): PackedRows {
  requireParts(weight);
  const { format: name, shape, groupSize, minimums, zeroPoints } = weight;
  const scales = weight.scales!;
  const format = formatOf(name, groupSize) as QuantizedFormat;
  const [n, k] = shape;
  const count = packedBytes(n, k, format) / wordBytes;
  const words = memory ? new Int32Array(memory, 0, count).fill(0) : new Int32Array(count);
  if (format.bits === 4) packPairs(words, weight);
  else packBytes(words, weight, storedOffset(format));
  if (format.groupSize === undefined) return { words, scales: Float32Array.from(scales) };
  const groups = k / format.groupSize;
  const offset = storedOffset(format);
  const shifts = zeroPoints?.length
    ? Float32Array.from(zeroPoints, (zeroPoint, i) => (offset - zeroPoint) * scales[i])
    : minimums;
  return {
    words,
    scales: arranged(scales, n, groups),
    ...(shifts && { minimums: arranged(shifts, n, groups) }),
  };
}

/** [n, groups] as [⌈n/8⌉, groups, 8]. */
function arranged(values: Float32Array, n: number, groups: number): Float32Array {
  const result = new Float32Array(Math.ceil(n / panelRows) * panelRows * groups);
  for (let i = 0; i < n * groups; i++) {
    const row = Math.floor(i / groups);
    const panel = Math.floor(row / panelRows);
    result[(panel * groups + (i - row * groups)) * panelRows + (row % panelRows)] = values[i];
  }
  return result;
}

/** The values as words; copied if they are not aligned to a word. */
function wordsOf(values: HostWeight["values"], count: number): Int32Array {
  const isAligned = values.byteOffset % wordBytes === 0;
  const { buffer, byteOffset } = isAligned ? values : values.slice();
  return new Int32Array(buffer, byteOffset, count);
}

function packPairs(words: Int32Array, { values, shape: [n, k] }: HostWeight): void {
  const steps = k / (2 * stepLength);
  const source = wordsOf(values, n * steps);
  for (let row = 0; row < n; row++) {
    const lane = row % panelRows;
    let to = (row - lane) * steps + lane;
    for (let from = row * steps; from < (row + 1) * steps; from++) {
      // Eight numbers in order: the first four become the low, the others the high halves of bytes.
      words[to] = spread(source[from] & 0xffff) | (spread(source[from] >>> 16) << 4);
      to += panelRows;
    }
  }
}

/** Four numbers of 4 bits to the low halves of four bytes. */
function spread(numbers: number): number {
  const pairs = (numbers | (numbers << 8)) & 0x00ff00ff;
  return (pairs | (pairs << 4)) & 0x0f0f0f0f;
}

function packBytes(words: Int32Array, { values, shape: [n, k] }: HostWeight, offset: number): void {
  const steps = Math.ceil(k / stepLength);
  if (offset === 0 && k % stepLength === 0) {
    const source = wordsOf(values, n * steps);
    for (let row = 0; row < n; row++) {
      const lane = row % panelRows;
      let to = (row - lane) * steps + lane;
      for (let from = row * steps; from < (row + 1) * steps; from++) {
        words[to] = source[from];
        to += panelRows;
      }
    }
    return;
  }
  // Padding represents 0.
  const bytes = new Int8Array(words.buffer, 0, words.byteLength).fill(offset);
  for (let row = 0; row < n; row++) {
    const lane = row % panelRows;
    const start = ((row - lane) * steps + lane) * stepLength;
    for (let p = 0; p < k; p++) {
      bytes[start + (p >> 2) * panelRows * stepLength + (p & 3)] = values[row * k + p] + offset;
    }
  }
}
