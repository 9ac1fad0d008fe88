/** Random quantized products: integer results equal the reference's bit for bit, on each binary. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Device } from "../../src/device/device.js";
import {
  flip,
  packWeight,
  permute,
  quantizedConv2d,
  quantizedLinear,
  tensor,
  transpose,
} from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { sizeOf } from "../../src/core/shape.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { uniform } from "../cases/generate.js";
import { devices, reference } from "../devices.js";

/** Whole numbers of int8, or of int32 where `most` is larger; extremes more often than chance would have it. */
function whole(seed: number, size: number, most: number): Int8Array | Int32Array {
  const element = (_: unknown, i: number) => {
    const u = uniform(seed, i);
    if (u < 0.1) return -most;
    if (u > 0.9) return most;
    return Math.round((2 * u - 1) * most);
  };
  return most <= 128 ? Int8Array.from({ length: size }, element) : Int32Array.from({ length: size }, element);
}

interface Epilogue {
  readonly dtype: "int32" | "int8";
  readonly zeroPoint: number;
  readonly relu: boolean;
}

const epilogue = fc.record({
  dtype: fc.constantFrom("int32" as const, "int8" as const),
  zeroPoint: fc.integer({ min: -128, max: 127 }),
  relu: fc.boolean(),
});
const bits = fc.constantFrom(8 as const, 7 as const);
const seed = fc.nat({ max: 2 ** 31 - 1 });
const levels = { 8: 127, 7: 63 } as const;

function epilogueOf({ dtype, zeroPoint, relu }: Epilogue, out: number, from: number, device: Device) {
  const offsets = tensor(whole(from, out, 5000), { device });
  if (dtype === "int32") return { dtype, offsets };
  const scales = tensor(
    Float32Array.from({ length: out }, (_, j) => 1e-4 + uniform(from, j) * 1e-2),
    { device },
  );
  return { dtype, offsets, scales, zeroPoint, ...(relu && { activation: "relu" as const }) };
}

async function expectEqual(compute: (device: Device) => Tensor, device: Device): Promise<void> {
  const [got, want] = [await compute(device).data(), await compute(reference).data()];
  expect(Array.from(got)).toEqual(Array.from(want));
}

for (const { label, device } of devices.filter((other) => other.device !== reference)) {
  describe(label, () => {
    const sizes = fc.record({
      m: fc.integer({ min: 1, max: 21 }),
      n: fc.integer({ min: 1, max: 40 }),
      k: fc.oneof(fc.integer({ min: 1, max: 70 }), fc.constantFrom(257, 1024)),
    });
    const view = fc.constantFrom("plain", "transposed", "flipped");

    test("rows times weights", async () => {
      await fc.assert(
        fc.asyncProperty(sizes, bits, epilogue, view, seed, async ({ m, n, k }, width, after, how, from) => {
          await expectEqual((on) => {
            const shape = how === "transposed" ? [k, m] : [m, k];
            const stored = tensor(whole(from, m * k, 127), { device: on, shape });
            const x =
              how === "transposed" ? transpose(stored, 0, 1) : how === "flipped" ? flip(stored) : stored;
            const w = tensor(whole(from + 1, n * k, levels[width]), { device: on, shape: [n, k] });
            return quantizedLinear(x, packWeight(w, { bits: width }), epilogueOf(after, n, from + 2, on));
          }, device);
        }),
        { numRuns: 120 },
      );
    });

    const convolution = fc.record({
      batch: fc.integer({ min: 1, max: 2 }),
      groups: fc.constantFrom(1, 1, 2, 3),
      perGroup: fc.integer({ min: 1, max: 9 }),
      outPerGroup: fc.integer({ min: 1, max: 11 }),
      depthwise: fc.boolean(),
      size: fc.tuple(fc.integer({ min: 4, max: 9 }), fc.integer({ min: 4, max: 9 })),
      kernel: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
      stride: fc.integer({ min: 1, max: 2 }),
      padding: fc.integer({ min: 0, max: 2 }),
      dilation: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })),
      inputZeroPoint: fc.integer({ min: -128, max: 127 }),
      channelsLast: fc.boolean(),
    });

    test("images times filters", async () => {
      await fc.assert(
        fc.asyncProperty(convolution, bits, epilogue, seed, async (conv, width, after, from) => {
          const { batch, size, kernel, stride, padding, dilation, inputZeroPoint, channelsLast } = conv;
          const channels = conv.depthwise
            ? 3 + conv.perGroup * conv.outPerGroup
            : conv.groups * conv.perGroup;
          const groups = conv.depthwise ? channels : conv.groups;
          const out = conv.depthwise ? channels : conv.groups * conv.outPerGroup;
          fc.pre(size.every((extent, i) => extent + 2 * padding > dilation[i] * (kernel[i] - 1)));
          const weightShape = [out, channels / groups, ...kernel];
          await expectEqual((on) => {
            const shape = channelsLast ? [batch, ...size, channels] : [batch, channels, ...size];
            const stored = tensor(whole(from, sizeOf(shape), 127), { device: on, shape });
            const x = channelsLast ? permute(stored, [0, 3, 1, 2]) : stored;
            const w = tensor(whole(from + 1, sizeOf(weightShape), levels[width]), {
              device: on,
              shape: weightShape,
            });
            return quantizedConv2d(x, packWeight(w, { bits: width, groups }), {
              ...epilogueOf(after, out, from + 2, on),
              ...{ groups, stride, padding, dilation, inputZeroPoint },
            });
          }, device);
        }),
        { numRuns: 120 },
      );
    });
  });
}
