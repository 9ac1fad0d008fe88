import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBfloat16, decodeFloat16, encodeBfloat16, encodeFloat16 } from "../../src/core/half.js";

const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);
const halves = decodeFloat16(patterns);
const bfloats = decodeBfloat16(patterns);

/** The definition in IEEE 754, §3.4, in float64. */
function halfByDefinition(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

test("every half is widened to the value of its definition", () => {
  for (const bits of patterns) expect(Object.is(halves[bits], halfByDefinition(bits))).toBe(true);
});

test("every half and bfloat16 that is not NaN survives widening and narrowing; NaN stays NaN", () => {
  const back = encodeFloat16(halves);
  const backB = encodeBfloat16(bfloats);
  for (const bits of patterns) {
    if (Number.isNaN(halves[bits])) expect(halves[back[bits]]).toBeNaN();
    else expect(back[bits]).toBe(bits);
    if (Number.isNaN(bfloats[bits])) expect(bfloats[backB[bits]]).toBeNaN();
    else expect(backB[bits]).toBe(bits);
  }
});

/** Checks nearest, ties to even, against both neighbours; magnitudes grow with the bit pattern. */
function expectNearest(
  value: number,
  bits: number,
  table: Float32Array,
  infinity: number,
  step: number,
): void {
  const magnitude = Math.abs(value);
  const chosen = bits & 0x7fff;
  expect(bits >>> 15).toBe(Object.is(Math.sign(value), -1) || Object.is(value, -0) ? 1 : 0);
  // One step beyond the largest finite value stands for infinity, as IEEE 754 rounds.
  const at = (pattern: number) => (pattern === infinity ? table[infinity - 1] + step : table[pattern]);
  const error = Math.abs(at(chosen) - magnitude);
  for (const neighbour of [chosen - 1, chosen + 1]) {
    if (neighbour < 0 || neighbour > infinity) continue;
    const other = Math.abs(at(neighbour) - magnitude);
    if (chosen === infinity && neighbour > infinity) continue;
    expect(other >= error || (chosen === infinity && magnitude > at(infinity))).toBe(true);
    if (other === error) expect(chosen & 1).toBe(0);
  }
}

const float = fc.oneof(
  fc.float({ noNaN: true }),
  fc.float({ noNaN: true, min: -Math.fround(1e-4), max: Math.fround(1e-4) }),
  fc.float({ noNaN: true, min: -70000, max: 70000 }),
  // Exact ties: halfway between two neighbouring halves.
  fc.integer({ min: 0, max: 0x7bfe }).map((bits) => (halves[bits] + halves[bits + 1]) / 2),
);

test("narrowing is to nearest, ties to even", () => {
  fc.assert(
    fc.property(float, (value) => {
      expectNearest(value, encodeFloat16(Float32Array.of(value))[0], halves, 0x7c00, 32);
      if (Number.isFinite(value))
        expectNearest(value, encodeBfloat16(Float32Array.of(value))[0], bfloats, 0x7f80, 2 ** 120);
    }),
    { numRuns: 3000 },
  );
});

test("known values", () => {
  const values = Float32Array.of(65504, 65519, 65520, 2 ** -24, 2 ** -25, 1.5 * 2 ** -25, 2 ** -14, 1e-45);
  expect([...encodeFloat16(values)]).toEqual([0x7bff, 0x7bff, 0x7c00, 1, 0, 1, 0x400, 0]);
  expect([...encodeBfloat16(Float32Array.of(1, 3.3895e38, 3.4e38, Number.NaN))]).toEqual([
    0x3f80, 0x7f7f, 0x7f80, 0x7fc0,
  ]);
});
