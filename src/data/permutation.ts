/**
 * The order of samples in an epoch: a Fisher–Yates shuffle (Durstenfeld, "Algorithm 235", 1964) driven by the
 * counter-based generator Philox, so that it depends on nothing but (length, seed, epoch) and is the same everywhere.
 */
import { philox } from "../core/philox.js";

/**
 * Last word of the counter. The random numbers of tensors have 0 there, so that a loader and a model given the same
 * seed draw from different streams.
 */
const shuffleStream = 1;

const wordRange = 2 ** 32;

/** Every number of 0..length-1 once, in an order given by `seed` (0 ≤ seed < 2^53) and `epoch`. */
export function permutation(length: number, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from({ length }, (_, i) => i);
  const next = words(seed, epoch);
  for (let i = length - 1; i > 0; i--) {
    // Rejection sampling: words above the last multiple of the range are drawn again, otherwise small numbers would be more likely.
    const range = i + 1;
    const limit = wordRange - (wordRange % range);
    let word = next();
    while (word >= limit) word = next();
    const j = word % range;
    const swapped = order[i];
    order[i] = order[j];
    order[j] = swapped;
  }
  return order;
}

function words(seed: number, epoch: number): () => number {
  const key = [seed % wordRange, Math.floor(seed / wordRange)] as const;
  let block = 0;
  let at = 4;
  let values: readonly number[] = [];
  return () => {
    if (at === 4) {
      values = philox([block++, 0, epoch, shuffleStream], key);
      at = 0;
    }
    return values[at++];
  };
}
