/**
 * The types of tensors in GGUF files and their values as float32. Quantized ones are blocks of elements of one row, with a float16
 * scale and, in the types that end with 1 and in the K types, a minimum. Layouts: ggml-common.h of https://github.com/ggml-org/ggml;
 * values: the same, bit for bit, as `gguf.quants.dequantize` of the Python package gguf.
 */
import { decodeFloat16 } from "../core/half.js";
import { type StoredType, storedTypes } from "./safetensors_types.js";

/** Elements of a block of the K types. */
const superBlock = 256;

/** Decodes the block at `at` into the elements from `to` on. */
type DecodeBlock = (bytes: Uint8Array, at: number, values: Float32Array, to: number) => void;

function blocks(blockSize: number, itemSize: number, decodeBlock: DecodeBlock): StoredType {
  return {
    itemSize,
    blockSize,
    dtype: "float32",
    decode(bytes, _, into) {
      const count = bytes.length / itemSize;
      const values =
        into instanceof Float32Array
          ? into.subarray(0, count * blockSize)
          : new Float32Array(count * blockSize);
      for (let i = 0; i < count; i++) decodeBlock(bytes, i * itemSize, values, i * blockSize);
      return values;
    },
  };
}

let halves: Float32Array | undefined;

/** The float16 at `at`. */
function half(bytes: Uint8Array, at: number): number {
  halves ??= decodeFloat16(Uint16Array.from({ length: 65_536 }, (_, bits) => bits));
  return halves[bytes[at] | (bytes[at + 1] << 8)];
}

const signed = (byte: number) => (byte << 24) >> 24;

/** d · q, q of 8 bits. */
const q8: DecodeBlock = (bytes, at, values, to) => {
  const scale = half(bytes, at);
  for (let i = 0; i < 32; i++) values[to + i] = scale * signed(bytes[at + 2 + i]);
};

/** Nibbles: the low ones are the first 16 elements of a block, the high ones the others. d · (q − 8), or d · q + m; −0 added changes nothing, 0 would make +0 of −0. */
const q4 =
  (hasMinimum: boolean): DecodeBlock =>
  (bytes, at, values, to) => {
    const scale = half(bytes, at);
    const minimum = hasMinimum ? half(bytes, at + 2) : -0;
    const [start, middle] = hasMinimum ? [at + 4, 0] : [at + 2, 8];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[start + i];
      values[to + i] = scale * ((pair & 15) - middle) + minimum;
      values[to + 16 + i] = scale * ((pair >> 4) - middle) + minimum;
    }
  };

/** The fifth bit of element i is bit i of a word in front of the nibbles. d · (q − 16), or d · q + m. */
const q5 =
  (hasMinimum: boolean): DecodeBlock =>
  (bytes, at, values, to) => {
    const scale = half(bytes, at);
    const minimum = hasMinimum ? half(bytes, at + 2) : -0;
    const [start, middle] = hasMinimum ? [at + 4, 0] : [at + 2, 16];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[start + 4 + i];
      const low = (bytes[start + (i >> 3)] >> (i & 7)) & 1;
      const high = (bytes[start + 2 + (i >> 3)] >> (i & 7)) & 1;
      values[to + i] = scale * (((pair & 15) | (low << 4)) - middle) + minimum;
      values[to + 16 + i] = scale * (((pair >> 4) | (high << 4)) - middle) + minimum;
    }
  };

/**
 * The scale and the minimum of group `j` of 32, of 6 bits each, of the 12 bytes from `at` on: those of the first four groups have
 * bytes of their own, of the others the low four bits, and the high two are the rest of the former.
 */
function scaleOf(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j] & 63 : (bytes[at + j + 4] & 15) | ((bytes[at + j - 4] >> 6) << 4);
}

function minimumOf(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j + 4] & 63 : (bytes[at + j + 4] >> 4) | ((bytes[at + j] >> 6) << 4);
}

/** d · scale · q − dmin · minimum, in 8 groups of 32; two groups share 32 bytes. With the fifth bits in front of the nibbles, if any. */
const q45k =
  (hasFifthBit: boolean): DecodeBlock =>
  (bytes, at, values, to) => {
    const scale = half(bytes, at);
    const minimum = half(bytes, at + 2);
    const nibbles = at + 16 + (hasFifthBit ? 32 : 0);
    for (let j = 0; j < 8; j++) {
      const groupScale = scale * scaleOf(bytes, at + 4, j);
      const groupMinimum = minimum * minimumOf(bytes, at + 4, j);
      const shift = 4 * (j & 1);
      for (let i = 0; i < 32; i++) {
        const fifth = hasFifthBit ? ((bytes[at + 16 + i] >> j) & 1) << 4 : 0;
        const q = ((bytes[nibbles + 32 * (j >> 1) + i] >> shift) & 15) | fifth;
        values[to + 32 * j + i] = groupScale * q - groupMinimum;
      }
    }
  };

/** d · scale · (q − 32), 16 groups of 16 with scales of 8 bits; four bits of each q in the first 128 bytes, two in the next 64. */
const q6k: DecodeBlock = (bytes, at, values, to) => {
  const scale = half(bytes, at + 208);
  for (let i = 0; i < superBlock; i++) {
    // Element i is the `part`th of four that share bytes, at `l` of 32, in one of two halves of the block.
    const [second, part, l] = [i >> 7, (i >> 5) & 3, i & 31];
    const low = (bytes[at + 64 * second + 32 * (part & 1) + l] >> (4 * (part >> 1))) & 15;
    const high = (bytes[at + 128 + 32 * second + l] >> (2 * part)) & 3;
    values[to + i] = scale * signed(bytes[at + 192 + (i >> 4)]) * ((low | (high << 4)) - 32);
  }
};

export interface GgufType extends StoredType {
  readonly name: string;
}

let types: ReadonlyMap<number, GgufType> | undefined;

/** By their numbers in files (`ggml_type` of ggml.h); made when they are first asked for. */
export function ggufTypes(): ReadonlyMap<number, GgufType> {
  const plain = (name: string) => ({ ...storedTypes().get(name)!, name });
  types ??= new Map<number, GgufType>([
    [0, plain("F32")],
    [1, plain("F16")],
    [2, { name: "Q4_0", ...blocks(32, 18, q4(false)) }],
    [3, { name: "Q4_1", ...blocks(32, 20, q4(true)) }],
    [6, { name: "Q5_0", ...blocks(32, 22, q5(false)) }],
    [7, { name: "Q5_1", ...blocks(32, 24, q5(true)) }],
    [8, { name: "Q8_0", ...blocks(32, 34, q8) }],
    [12, { name: "Q4_K", ...blocks(superBlock, 144, q45k(false)) }],
    [13, { name: "Q5_K", ...blocks(superBlock, 176, q45k(true)) }],
    [14, { name: "Q6_K", ...blocks(superBlock, 210, q6k) }],
    [24, plain("I8")],
    [25, plain("I16")],
    [26, plain("I32")],
    [27, plain("I64")],
    [28, plain("F64")],
    [30, plain("BF16")],
  ]);
  return types;
}
