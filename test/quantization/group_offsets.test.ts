/** 4-bit weights with zero points and minimums: dequantized to the bits that files mean, and products of those. */
import { describe, expect, it } from "vitest";
import { decodeFloat16, encodeFloat16 } from "../../src/core/half.js";
import { type HostWeight, unpackWeight } from "../../src/core/weight_format.js";
import { kernelOffsets } from "../../src/ops/group_offsets.js";
import * as ops from "../../src/ops/index.js";
import { dequantizeWeight } from "../../src/ops/unpack_weight.js";
import { leaf, readTensor } from "../../src/runtime/host_data.js";
import { generate } from "../cases/generate.js";
import { devices, reference } from "../devices.js";

const [n, k, groupSize] = [11, 96, 32];
const groups = k / groupSize;
const values = generate("group offsets", [n, k / 2], "uint8", { integers: [0, 256] }) as Uint8Array;
/** As GGUF has them: halves. */
const halves = (name: string) =>
  decodeFloat16(encodeFloat16(generate(name, [n, groups], "float32", { between: [-1, 1] }) as Float32Array));
const common = { shape: [n, k], groupSize, values, scales: halves("group scales") } as const;
const weights: readonly HostWeight[] = [
  { ...common, format: "int4" },
  {
    ...common,
    format: "int4ZeroPoint",
    zeroPoints: generate("group zeros", [n, groups], "uint8", { integers: [0, 16] }) as Uint8Array,
  },
  { ...common, format: "int4Minimum", minimums: halves("group minimums") },
];

describe.each(devices.filter(({ device }) => device !== reference))("$label", ({ device }) => {
  it.each(weights)("$format", async (weight) => {
    const { scales, zeroPoints, minimums, format } = weight;
    const stored = Int8Array.from({ length: n * k }, (_, i) => ((values[i >> 1] >> (4 * (i & 1))) & 15) - 8);
    const packed = ops.packWeight(leaf(device, "int8", [n, k], stored), { bits: 4, groupSize });
    const ofGroups = (numbers: ArrayLike<number>) =>
      leaf(device, "float32", [n, groups], Float32Array.from(numbers));
    const offsets = {
      ...(zeroPoints && { zeroPoints: ofGroups(zeroPoints) }),
      ...(minimums && { minimums: ofGroups(minimums) }),
    };
    const factors = ops.groupScales(ofGroups(scales!));
    const wanted = unpackWeight(weight);
    const read =
      zeroPoints || minimums
        ? kernelOffsets(offsets, packed.format, factors)
        : { format: packed.format, minimums: undefined };
    const found = dequantizeWeight(packed.packed, [n, k], read.format, factors, read.minimums);
    expect(await readTensor(found), format).toEqual(wanted);

    const x = leaf(device, "int8", [3, k], generate("group x", [3, k], "int8", { integers: [-127, 128] }));
    const inputScales = ops.full([3, groups], 0.5, { device });
    const product = await readTensor(
      ops.quantizedLinear(x, packed, { scales: factors, inputScales, ...offsets }),
    );
    const inputs = await readTensor(x);
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += 0.5 * inputs[i * k + p] * wanted[j * k + p];
        // Float32 sums of three groups of up to 32 · 127 · 16 · 0.5.
        expect(Math.abs(product[i * n + j] - sum)).toBeLessThan(3 * 32 * 127 * 16 * 2 ** -22);
      }
    }
  });
});

it("zero points and minimums belong to weights of 4 bits, one of the two", () => {
  const w = ops.packWeight(ops.cast(ops.ones([4, 32], { device: reference }), "int8"));
  const x = ops.cast(ops.ones([1, 32], { device: reference }), "int8");
  const zeroPoints = ops.ones([4, 1], { device: reference });
  expect(() => ops.quantizedLinear(x, w, { zeroPoints })).toThrow("belong to weights of 4 bits");
  const four = ops.packWeight(ops.cast(ops.ones([4, 64], { device: reference }), "int8"), { bits: 4 });
  const wide = ops.cast(ops.ones([1, 64], { device: reference }), "int8");
  expect(() => ops.quantizedLinear(wide, four, { zeroPoints })).toThrow("[4, 2] is needed");
});
