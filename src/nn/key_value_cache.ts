/** What a decoder remembers of the tokens it has seen: keys and values, in memory for as many positions as there will ever be. */
import {
  aCount,
  aDevice,
  check,
  checkNeeded,
  checkOptions,
  either,
  type Kind,
  type Kinds,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Device } from "../device/device.js";
import { aTensor, tensors } from "../graph/require.js";
import { isGradEnabled, Tensor } from "../graph/tensor.js";
import { type AttentionOptions, scaledDotProductAttention } from "../ops/attention.js";
import { zeros } from "../ops/creation.js";
import { add } from "../ops/elementwise.js";
import { sliceScatter } from "../ops/write.js";
import { realize } from "../runtime/realize.js";

/** Of one layer: float32 [N, heads, capacity, headDim] each. */
export interface KeyValues {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/** A record of tensors, for `forward` and `jit` to take. */
export interface KeyValueCache {
  readonly layers: readonly KeyValues[];
  /** int32 [N]: positions that are filled, of each sequence. */
  readonly lengths: Tensor;
}

export interface KeyValueCacheOptions {
  readonly layers: number;
  /** Sequences. */
  readonly batch: number;
  /** Of keys and values; queries may have a multiple of them. */
  readonly heads: number;
  /** Positions of each sequence. */
  readonly capacity: number;
  readonly headDim: number;
  /** Default: the device given to `setDefaultDevice`. */
  readonly device?: Device;
}

const cacheOptions: Kinds<KeyValueCacheOptions> = {
  ...{ layers: aCount, batch: aCount, heads: aCount, capacity: aCount, headDim: aCount },
  device: aDevice,
};

const aCache: Kind = [
  "a cache, of keyValueCache()",
  (value) => (value as KeyValueCache | undefined | null)?.lengths instanceof Tensor,
];
const aLayer: Kind = [
  "a layer of a cache",
  (value) => {
    const { keys, values } = (value ?? {}) as KeyValues;
    return keys instanceof Tensor && values instanceof Tensor;
  },
];
const threeTensors: Kind = [
  "[queries, keys, values]",
  (value) => tensors[1](value) && (value as readonly Tensor[]).length === 3,
];
const tensorOrCount = either(aTensor, aCount);

/**
 * An empty cache.
 *
 * @example
 * const cache = keyValueCache({ layers: 12, batch: 1, heads: 12, capacity: 2048, headDim: 64, device });
 * const step = jit((token: Tensor) => noGrad(() => model.forward(token, { cache }))); // token [1, 1]
 *
 * @throws ArgumentError, OutOfMemoryError
 */
export function keyValueCache(options: KeyValueCacheOptions): KeyValueCache {
  const op = "keyValueCache";
  const given = checkOptions(op, options, cacheOptions) as KeyValueCacheOptions;
  const { layers, batch, heads, capacity, headDim, device } = given;
  checkNeeded(op, { layers, batch, heads, capacity, headDim }, cacheOptions);
  const empty = () => zeros([batch, heads, capacity, headDim], { device });
  const cache: KeyValueCache = {
    layers: Array.from({ length: layers }, () => ({ keys: empty(), values: empty() })),
    lengths: zeros([batch], { device, dtype: "int32" }),
  };
  realize([cache.lengths, ...cache.layers.flatMap(({ keys, values }) => [keys, values])]);
  return cache;
}

/**
 * Writes k and v [N, heads, T, headDim] behind the positions that are filled, and lets q [N, heads, T, headDim] see all of them, each
 * query up to its own position. `counts`, int32 [N]: of the T rows, so many of each sequence are tokens; default T. `advanceCache` then
 * counts them.
 *
 * @throws ArgumentError where a gradient would be recorded: a cache has no history. The next read throws IndexError if the cache
 * is full.
 */
export function cachedAttention(
  given: readonly [q: Tensor, k: Tensor, v: Tensor],
  layer: KeyValues,
  cache: KeyValueCache,
  counts?: Tensor | number,
  options: Pick<AttentionOptions, "window" | "enableGqa" | "scale"> = {},
): Tensor {
  const op = "cachedAttention";
  const [q, k, v] = check(op, "the first argument", given, threeTensors);
  const { keys, values } = check(op, "the second argument", layer, aLayer);
  const { lengths } = check(op, "the third argument", cache, aCache);
  if (counts !== undefined) check(op, "counts", counts, tensorOrCount);
  if (isGradEnabled() && [q, k, v].some(({ requiresGrad }) => requiresGrad)) {
    throw new ArgumentError("keys and values in a cache have no gradient", {
      op,
      hint: "decode under noGrad()",
    });
  }
  keys.assign(sliceScatter(keys, k, 2, lengths));
  values.assign(sliceScatter(values, v, 2, lengths));
  const keyLengths = add(lengths, counts ?? k.shape[2]);
  return scaledDotProductAttention(q, keys, values, {
    ...options,
    ...{ causal: true, keyLengths, queryPositions: lengths },
  });
}

/** Counts the tokens that all layers have got: `counts` of each sequence, int32 [N] or a number for all. */
export function advanceCache(cache: KeyValueCache, counts: Tensor | number): void {
  const { lengths } = check("advanceCache", "the cache", cache, aCache);
  lengths.assign(add(lengths, check("advanceCache", "counts", counts, tensorOrCount)));
}
