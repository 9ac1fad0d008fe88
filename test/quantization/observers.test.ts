/** Ranges, scales and zero points. */
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import {
  affineOf,
  makeObserver,
  type Observer,
  observerNames,
  rangeOf,
} from "../../src/quantization/observers.js";

function see(observer: Observer, values: Float32Array): void {
  observer.observe(values, rangeOf(values)!);
}

const finite = fc.float({
  noNaN: true,
  noDefaultInfinity: true,
  min: Math.fround(-1e30),
  max: Math.fround(1e30),
});

describe("rangeOf", () => {
  it("is undefined if one value is not finite, wherever it stands", () => {
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      for (const at of [0, 1, 2]) expect(rangeOf(Float32Array.of(1, -2, 3).with(at, bad))).toBeUndefined();
    }
    expect(rangeOf(Float32Array.of(1, -2, 3))).toEqual({ min: -2, max: 3 });
    expect(rangeOf(new Float32Array())).toEqual({ min: 0, max: 0 });
  });
});

describe("affineOf", () => {
  test("0 is a whole number, and both ends are within a step of int8's", () => {
    fc.assert(
      fc.property(finite, finite, (a, b) => {
        const range = { min: Math.min(a, b), max: Math.max(a, b) };
        const affine = affineOf(range);
        if (affine === undefined) {
          expect(Math.max(Math.abs(a), Math.abs(b))).toBeLessThan(1e-27);
          return;
        }
        const { scale, zeroPoint } = affine;
        expect(scale).toBeGreaterThan(0);
        expect(Math.fround(scale)).toBe(scale);
        expect(Number.isInteger(zeroPoint) && zeroPoint >= -128 && zeroPoint <= 127).toBe(true);
        for (const end of [range.min, 0, range.max]) {
          const level = end / scale + zeroPoint;
          expect(level).toBeGreaterThanOrEqual(-128.51);
          expect(level).toBeLessThanOrEqual(127.51);
        }
      }),
    );
  });

  it("gives no scale for the range 0..0", () => {
    expect(affineOf({ min: 0, max: 0 })).toBeUndefined();
  });

  it("uses all levels for what a ReLU leaves", () => {
    expect(affineOf({ min: 0, max: 2.55 })).toEqual({ scale: Math.fround(0.01), zeroPoint: -128 });
  });
});

describe("observers", () => {
  const batches = fc.array(
    fc.float32Array({
      noNaN: true,
      noDefaultInfinity: true,
      minLength: 1,
      maxLength: 50,
      min: -1e6,
      max: 1e6,
    }),
    {
      minLength: 1,
      maxLength: 6,
    },
  );

  for (const name of observerNames) {
    test(`${name} stays inside what it has seen, with 0`, () => {
      fc.assert(
        fc.property(batches, (list) => {
          const observer = makeObserver(name);
          for (const values of list) see(observer, values);
          const all = list.flatMap((values) => [...values]);
          const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
          const slack = 1e-3 * (high - low);
          const { min, max } = observer.range()!;
          expect(min).toBeLessThanOrEqual(max);
          expect(min).toBeGreaterThanOrEqual(low - slack);
          expect(max).toBeLessThanOrEqual(high + slack);
        }),
      );
    });
  }

  it("min-max covers everything", () => {
    const observer = makeObserver("min-max");
    see(observer, Float32Array.of(1, -3));
    see(observer, Float32Array.of(7, 2));
    expect(observer.range()).toEqual({ min: -3, max: 7 });
  });

  it("moving-average starts with the first batch and moves by a hundredth", () => {
    const observer = makeObserver("moving-average");
    see(observer, Float32Array.of(-1, 1));
    see(observer, Float32Array.of(-2, 3));
    expect(observer.range()!.min).toBeCloseTo(-1.01, 12);
    expect(observer.range()!.max).toBeCloseTo(1.02, 12);
  });

  it("histogram cuts a lonely outlier off where that costs less than coarser steps", () => {
    const observer = makeObserver("histogram");
    const many = Float32Array.from({ length: 100_000 }, (_, i) => ((i * 7919) % 2000) / 1000 - 1);
    for (let i = 0; i < 20; i++) see(observer, many);
    see(observer, Float32Array.of(40));
    const { min, max } = observer.range()!;
    expect(max).toBeLessThan(20);
    expect(max).toBeGreaterThanOrEqual(1);
    expect(min).toBeCloseTo(-1, 1);
  });

  it("histogram finds the same range whether its bins grow or cover everything from the start", () => {
    // Bell-shaped, wide enough tails that the best range cuts some off.
    const bell = (scale: number) =>
      Float32Array.from({ length: 20_000 }, (_, i) => {
        const u = ((i * 7919) % 20_000) / 20_000 - 0.5;
        return scale * Math.sign(u) * -Math.log(1 - 2 * Math.abs(u) * 0.9999);
      });
    const parts = [bell(0.01), bell(0.1), bell(1), bell(1).map((x) => x + 0.7)];
    const [grown, whole] = [makeObserver("histogram"), makeObserver("histogram")];
    for (const part of parts) see(grown, part);
    for (const part of parts.toReversed()) see(whole, part);
    const [got, expected] = [grown.range()!, whole.range()!];
    const step = (expected.max - expected.min) / 128;
    expect(Math.abs(got.min - expected.min)).toBeLessThan(2 * step);
    expect(Math.abs(got.max - expected.max)).toBeLessThan(2 * step);
  });

  it("histogram keeps every value when its bins have to grow on both sides", () => {
    const observer = makeObserver("histogram");
    for (const size of [1, 3, 10, 100]) see(observer, Float32Array.from([-size, size, -size / 2, size / 2]));
    const { min, max } = observer.range()!;
    expect(min).toBeLessThan(-90);
    expect(max).toBeGreaterThan(90);
  });
});
