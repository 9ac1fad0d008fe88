/** Ranges, scales and zero points. */
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { affineOf, makeObserver, observerNames } from "../../src/quantization/observers.js";

const finite = fc.float({
  noNaN: true,
  noDefaultInfinity: true,
  min: Math.fround(-1e30),
  max: Math.fround(1e30),
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
          for (const values of list) observer.observe(values);
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
    observer.observe(Float32Array.of(1, -3));
    observer.observe(Float32Array.of(7, 2));
    expect(observer.range()).toEqual({ min: -3, max: 7 });
  });

  it("moving-average starts with the first batch and moves by a hundredth", () => {
    const observer = makeObserver("moving-average");
    observer.observe(Float32Array.of(-1, 1));
    observer.observe(Float32Array.of(-2, 3));
    expect(observer.range()!.min).toBeCloseTo(-1.01, 12);
    expect(observer.range()!.max).toBeCloseTo(1.02, 12);
  });

  it("histogram cuts a lonely outlier off where that costs less than coarser steps", () => {
    const observer = makeObserver("histogram");
    const many = Float32Array.from({ length: 100_000 }, (_, i) => ((i * 7919) % 2000) / 1000 - 1);
    for (let i = 0; i < 20; i++) observer.observe(many);
    observer.observe(Float32Array.of(40));
    const { min, max } = observer.range()!;
    expect(max).toBeLessThan(20);
    expect(max).toBeGreaterThanOrEqual(1);
    expect(min).toBeCloseTo(-1, 1);
  });

  it("histogram keeps every value when its bins have to grow on both sides", () => {
    const observer = makeObserver("histogram");
    for (const size of [1, 3, 10, 100])
      observer.observe(Float32Array.from([-size, size, -size / 2, size / 2]));
    const { min, max } = observer.range()!;
    expect(min).toBeLessThan(-90);
    expect(max).toBeGreaterThan(90);
  });
});
