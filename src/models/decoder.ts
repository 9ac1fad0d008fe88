/** What all decoders share: how they are called with a cache, positions, and the rows that the head computes. */
import { ArgumentError, ShapeError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { cachedAttention, type KeyValueCache, type KeyValues } from "../nn/key_value_cache.js";
import type { Module } from "../nn/module.js";
import { type AttentionOptions, scaledDotProductAttention } from "../ops/attention.js";
import { eq, logicalAnd, lt, where } from "../ops/comparison.js";
import { arange } from "../ops/creation.js";
import { add, clamp, sub } from "../ops/elementwise.js";
import { cast } from "../ops/promotion.js";
import { sum } from "../ops/reduce.js";
import { squeeze, unsqueeze } from "../ops/reshape.js";
import { narrow } from "../ops/slice.js";

/** Options of a call of a decoder. */
export interface CausalCall {
  /** Keys and values of the tokens before these, which are added to it. Under `noGrad` only. */
  readonly cache?: KeyValueCache | undefined;
  /** int32 [N]: of the T tokens of each sequence, so many are ones, the first; the others are padding. Default T. */
  readonly counts?: Tensor | undefined;
  /**
   * int32 [N, T]: the number of the document that each token belongs to, where several are packed in a sequence one after the other.
   * A token sees its own document only, whose positions begin at 0. Not together with `cache`.
   */
  readonly documents?: Tensor | undefined;
  /** Computes the logits of the last token of each sequence only: [N, vocabulary]. Default false. */
  readonly last?: boolean | undefined;
}

/** Lengths of the chunks in which a prompt is read: shorter ones are padded to the next. */
export const chunkLengths = [1, 8, 32, 128] as const;

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

/** What a layer's attention sees besides its tokens: the part of a cache that belongs to it, or a mask. */
export type LayerCache =
  | { readonly layer: KeyValues; readonly cache: KeyValueCache; readonly counts: Tensor | number }
  | { readonly mask: Tensor };

/** That of layer `i`; undefined without a cache and documents. @throws ArgumentError for both. */
export function layerCache(
  { cache, counts, documents }: CausalCall,
  i: number,
  length: number,
): LayerCache | undefined {
  if (documents === undefined) return cache && { layer: cache.layers[i], cache, counts: counts ?? length };
  if (cache === undefined) return { mask: unsqueeze(sameDocument(documents), 1) };
  throw new ArgumentError("a cache and packed documents are both given", { op: "forward" });
}

/** bool [N, T, T]: whether two tokens belong to the same document. */
function sameDocument(documents: Tensor): Tensor {
  return eq(unsqueeze(documents, 2), unsqueeze(documents, 1));
}

/** Causal attention of q, k, v [N, heads, T, headDim], over the cache too if there is one. */
export function causalAttention(
  [q, k, v]: readonly [q: Tensor, k: Tensor, v: Tensor],
  from: LayerCache | undefined,
  options: Pick<AttentionOptions, "window" | "enableGqa" | "scale">,
): Tensor {
  if (from && "mask" in from)
    return scaledDotProductAttention(q, k, v, { ...options, causal: true, mask: from.mask });
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

/** int32 positions of tokens [N, T]: [T] without a cache and documents, [N, T] with one. Padding has the position 0. */
export function positionsOf(tokens: Tensor, { cache, counts, documents }: CausalCall): Tensor {
  const steps = arange(tokens.shape[1], { device: tokens.device });
  // How many tokens of the same document come before.
  if (documents) {
    const before = logicalAnd(sameDocument(documents), lt(steps, unsqueeze(steps, 1)));
    return sum(cast(before, "int32"), 2);
  }
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
