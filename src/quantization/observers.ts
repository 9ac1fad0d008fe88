/** Observers see a layer's inputs during calibration and tell the range that int8 should cover. */
import type { AffineQuantization } from "../ops/quantize.js";

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** How calibration derives a range from the observed values. */
export type ObserverName = "min-max" | "moving-average" | "histogram";

/** Accumulates batches of finite values. */
export interface Observer {
  /** `range` is that of the values, `rangeOf(values)`. */
  observe(values: Float32Array, range: Range): void;
  /** Undefined before the first value. */
  range(): Range | undefined;
}

/** Smallest and largest value, 0..0 for none; undefined if a value is not finite. One pass, as it sees every activation. */
export function rangeOf(values: Float32Array): Range | undefined {
  let min = values.length > 0 ? values[0] : 0;
  let max = min;
  // 0 · x is NaN for NaN and the infinities, and stays NaN.
  let finite = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value < min) min = value;
    else if (value > max) max = value;
    finite += 0 * value;
  }
  return finite === 0 ? { min, max } : undefined;
}

/** The smallest and largest value ever seen. */
class MinMaxObserver implements Observer {
  #range: Range | undefined;

  observe(_: Float32Array, { min, max }: Range): void {
    this.#range = this.#range
      ? { min: Math.min(this.#range.min, min), max: Math.max(this.#range.max, max) }
      : { min, max };
  }

  range(): Range | undefined {
    return this.#range;
  }
}

/** How much a new batch counts in a moving average; as torch.ao's observers. */
export const averagingConstant = 0.01;

/** Moving averages of each batch's smallest and largest value: one odd batch does little. */
class MovingAverageObserver implements Observer {
  #range: Range | undefined;

  observe(_: Float32Array, { min, max }: Range): void {
    const before = this.#range ?? { min, max };
    this.#range = {
      min: before.min + averagingConstant * (min - before.min),
      max: before.max + averagingConstant * (max - before.max),
    };
  }

  range(): Range | undefined {
    return this.#range;
  }
}

const bins = 2048;
/** Bounds tried from each end of the histogram. */
const candidates = 128;
/** Whole numbers in int8. */
const levels = 255;

/**
 * The range with the least expected squared error: rounding errors of step²/12 inside, and what is cut off outside (as
 * torch.ao's HistogramObserver, with a search of our own). Values are counted in 2,048 bins whose range grows as needed.
 */
class HistogramObserver implements Observer {
  readonly #counts = new Float64Array(bins);
  #low = 0;
  #width = 0;

  observe(values: Float32Array, { min, max }: Range): void {
    if (values.length === 0) return;
    this.#cover(Math.min(min, 0), Math.max(max, 0));
    if (this.#width === 0) return;
    const counts = this.#counts;
    const low = this.#low;
    const scale = 1 / this.#width;
    // Positions are at least 0, so that truncation is floor; the largest value itself belongs to the last bin.
    for (let i = 0; i < values.length; i++) counts[Math.min(bins - 1, ((values[i] - low) * scale) | 0)]++;
  }

  /** Widens the histogram to [min, max] and re-bins the counts by bin centre. */
  #cover(min: number, max: number): void {
    const low = Math.min(this.#low, min);
    const high = Math.max(this.#low + bins * this.#width, max);
    const width = (high - low) / bins;
    if (width === this.#width || !(width > 0)) return;
    const old = this.#counts.slice();
    this.#counts.fill(0);
    old.forEach((count, i) => {
      if (count > 0) this.#count((this.#low + (i + 0.5) * this.#width - low) / width, count);
    });
    this.#low = low;
    this.#width = width;
  }

  #count(position: number, count: number): void {
    this.#counts[Math.max(0, Math.min(bins - 1, Math.floor(position)))] += count;
  }

  range(): Range | undefined {
    const { min, max } = this.#seen();
    let best = { min, max };
    let least = this.#error(best);
    // One end after the other: zero stays inside, so that the ends hardly depend on each other.
    for (const end of ["max", "min"] as const) {
      const whole = best;
      for (let i = 1; i < candidates; i++) {
        const tried = { ...whole, [end]: (whole[end] * (candidates - i)) / candidates };
        const error = this.#error(tried);
        if (error < least) [best, least] = [tried, error];
      }
    }
    return best;
  }

  /** The ends of the first and last bin that is not empty, with 0 between them. */
  #seen(): Range {
    const first = this.#counts.findIndex((count) => count > 0);
    const last = this.#counts.findLastIndex((count) => count > 0);
    if (first < 0) return { min: 0, max: 0 };
    return {
      min: Math.min(0, this.#low + first * this.#width),
      max: Math.max(0, this.#low + (last + 1) * this.#width),
    };
  }

  #error({ min, max }: Range): number {
    const step = (max - min) / levels;
    const inside = (step * step) / 12;
    let sum = 0;
    for (let i = 0; i < bins; i++) {
      if (this.#counts[i] === 0) continue;
      const middle = this.#low + (i + 0.5) * this.#width;
      const cut = middle > max ? middle - max : middle < min ? min - middle : 0;
      sum += this.#counts[i] * (cut === 0 ? inside : cut * cut);
    }
    return sum;
  }
}

const makers: Readonly<Record<ObserverName, () => Observer>> = {
  "min-max": () => new MinMaxObserver(),
  "moving-average": () => new MovingAverageObserver(),
  histogram: () => new HistogramObserver(),
};

/**
 * The names of all observers.
 *
 * @example
 * observerNames; // ["min-max", "moving-average", "histogram"]
 */
export const observerNames = Object.keys(makers) as readonly ObserverName[];

export function makeObserver(name: ObserverName): Observer {
  return makers[name]();
}

/**
 * Scale and zero point with which −128..127 cover a range and 0 (Jacob et al. 2018, section 3): 0 is exact, so that padding and
 * what a ReLU has cut cost nothing. Undefined for the range 0..0, for which there is no scale.
 */
export function affineOf({ min, max }: Range): Required<AffineQuantization> | undefined {
  const low = Math.min(min, 0);
  const high = Math.max(max, 0);
  const scale = Math.fround((high - low) / levels);
  if (!(scale > 2 ** -100)) return undefined;
  return { scale, zeroPoint: Math.max(-128, Math.min(127, Math.round(-128 - low / scale))) };
}
