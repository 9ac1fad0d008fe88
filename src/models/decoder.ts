/** What all decoders share: how they are called with a cache, positions, and the rows that the head computes. */
import { ShapeError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { cachedAttention, type KeyValueCache, type KeyValues } from "../nn/key_value_cache.js";
import type { Module } from "../nn/module.js";
import { type AttentionOptions, scaledDotProductAttention } from "../ops/attention.js";
import { eq, lt, where } from "../ops/comparison.js";
import { arange } from "../ops/creation.js";
import { add, clamp, sub } from "../ops/elementwise.js";
import { sum } from "../ops/reduce.js";
import { squeeze, unsqueeze } from "../ops/reshape.js";
import { narrow } from "../ops/slice.js";

/** Options of a call of a decoder. */
export interface CausalCall {
  /** Keys and values of the tokens before these, which are added to it. Under `noGrad` only. */
  readonly cache?: KeyValueCache | undefined;
  /** int32 [N]: of the T tokens of each sequence, so many are ones, the first; the others are padding. Default T. */
  readonly counts?: Tensor | undefined;
  /** Computes the logits of the last token of each sequence only: [N, vocabulary]. Default false. */
  readonly last?: boolean | undefined;
}

/** Sizes of a decoder that a cache and a generator need. */
export interface DecoderSizes {
  readonly layers: number;
  /** Heads of keys and values. */
  readonly heads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  /** Longest sequence. */
  readonly maxPositions: number;
}

/** A model that predicts the next token: int32 tokens [N, T] → logits [N, T, vocabulary], or [N, vocabulary] with `last`. */
export interface CausalModel extends Module<[tokens: Tensor, call?: CausalCall], Tensor> {
  readonly sizes: DecoderSizes;
}

/** The part of a cache that belongs to a layer. */
export interface LayerCache {
  readonly layer: KeyValues;
  readonly cache: KeyValueCache;
  readonly counts: Tensor | number;
}

/** The part of layer `i`; undefined without a cache. */
export function layerCache({ cache, counts }: CausalCall, i: number, length: number): LayerCache | undefined {
  return cache && { layer: cache.layers[i], cache, counts: counts ?? length };
}

/** Causal attention of q, k, v [N, heads, T, headDim], over the cache too if there is one. */
export function causalAttention(
  [q, k, v]: readonly [q: Tensor, k: Tensor, v: Tensor],
  from: LayerCache | undefined,
  options: Pick<AttentionOptions, "window" | "enableGqa" | "scale">,
): Tensor {
  if (from) return cachedAttention([q, k, v], from.layer, from.cache, from.counts, options);
  return scaledDotProductAttention(q, k, v, { ...options, causal: true });
}

/** @throws ShapeError unless the tokens are [N, T]. */
export function requireTokens(op: string, tokens: Tensor): Tensor {
  if (requireTensor(op, tokens, "tokens").rank !== 2) {
    throw new ShapeError(`tokens are [N, T], got ${formatShape(tokens.shape)}`, { op });
  }
  return tokens;
}

/** int32 positions of tokens [N, T]: [T] without a cache, [N, T] with one. Padding has the position 0. */
export function positionsOf(tokens: Tensor, { cache, counts }: CausalCall): Tensor {
  const steps = arange(tokens.shape[1], { device: tokens.device });
  if (!cache) return steps;
  const positions = add(unsqueeze(cache.lengths, 1), steps);
  return counts ? where(lt(steps, unsqueeze(counts, 1)), positions, 0) : positions;
}

/**
 * The hidden state of the last token of each sequence: x [N, T, width] → [N, width]. A sequence without tokens gets its first row.
 *
 * Not a gather: that checks its index, and no update may run before a check. The caches would be copied instead of written in place,
 * as x depends on them.
 */
export function lastRows(x: Tensor, counts: Tensor | undefined): Tensor {
  const length = x.shape[1];
  if (!counts || length === 1) return squeeze(narrow(x, 1, length - 1, 1), 1);
  const last = clamp(sub(counts, 1), { min: 0 });
  const isLast = eq(arange(length, { device: x.device }), unsqueeze(last, 1));
  return sum(where(unsqueeze(isLast, 2), x, 0), 1);
}
