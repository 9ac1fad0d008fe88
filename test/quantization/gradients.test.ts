/** Gradients of quantized products with respect to their input, for training before a frozen quantized layer. */
import { describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import {
  groupScales,
  matmul,
  mul,
  noGrad,
  packWeight,
  quantizedLinear,
  sum,
  type Tensor,
  tensor,
  transpose,
} from "../../src/index.js";
import { Linear } from "../../src/nn/index.js";
import { dequantizeWeight } from "../../src/ops/unpack_weight.js";
import type { InputQuantization } from "../../src/quantization/input.js";
import { QuantizedLinear } from "../../src/quantization/linear.js";
import { uniform } from "../cases/generate.js";
import { devices, reference } from "../devices.js";

const numbers = (size: number, seed: number) =>
  Float32Array.from({ length: size }, (_, i) => 2 * uniform(seed, i) - 1);

const levels = { 8: 128, 7: 63, 4: 7 } as const;

type Bits = keyof typeof levels;
const kinds: readonly (readonly [string, Bits, InputQuantization])[] = [
  ["8 bits, weights only", 8, { kind: "float" }],
  ["7 bits, weights only", 7, { kind: "float" }],
  ["8 bits, dynamic", 8, { kind: "dynamic" }],
  ["7 bits, dynamic", 7, { kind: "dynamic" }],
  ["4 bits in groups", 4, { kind: "dynamic" }],
  ["8 bits, static", 8, { kind: "static", scale: 0.006, zeroPoint: 3 }],
];

function layerOf(device: Device, [out, width]: readonly number[], bits: Bits, input: InputQuantization) {
  const linear = new Linear(width, out, { device });
  linear.weight = tensor(numbers(out * width, 1), { shape: [out, width], device, requiresGrad: true });
  return QuantizedLinear.of(linear, { bits, ...(bits === 4 && { groupSize: 32 }) }, input);
}

/** ∂ Σ c·layer(x) / ∂x, and c · W in float64 with the weights that the layer stands for. */
async function gradients(device: Device, extents: readonly number[], bits: Bits, input: InputQuantization) {
  const [m, out, width] = extents;
  const layer = layerOf(device, [out, width], bits, input);
  const x = tensor(numbers(m * width, 2), { shape: [m, 1, width], device, requiresGrad: true });
  const c = numbers(m * out, 3);
  sum(mul(layer.forward(x), tensor(c, { shape: [m, 1, out], device }))).backward();
  const got = await x.grad!.data();
  const weights = await noGrad(() => layer.dequantized(width)).data();
  const want = new Float64Array(m * width);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < out; j++) {
      for (let p = 0; p < width; p++) want[i * width + p] += c[i * out + j] * weights[j * width + p];
    }
  }
  return { got, want, values: numbers(m * width, 2) };
}

describe("dequantized weights", () => {
  for (const { label, device } of devices) {
    it.each([8, 7, 4] as const)(`${label}: %i bits are what was packed, times the scales`, async (bits) => {
      for (const [n, k] of [
        [1, 32],
        [8, 64],
        [19, 96],
        ...(bits === 4
          ? []
          : [
              [9, 1],
              [5, 7],
              [11, 30],
            ]),
      ]) {
        const most = levels[bits];
        const extremes = bits === 8 ? [-128, 127] : [-most, most];
        const values = Int8Array.from({ length: n * k }, (_, i) => {
          const u = uniform(4, i);
          return u < 0.2 ? extremes[i % 2] : Math.round((2 * u - 1) * (most - 1));
        });
        const { packed, format } = packWeight(tensor(values, { shape: [n, k], device }), { bits });
        const groups = bits === 4 ? k / 32 : 1;
        const scales = numbers(n * groups, 5);
        const scale = tensor(scales, { shape: bits === 4 ? [n, groups] : [n], device });
        const got = dequantizeWeight(packed, [n, k], format, bits === 4 ? groupScales(scale) : scale);
        const want = Array.from(values, (value, i) => {
          const row = Math.floor(i / k);
          return Math.fround(value * scales[row * groups + Math.floor((i % k) / (k / groups))]);
        });
        expect(Array.from(await got.data(), (value) => value + 0)).toEqual(want.map((value) => value + 0));
      }
    });
  }
});

describe("gradients of quantized linear layers", () => {
  for (const { label, device } of devices) {
    it.each(kinds)(
      `${label}: %s, against the product with the dequantized weight`,
      async (_, bits, input) => {
        for (const extents of [
          [1, 5, 7],
          [3, 24, 64],
          [21, 33, 70],
        ]) {
          const { got, want, values } = await gradients(device, extents, bits, input);
          // Terms of at most 1 in magnitude: each is rounded, and each partial sum.
          const tolerance = (extents[1] + 2) * extents[1] * 2 ** -24;
          let worst = 0;
          for (const [i, value] of got.entries()) {
            const isCut =
              input.kind === "static" && (values[i] / 0.006 + 3 > 127.5 || values[i] / 0.006 + 3 < -128.5);
            worst = Math.max(worst, Math.abs(value - (isCut ? 0 : want[i])));
          }
          expect(worst).toBeLessThanOrEqual(tolerance);
        }
      },
    );
  }

  it("are the finite differences of the dequantized product", async () => {
    for (const [, bits, input] of kinds.filter(([, , { kind }]) => kind !== "static")) {
      const [m, out, width] = [2, 6, 9];
      const layer = layerOf(reference, [out, width], bits, input);
      const { got } = await gradients(reference, [m, out, width], bits, input);
      const c = tensor(numbers(m * out, 3), { shape: [m, out], device: reference });
      const loss = async (values: Float32Array) => {
        const x = tensor(values, { shape: [m, width], device: reference });
        const y: Tensor =
          input.kind === "float" ? layer.forward(x) : matmul(x, transpose(layer.dequantized(width), 0, 1));
        return sum(mul(y, c)).item();
      };
      const x = numbers(m * width, 2);
      // Linear in x, so that a large step only makes what x is rounded to, float32, matter less.
      const step = 0.5;
      for (let i = 0; i < x.length; i++) {
        const [up, down] = [x.with(i, x[i] + step), x.with(i, x[i] - step)];
        const slope = ((await loss(up)) - (await loss(down))) / (up[i] - down[i]);
        expect(Math.abs(got[i] - slope)).toBeLessThan(1e-5);
      }
    }
  });

  it("of the op: input, bias and a ReLU", async () => {
    for (const { device } of devices) {
      const values = Int8Array.from([1, -2, 3, 4, 5, -6]);
      const weight = packWeight(tensor(values, { shape: [2, 3], device }));
      const x = tensor([1, 1, 1, 1, -1, 1], { shape: [2, 3], device, dtype: "float32", requiresGrad: true });
      const bias = tensor([0.5, -4], { device, dtype: "float32", requiresGrad: true });
      const scales = tensor([0.5, 0.25], { device, dtype: "float32" });
      const y = quantizedLinear(x, weight, { scales, bias, activation: "relu" });
      expect(Array.from(await y.data())).toEqual([1.5, 0, 3.5, 0]);
      sum(quantizedLinear(x, weight, { scales, bias, activation: "relu" })).backward();
      expect(Array.from(await x.grad!.data())).toEqual([0.5, -1, 1.5, 0.5, -1, 1.5]);
      expect(Array.from(await bias.grad!.data())).toEqual([2, 0]);
    }
  });
});
