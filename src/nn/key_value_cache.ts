/** Key-value cache of a decoder: keys and values of the tokens so far, preallocated for a maximum number of positions. */
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

/** Keys and values of one layer: float32 [N, heads, capacity, headDim] each. */
export type KeyValues = {
  readonly keys: Tensor;
  readonly values: Tensor;
};

/**
 * Keys and values of every layer for decoding token by token; a record of tensors that `forward` and `jit` accept. A type, because
 * TypeScript does not take interfaces for records.
 */
export type KeyValueCache = {
  readonly layers: readonly KeyValues[];
  /** int32 [N]: number of filled positions of each sequence. */
  readonly lengths: Tensor;
};

/** Sizes of a `keyValueCache`. */
export interface KeyValueCacheOptions {
  readonly layers: number;
  /** Number of sequences. */
  readonly batch: number;
  /** Number of key and value heads; queries may have a multiple of it. */
  readonly heads: number;
  /** Maximum number of positions of a sequence. */
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
 * An empty key-value cache. Memory for `capacity` positions is allocated at once, so that decoding allocates and compiles nothing.
 *
 * @example
 * const cache = keyValueCache({ layers: 2, batch: 1, heads: 4, capacity: 128, headDim: 16 });
 * cache.layers[0].keys.shape; // [1, 4, 128, 16]
 * cache.lengths; // [0]
 *
 * @throws ArgumentError for sizes that are not positive integers, OutOfMemoryError.
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
 * Appends k and v [N, heads, T, headDim] to the filled positions of `layer`, and attends with q [N, heads, T, headDim] to all of them,
 * each query up to its own position; returns [N, heads, T, headDim]. `counts`, a number or int32 [N], is the number of the T rows
 * that are tokens in each sequence; default T. Call `advanceCache` after the last layer.
 *
 * @example
 * const cache = keyValueCache({ layers: 1, batch: 1, heads: 1, capacity: 8, headDim: 2 });
 * const q = tensor([[[[1, 0]]]]);
 * noGrad(() => cachedAttention([q, q, q], cache.layers[0], cache)); // [[[[1, 0]]]]
 *
 * @throws ArgumentError if a gradient would be recorded, since a cache has no history. IndexError from the next read if the cache is
 * full.
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

/**
 * Adds `counts` (a number, or int32 [N] for each sequence) to the cache's lengths, once per step after all layers.
 *
 * @example
 * const cache = keyValueCache({ layers: 1, batch: 2, heads: 1, capacity: 8, headDim: 2 });
 * advanceCache(cache, 3);
 * cache.lengths; // [3, 3]
 */
export function advanceCache(cache: KeyValueCache, counts: Tensor | number): void {
  const { lengths } = check("advanceCache", "the cache", cache, aCache);
  lengths.assign(add(lengths, check("advanceCache", "counts", counts, tensorOrCount)));
}
