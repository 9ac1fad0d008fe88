/** Blocks of GGUF as weights in host memory, without rounding: the values that blocks stand for are those of the formats. */
import { decodeFloat16 } from "../core/half.js";
import type { HostWeight, WeightFormatName } from "../core/weight_format.js";

/** Formats by the types that they hold exactly. */
const exact: Readonly<Record<string, WeightFormatName>> = {
  Q4_0: "int4",
  Q4_1: "int4Minimum",
  Q8_0: "int8Groups",
  F16: "float16",
  BF16: "bfloat16",
};

/** The format for weights of a type: one that holds them exactly, int8 for other quantized types; undefined for F32 and F64. */
export function keptFormat(stored: string): WeightFormatName | undefined {
  return exact[stored] ?? (stored.startsWith("Q") ? "int8" : undefined);
}

/** Elements of a block. */
export const blockSize = 32;

/** Bytes of a row of k elements. */
export function rowBytes(format: WeightFormatName, k: number): number {
  if (format === "float16" || format === "bfloat16") return 2 * k;
  return (k / blockSize) * { int4: 18, int4Minimum: 20, int8Groups: 34 }[format as "int4"];
}

/** Rows of k elements, as files have them. */
export function weightInBlocks(
  format: WeightFormatName,
  bytes: Uint8Array,
  rows: number,
  k: number,
): HostWeight {
  const shape = [rows, k] as const;
  if (format === "float16" || format === "bfloat16") {
    const own = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
    return { format, shape, values: new Uint16Array(own.buffer, own.byteOffset, rows * k) };
  }
  const count = (rows * k) / blockSize;
  const size = rowBytes(format, blockSize);
  const hasMinimum = format === "int4Minimum";
  const start = hasMinimum ? 4 : 2;
  const scales = new Uint16Array(count);
  const minimums = new Uint16Array(hasMinimum ? count : 0);
  const half = (at: number) => bytes[at] | (bytes[at + 1] << 8);
  for (let i = 0; i < count; i++) {
    scales[i] = half(i * size);
    if (hasMinimum) minimums[i] = half(i * size + 2);
  }
  const common = { format, shape, groupSize: blockSize, scales: decodeFloat16(scales) };
  if (format === "int8Groups") {
    const values = new Int8Array(rows * k);
    const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let i = 0; i < count; i++) {
      values.set(signed.subarray(i * size + start, (i + 1) * size), i * blockSize);
    }
    return { ...common, values };
  }
  const values = new Uint8Array((rows * k) / 2);
  for (let i = 0; i < count; i++) {
    const from = i * size + start;
    const to = (i * blockSize) / 2;
    // The low halves of the 16 bytes are the first 16 elements, the high ones the others; a weight has neighbours in a byte.
    for (let j = 0; j < 8; j++) {
      const [a, b] = [bytes[from + 2 * j], bytes[from + 2 * j + 1]];
      values[to + j] = (a & 15) | ((b & 15) << 4);
      values[to + 8 + j] = (a >> 4) | (b & 0xf0);
    }
  }
  return { ...common, values, ...(hasMinimum && { minimums: decodeFloat16(minimums) }) };
}
