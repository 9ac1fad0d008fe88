/** Weight formats: hand-made blocks of GGUF and of ONNX's MatMulNBits have the same values bit for bit. */
import { describe, expect, it } from "vitest";
import { decodeFloat16, encodeBfloat16, encodeFloat16 } from "../src/core/half.js";
import { type HostWeight, unpackWeight, weightBytes } from "../src/core/weight_format.js";
import { seedOf, uniform } from "./cases/generate.js";

const seed = seedOf("weight formats");
let drawn = 0;
const below = (n: number) => Math.floor(uniform(seed, drawn++) * n);
/** A half between ±2, as float32. */
const half = () => decodeFloat16(encodeFloat16(Float32Array.of(4 * uniform(seed, drawn++) - 2)))[0];
const list = <T>(length: number, value: (i: number) => T) => Array.from({ length }, (_, i) => value(i));

/** Bits of float32, so that signs of zeros count. */
const bits = (values: Float32Array) => Array.from(new Uint32Array(values.buffer));

const [n, k] = [3, 64];
const groups = k / 32;

/** Two numbers in a byte, the first in the low half. */
function pairs(values: readonly number[]): Uint8Array {
  return Uint8Array.from({ length: values.length / 2 }, (_, i) => values[2 * i] | (values[2 * i + 1] << 4));
}

/**
 * A block of GGUF with 32 weights of 4 bits: byte j holds weight j in its low and weight j + 16 in its high half (ggml-common.h,
 * block_q4_0 and block_q4_1).
 */
interface Block {
  readonly d: number;
  readonly m: number;
  readonly bytes: readonly number[];
}

const blocks: readonly Block[] = list(n * groups, () => ({
  d: half(),
  m: half(),
  bytes: list(16, () => below(256)),
}));
const inOrder = blocks.flatMap(({ bytes }) => [...bytes.map((b) => b & 15), ...bytes.map((b) => b >> 4)]);

/** Dequantized as ggml does, a block at a time, in float32. */
function ggml(value: (block: Block, q: number) => number): Float32Array {
  return Float32Array.from(
    blocks.flatMap((block) => {
      const low = block.bytes.map((b) => value(block, b & 15));
      return [...low, ...block.bytes.map((b) => value(block, b >> 4))];
    }),
  );
}

const common = { shape: [n, k] as const, groupSize: 32 };
const scales = Float32Array.from(blocks, ({ d }) => d);

describe("unpackWeight", () => {
  it("is Q4_0 of GGUF", () => {
    const weight: HostWeight = { ...common, format: "int4", values: pairs(inOrder), scales };
    expect(bits(unpackWeight(weight))).toEqual(bits(ggml(({ d }, q) => (q - 8) * d)));
  });

  it("is Q4_1 of GGUF", () => {
    const minimums = Float32Array.from(blocks, ({ m }) => m);
    const weight: HostWeight = { ...common, format: "int4Minimum", values: pairs(inOrder), scales, minimums };
    expect(bits(unpackWeight(weight))).toEqual(bits(ggml(({ d, m }, q) => Math.fround(q * d) + m)));
  });

  it("is Q8_0 of GGUF", () => {
    const values = Int8Array.from({ length: n * k }, () => below(256) - 128);
    const weight: HostWeight = { ...common, format: "int8Groups", values, scales };
    const wanted = Float32Array.from(values, (q, i) => q * scales[Math.floor(i / 32)]);
    expect(bits(unpackWeight(weight))).toEqual(bits(wanted));
  });

  it("is ONNX's MatMulNBits with and without zero points", () => {
    const blockSize = 16;
    const perRow = k / blockSize;
    const bytes = Uint8Array.from({ length: (n * k) / 2 }, () => below(256));
    const factors = Float32Array.from({ length: n * perRow }, () => 2 * uniform(seed, drawn++) - 1);
    // Zero points are packed along the blocks of a row, two in a byte.
    const packedZeros = list((n * perRow) / 2, () => below(256));
    const zeros = packedZeros.flatMap((b) => [b & 15, b >> 4]);
    const wanted = (zeroPoint: (block: number) => number) =>
      Float32Array.from({ length: n * k }, (_, i) => {
        const block = Math.floor(i / blockSize);
        const q = (bytes[i >> 1] >> (4 * (i % 2))) & 15;
        return (q - zeroPoint(block)) * factors[block];
      });
    const weight = { shape: [n, k], groupSize: blockSize, values: bytes, scales: factors } as const;
    const zeroPoints = Uint8Array.from(zeros);
    expect(bits(unpackWeight({ ...weight, format: "int4ZeroPoint", zeroPoints }))).toEqual(
      bits(wanted((block) => zeros[block])),
    );
    expect(bits(unpackWeight({ ...weight, format: "int4" }))).toEqual(bits(wanted(() => 8)));
  });

  it("widens halves, and scales rows", () => {
    const floats = Float32Array.from({ length: n * k }, half);
    const shape = [n, k] as const;
    expect(unpackWeight({ format: "float32", shape, values: floats })).toEqual(floats);
    expect(unpackWeight({ format: "float16", shape, values: encodeFloat16(floats) })).toEqual(floats);
    const whole = Float32Array.from({ length: n * k }, (_, i) => i - 96);
    expect(unpackWeight({ format: "bfloat16", shape, values: encodeBfloat16(whole) })).toEqual(whole);
    const rows = Float32Array.of(1, 0.5, 3);
    const unpacked = unpackWeight({ format: "int8", shape, values: Int8Array.from(whole), scales: rows });
    expect(unpacked).toEqual(Float32Array.from(whole, (q, i) => q * rows[Math.floor(i / k)]));
  });

  it("names parts that do not fit", () => {
    const weight: HostWeight = { ...common, format: "int4ZeroPoint", values: pairs(inOrder), scales };
    expect(() => unpackWeight(weight)).toThrow("0 zeroPoints of int4ZeroPoint for [3, 64], 6 are needed");
    expect(() => unpackWeight({ ...weight, groupSize: 40 })).toThrow("groups of 40 do not divide rows of 64");
    expect(() => unpackWeight({ ...weight, values: new Uint8Array(5) })).toThrow("5 values of int4ZeroPoint");
  });
});

describe("weightBytes", () => {
  it("counts values, scales, zero points and minimums", () => {
    const of = (...[name, size]: [Parameters<typeof weightBytes>[0], number?]) =>
      weightBytes(name, 4096, 4096, size) / 4096 ** 2;
    expect(of("float32")).toBe(4);
    expect(of("bfloat16")).toBe(2);
    expect(of("int4", 32)).toBe(5 / 8);
    expect(of("int4Minimum", 32)).toBe(6 / 8);
    expect(of("int4ZeroPoint", 32)).toBe((5 + 1 / 4) / 8);
    expect(of("int8Groups", 32)).toBe(9 / 8);
    expect(of("int8")).toBe(1 + 4 / 4096);
  });
});
