/** Checks that contenders computed the same result: the speed of a wrong result is meaningless. */

/** Number of elements compared, spread evenly over the result. */
const looked = 64;
/** Tolerance relative to the largest element: float32 sums in another order and first-step losses differ by less. */
const tolerance = 1e-3;

export interface Sketch {
  readonly size: number;
  readonly values: readonly number[];
}

/** @throws Error if a sampled element is not finite. */
export function sketchOf(result: ArrayLike<number>): Sketch {
  const count = Math.min(looked, result.length);
  const values = Array.from({ length: count }, (_, i) => result[Math.floor((i * result.length) / count)]);
  const strange = values.find((value) => !Number.isFinite(value));
  if (strange !== undefined) throw new Error(`the result holds ${strange}`);
  return { size: result.length, values };
}

/**
 * @param step quantization step of a rounded result; half a step is added to the tolerance.
 * @throws Error if the results differ.
 */
export function requireSame(sketch: Sketch, expected: Sketch, whose: string, step = 0): void {
  if (sketch.size !== expected.size) {
    throw new Error(`the result has ${sketch.size} elements, that of ${whose} ${expected.size}`);
  }
  const scale = Math.max(...expected.values.map(Math.abs));
  const difference = Math.max(...sketch.values.map((value, i) => Math.abs(value - expected.values[i])));
  if (difference > tolerance * scale + step / 2) {
    throw new Error(`the result differs from that of ${whose} by ${(difference / scale).toPrecision(2)}`);
  }
}
