/** Epilogues of quantized products: one kernel, with the values of the reference. */
import { describe, expect, test } from "vitest";
import { sizeOf } from "../../src/core/shape.js";
import type { Device } from "../../src/device/device.js";
import { openDry } from "../../src/device/dry/dry.js";
import type { Tensor } from "../../src/graph/tensor.js";
import {
  add,
  gelu,
  groupScales,
  mul,
  packWeight,
  quantizeDynamic,
  quantizedConv2d,
  quantizedLinear,
  quantizePerTensor,
  relu,
  reshape,
  silu,
  tensor,
} from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { cost } from "../../src/profile/index.js";
import { uniform } from "../cases/generate.js";
import { devices, reference } from "../devices.js";

function floats(device: Device, seed: number, ...shape: number[]): Tensor {
  const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => 2 * uniform(seed, i) - 1);
  return tensor(data, { device, shape });
}

function levels(device: Device, seed: number, most: number, ...shape: number[]): Tensor {
  const data = Int8Array.from({ length: sizeOf(shape) }, (_, i) =>
    Math.round((2 * uniform(seed, i) - 1) * most),
  );
  return tensor(data, { device, shape });
}

/** What follows a product y: `other(i)` is a tensor of its shape. */
type Follow = (y: Tensor, other: (i: number) => Tensor) => Tensor;

const follows: Readonly<Record<string, Follow>> = {
  "a residual": (y, other) => add(y, other(0)),
  "a residual and relu": (y, other) => relu(add(y, other(0))),
  gelu: (y) => gelu(y),
  "a gate": (y, other) => mul(silu(other(0)), y),
  "gating what follows": (y, other) => mul(silu(y), other(1)),
  "rounding to int8": (y) => quantizePerTensor(y, { scale: 0.05 }),
  "relu and rounding to int8": (y) => quantizePerTensor(relu(y), { scale: 0.05, zeroPoint: -128 }),
  "gelu and rounding to int8": (y) => quantizePerTensor(gelu(y), { scale: 0.04, zeroPoint: -90 }),
  "a residual, relu and rounding to int8": (y, other) =>
    quantizePerTensor(relu(add(y, other(0))), { scale: 0.03, zeroPoint: 7 }),
};

type Product = (device: Device) => Tensor;

function linear(m: number, n: number, k: number, kind: "dynamic" | "static" | "float" | "4 bits"): Product {
  return (device) => {
    const bias = floats(device, 3, n);
    if (kind === "4 bits") {
      const weight = packWeight(levels(device, 1, 7, n, k), { bits: 4, groupSize: 32 });
      const x = quantizeDynamic(reshape(floats(device, 2, m, k), [m, k / 32, 32]), -1);
      const scales = groupScales(mul(add(floats(device, 4, n, k / 32), 2), 0.02));
      return quantizedLinear(reshape(x.values, [m, k]), weight, { scales, inputScales: x.scales, bias });
    }
    const weight = packWeight(levels(device, 1, 63, n, k), { bits: 7 });
    const scales = mul(add(floats(device, 4, n), 2), 0.0004);
    if (kind === "float") return quantizedLinear(floats(device, 2, m, k), weight, { scales, bias });
    const x = levels(device, 2, 127, m, k);
    if (kind === "static") {
      const offsets = tensor(
        Int32Array.from({ length: n }, (_, j) => 37 * j - 500),
        { device },
      );
      return quantizedLinear(x, weight, { scales, offsets, bias });
    }
    const inputScales = mul(add(floats(device, 5, m, 1), 3), 0.3);
    return quantizedLinear(x, weight, { scales, inputScales, bias });
  };
}

function conv(channels: number, out: number, kernel: number, groups = 1): Product {
  return (device) => {
    const weight = packWeight(levels(device, 1, 127, out, channels / groups, kernel, kernel), { groups });
    const scales = mul(add(floats(device, 4, out), 2), 0.0004);
    const options = { scales, bias: floats(device, 3, out), padding: kernel >> 1, groups, inputZeroPoint: 3 };
    return quantizedConv2d(levels(device, 2, 127, 2, channels, 7, 9), weight, options);
  };
}

const products: Readonly<Record<string, Product>> = {
  "one row": linear(1, 40, 64, "dynamic"),
  "three rows, many columns": linear(3, 1100, 32, "dynamic"),
  "many rows": linear(70, 24, 96, "dynamic"),
  "many rows, many columns": linear(21, 1028, 32, "static"),
  "ragged rows and columns": linear(9, 13, 33, "static"),
  "one element": linear(1, 1, 8, "static"),
  "one column": linear(6, 1, 8, "static"),
  "float32 rows": linear(7, 29, 36, "float"),
  "few float32 rows": linear(2, 520, 12, "float"),
  "4 bits": linear(5, 37, 64, "4 bits"),
  "4 bits, many columns": linear(2, 1040, 32, "4 bits"),
  "3 × 3 filters": conv(6, 16, 3),
  "1 × 1 filters to many channels": conv(8, 1030, 1),
  "filters in groups": conv(12, 30, 3, 3),
  "depthwise filters": conv(20, 20, 3, 20),
};

function followed(product: Product, follow: Follow, device: Device): Tensor {
  const y = product(device);
  return follow(y, (i) => floats(device, 20 + i, ...y.shape));
}

/** Images between convolutions lie as the device likes: a second one reads them, each channel by itself. */
function between(y: Tensor): Tensor {
  const channels = y.shape[1];
  const ones = tensor(new Int8Array(channels).fill(1), { device: y.device, shape: [channels, 1, 1, 1] });
  return quantizedConv2d(y, packWeight(ones, { groups: channels }), { groups: channels, dtype: "int32" });
}

const dry = openDry();

test("sums over nothing: offsets and bias remain, and int8 is rounded from them", async () => {
  for (const { label, device } of devices) {
    const offsets = tensor([10, -20, 30], { device, dtype: "int32" });
    const scales = tensor([0.5, 0.5, 0.25], { device });
    const nothing = (...shape: number[]) => tensor(new Int8Array(0), { device, shape });
    const flat = { x: nothing(2, 0), weight: packWeight(nothing(3, 0)) };
    const image = { x: nothing(1, 0, 2, 1), weight: packWeight(nothing(3, 0, 1, 1)) };
    const int8 = { dtype: "int8", offsets, scales, zeroPoint: 1, activation: "relu" } as const;
    const float32 = { offsets, scales, bias: tensor([1, 2, 3], { device }) };
    const rows = await quantizedLinear(flat.x, flat.weight, int8).data();
    expect([...rows], label).toEqual([6, 1, 9, 6, 1, 9]);
    const floatRows = await quantizedLinear(flat.x, flat.weight, float32).data();
    expect([...floatRows], label).toEqual([6, -8, 10.5, 6, -8, 10.5]);
    const pixels = await quantizedConv2d(image.x, image.weight, int8).data();
    expect([...pixels], label).toEqual([6, 6, 1, 1, 9, 9]);
    const floatPixels = await quantizedConv2d(image.x, image.weight, float32).data();
    expect([...floatPixels], label).toEqual([6, 6, -8, -8, 10.5, 10.5]);
  }
});

test("NaN becomes 0 in int8 results", async () => {
  for (const { label, device } of devices) {
    const weight = packWeight(tensor([[1], [1]], { device, dtype: "int8" }));
    const scales = tensor([Number.NaN, 1], { device });
    const x = tensor([[5]], { device, dtype: "int8" });
    const y = await quantizedLinear(x, weight, { scales, dtype: "int8", zeroPoint: 3 }).data();
    expect([...y], label).toEqual([0, 8]);
  }
});

describe("quantized products end in what follows", () => {
  for (const [what, product] of Object.entries(products)) {
    for (const [name, follow] of Object.entries(follows)) {
      test(`${what}, ${name}`, async () => {
        const { programs } = await cost(dry, () => followed(product, follow, dry));
        const calls = programs.flatMap(({ program }) => program.calls);
        const own = calls.find(({ kernel }) => kernel === "qmatmul" || kernel === "qconv");
        expect(own).toHaveProperty("epilogue");
        const want = await followed(product, follow, reference).data();
        for (const { label, device } of devices) {
          const y = followed(product, follow, device);
          const results = [y];
          if (y.rank === 4 && y.dtype === "int8") results.push(between(followed(product, follow, device)));
          for (const each of results) {
            const got = await each.data();
            expect(got.length, label).toBe(want.length);
            let worst = 0;
            for (let i = 0; i < want.length; i++) worst = Math.max(worst, Math.abs(got[i] - want[i]));
            // A value beside the middle of two levels may round to either.
            expect(worst, label).toBeLessThanOrEqual(y.dtype === "int8" ? 1 : 2e-5);
          }
        }
      });
    }
  }
});
