/** One to five rows times packed weights: whole columns of panels and the rest, long k, extreme rows, on each device and binary. */
import { describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import { groupScales, packWeight, quantizedLinear, tensor } from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { uniform } from "../cases/generate.js";
import { devices } from "../devices.js";

const whole = (seed: number, size: number, most: number) =>
  Int8Array.from({ length: size }, (_, i) => Math.round((2 * uniform(seed, i) - 1) * most));

/** Sums in float64, and the sums of their terms' magnitudes. */
function sumsOf(x: ArrayLike<number>, w: ArrayLike<number>, m: number, n: number, k: number) {
  const sums = new Float64Array(m * n);
  const sizes = new Float64Array(m * n);
  for (let i = 0; i < m * n; i++) {
    for (let p = 0; p < k; p++) {
      const term = x[Math.floor(i / n) * k + p] * w[(i % n) * k + p];
      sums[i] += term;
      sizes[i] += Math.abs(term);
    }
  }
  return { sums, sizes };
}

async function weightOnly(device: Device, x: Float32Array, w: Int8Array, n: number, bits: 7 | 8) {
  const k = w.length / n;
  const weight = packWeight(tensor(w, { shape: [n, k], device }), { bits });
  const scales = tensor(new Float32Array(n).fill(1), { device });
  return quantizedLinear(tensor(x, { shape: [x.length / k, k], device }), weight, { scales }).data();
}

for (const { label, device } of devices) {
  describe(label, () => {
    for (const bits of [8, 7] as const) {
      // Panels of 8 columns: fewer than four, four, and more with and without a rest; pieces of 64 values of k.
      for (const [m, n, k] of [
        [1, 5, 3],
        [1, 32, 64],
        [2, 77, 130],
        [3, 600, 65],
        [1, 33, 3000],
        [5, 40, 70],
      ]) {
        it(`multiplies float32 rows with int8 weights of ${bits} bits, ${m} × ${k} × ${n}`, async () => {
          const x = Float32Array.from({ length: m * k }, (_, i) => 2 * uniform(1, i) - 1);
          // An outlier must not cost the others their precision.
          x[k >> 1] = 1000;
          const w = whole(2, n * k, bits === 8 ? 127 : 63);
          const { sums, sizes } = sumsOf(x, w, m, n, k);
          const found = await weightOnly(device, x, w, n, bits);
          sums.forEach((sum, i) => {
            expect(Math.abs(found[i] - sum)).toBeLessThanOrEqual(1e-6 * sizes[i] + 1e-30);
          });
        });
      }

      it(`keeps whole numbers and powers of two exact, ${bits} bits`, async () => {
        const [n, k] = [40, 200];
        const w = whole(3, n * k, bits === 8 ? 127 : 63);
        for (const factor of [1, 2 ** -60, 2 ** 90]) {
          const x = Float32Array.from(
            { length: k },
            (_, i) => factor * (Math.round(100 * uniform(4, i)) - 50),
          );
          expect(Array.from(await weightOnly(device, x, w, n, bits), (v) => v + 0)).toEqual(
            Array.from(sumsOf(x, w, 1, n, k).sums, (v) => v + 0),
          );
        }
      });
    }

    it("gives rows of zeros, and NaN and infinities as float32 does", async () => {
      const [n, k] = [33, 70];
      const w = whole(5, n * k, 127).map((v) => (v === 0 ? 1 : v));
      const zero = new Float32Array(k);
      expect(Array.from(await weightOnly(device, zero, w, n, 8), (v) => v + 0)).toEqual(Array(n).fill(0));
      for (const special of [Number.NaN, Number.POSITIVE_INFINITY]) {
        const x = Float32Array.from({ length: k }, (_, i) => uniform(6, i));
        x[k - 1] = special;
        const want = Array.from({ length: n }, (_, j) => special * w[j * k + k - 1]);
        expect(Array.from(await weightOnly(device, x, w, n, 8))).toEqual(want);
      }
    });

    it("multiplies int8 rows with the largest weights in long groups", async () => {
      const [m, n, k] = [1, 40, 8192];
      for (const bits of [4, 8] as const) {
        const most = bits === 4 ? 7 : 127;
        const x = new Int8Array(m * k).fill(-128);
        const w = new Int8Array(n * k).fill(most);
        const weight = packWeight(tensor(w, { shape: [n, k], device }), { bits, groupSize: k });
        const one = (shape: number[]) =>
          tensor(new Float32Array(shape.reduce((a, b) => a * b)).fill(1), { shape, device });
        const found = await quantizedLinear(tensor(x, { shape: [m, k], device }), weight, {
          scales: groupScales(one([n, 1])),
          inputScales: one([m, 1]),
        }).data();
        expect(Array.from(found)).toEqual(Array(n).fill(-128 * most * k));
      }
    });
  });
}
