/** Whether contenders computed the same: speed of a wrong result is none. */

/** Elements that are looked at, spread over the result. */
const looked = 64;
/** Of the largest element. Sums of float32 in other orders differ by less, and so do losses of the first step. */
const tolerance = 1e-3;

export interface Sketch {
  readonly size: number;
  readonly values: readonly number[];
}

/** @throws Error if an element that is looked at is not finite. */
export function sketchOf(result: ArrayLike<number>): Sketch {
  const count = Math.min(looked, result.length);
  const values = Array.from({ length: count }, (_, i) => result[Math.floor((i * result.length) / count)]);
  const strange = values.find((value) => !Number.isFinite(value));
  if (strange !== undefined) throw new Error(`the result holds ${strange}`);
  return { size: result.length, values };
}

/**
 * @param step of a result that was rounded to whole steps: half of one is added to what may differ.
 * @throws Error if they are not of the same computation.
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
