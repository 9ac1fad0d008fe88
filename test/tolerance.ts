/** Error bounds of results relative to the float64 reference, derived and not tuned. */
import type { TypedArray } from "../src/core/dtype.js";
import { decodeFloat16, encodeFloat16 } from "../src/core/half.js";
import type { Case } from "./cases/case.js";

/** Half the distance between 1 and the next float32: the relative error of one rounding. */
const unitRoundoff = 2 ** -24;

/** The same of half floats, of which a device with such storage makes one wherever a kernel stores a value. */
const halfRoundoff = 2 ** -11;

/** What results are rounded to: float32 only, or halves too where they are stored. */
export type Rounding = "float32" | "float16";

/** The largest number that is not rounded to infinity. */
const largestFinite: Readonly<Record<Rounding, number>> = { float32: 3.4e38, float16: 65504 };

/** Rounding errors per term if a case does not say: two for exp, log, tanh…, and a few steps around them. */
const defaultRoundings = 8;

/**
 * The bound on |Δ| for one tensor of results.
 *
 * A sum of K terms t_i, each computed with c roundings, is off by at most γ(K + c)·Σ|t_i|, with
 * γ(n) = n·u / (1 − n·u) (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.2), in any order of
 * summation. Σ|t_i| is not known here; it is taken as `scale`, the largest result or term, times the square root of K,
 * as for terms of random sign and size, and the errors of K roundings likewise add up to √K of one. Hence
 * |Δ| ≤ c·u·K·scale, where c also covers the constants of that estimate.
 *
 * With half floats as storage the terms are rounded to those where they are stored, by c·u₁₆·scale each, but not their sums: the
 * errors of K terms add up to √K of one, hence |Δ| ≤ c·u₁₆·√K·scale more. The inputs are halves already.
 */
export function tolerance(
  expected: ArrayLike<number>,
  entry: Pick<Case, "reductionLength" | "scale" | "ulps">,
  rounding: Rounding = "float32",
): number {
  const { reductionLength = 1, scale = 1, ulps = defaultRoundings } = entry;
  let largest = scale;
  for (let i = 0; i < expected.length; i++) {
    const size = Math.abs(expected[i]);
    if (size > largest && size <= largestFinite[rounding]) largest = size;
  }
  const ofHalves = rounding === "float16" ? halfRoundoff * Math.sqrt(reductionLength) : 0;
  return ulps * (unitRoundoff * reductionLength + ofHalves) * largest;
}

interface Comparison {
  /** Largest |Δ| for finite values. */
  readonly absolute: number;
  readonly signedZero?: boolean;
  /** Round what is expected first, so that overflow is expected as well. */
  readonly rounded: Rounding | false;
}

/**
 * Equal patterns of NaN and infinities, and finite values within the bound. Throws a plain Error, since pages of
 * browsers compare too.
 */
export function expectClose(
  what: string,
  actual: TypedArray,
  expected: ArrayLike<number>,
  { absolute, signedZero = false, rounded }: Comparison,
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${what}: ${actual.length} elements, expected ${expected.length}`);
  }
  const round =
    rounded === "float16" ? toHalf : rounded === "float32" ? Math.fround : (value: number) => value;
  for (let i = 0; i < actual.length; i++) {
    const x = actual[i];
    const y = round(expected[i]);
    const close = Number.isFinite(y) ? Math.abs(x - y) <= absolute : Object.is(x, y);
    if (close && !(signedZero && y === 0 && x === 0 && !Object.is(x, y))) continue;
    throw new Error(`${what}: element ${i} is ${format(x)}, expected ${format(y)} ± ${absolute}`);
  }
}

/** The half nearest to a number, also after it was rounded to float32. */
export function toHalf(value: number): number {
  return decodeFloat16(encodeFloat16(Float32Array.of(value)))[0];
}

function format(x: number): string {
  return Object.is(x, -0) ? "-0" : String(x);
}
