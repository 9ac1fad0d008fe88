/** Trimmed means with confidence intervals, and comparison of two measurements. */
import { generator } from "../core/mulberry.js";

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Fraction trimmed at each end. */
const trimmed = 0.4;

/** Trimmed mean: as robust as the median, but finer than the clock's resolution. */
export function trimmedMean(values: readonly number[]): number {
  const cut = Math.floor(trimmed * values.length);
  const middle = [...values].sort((a, b) => a - b).slice(cut, values.length - cut);
  return middle.reduce((sum, value) => sum + value, 0) / middle.length;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Bootstrap resamples; enough for the extreme quantiles that many simultaneous comparisons need. */
const resamplings = 4000;

/**
 * Confidence interval of the ratio of the trimmed means, b / a: percentile bootstrap (Efron 1979). Deterministic: the same samples
 * give the same interval.
 */
export function ratioInterval(a: readonly number[], b: readonly number[], confidence: number): Interval {
  const random = generator(a.length * 1_000_003 + b.length);
  const resampled = (values: readonly number[]) =>
    trimmedMean(values.map(() => values[Math.floor(random() * values.length)]));
  const ratios = Array.from({ length: resamplings }, () => resampled(b) / resampled(a)).sort((x, y) => x - y);
  const tail = (1 - confidence) / 2;
  const at = (share: number) =>
    ratios[Math.min(resamplings - 1, Math.max(0, Math.round(share * (resamplings - 1))))];
  return { low: at(tail), high: at(1 - tail) };
}
