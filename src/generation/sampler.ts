/** Choosing a token: the best one, or one by its probability with random numbers that depend on nothing but seed and position. */
import { philox } from "../core/philox.js";
import { probabilitiesOf } from "./logits.js";

/** The position of the largest score, the first of equal ones. */
export function argmaxOf(scores: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
  return best;
}

/** Uniform in [0, 1) with 53 bits: of a seed, the number of the sequence and that of its token. */
export function uniformAt(seed: number, sequence: number, step: number): number {
  const [high, low] = philox([step, sequence, 0, 0], [seed >>> 0, Math.floor(seed / 2 ** 32)]);
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53;
}

/** The token at the place `u` in 0 … 1 of the cumulated probabilities. */
export function tokenAt(scores: Float32Array, u: number): number {
  const probabilities = probabilitiesOf(scores);
  let sum = 0;
  let last = 0;
  for (let i = 0; i < probabilities.length; i++) {
    if (probabilities[i] === 0) continue;
    sum += probabilities[i];
    last = i;
    if (u < sum) return i;
  }
  // The sum of rounded numbers may be a little below 1.
  return last;
}
