/** A small GPT over characters (Radford et al. 2018, with pre-norm blocks as in GPT-2). */

import { aBoolean, aNumber, checkOptions, type Kinds } from "../../core/check.js";
import { ArgumentError, ShapeError } from "../../core/errors.js";
import { formatShape } from "../../core/shape.js";
import { requireTensor } from "../../graph/require.js";
import type { Tensor } from "../../graph/tensor.js";
import { joinHeads, splitHeads } from "../../nn/attention.js";
import { ModuleList } from "../../nn/container.js";
import { Dropout } from "../../nn/dropout.js";
import { Embedding } from "../../nn/embedding.js";
import {
  advanceCache,
  cachedAttention,
  type KeyValueCache,
  type KeyValues,
} from "../../nn/key_value_cache.js";
import { Linear } from "../../nn/linear.js";
import { Module } from "../../nn/module.js";
import { LayerNorm } from "../../nn/normalization.js";
import { type ParameterOptions, parameterOptions, requireCounts } from "../../nn/parameter.js";
import { gelu } from "../../ops/activation.js";
import { scaledDotProductAttention } from "../../ops/attention.js";
import { arange } from "../../ops/creation.js";
import { add } from "../../ops/elementwise.js";
import { unsqueeze } from "../../ops/reshape.js";
import { narrow } from "../../ops/slice.js";
import { throughLayer } from "../gradient_checkpointing.js";

/** Sizes of a `CharGpt`. */
export interface GptOptions extends ParameterOptions {
  /** Number of tokens. Default 65. */
  readonly vocabulary?: number;
  /** Maximum sequence length. Default 128. */
  readonly context?: number;
  /** Width of the embeddings. Default 128. */
  readonly width?: number;
  /** Attention heads of each block. Default 4. */
  readonly numHeads?: number;
  /** Number of blocks. Default 4. */
  readonly numLayers?: number;
  /** Dropout probability. Default 0. */
  readonly dropout?: number;
  /**
   * Keeps the inputs of the blocks only for the gradient and computes all else again, which saves most of the memory of training for a
   * third more time. See `checkpoint`. Default false.
   */
  readonly gradientCheckpointing?: boolean;
}

const gptOptions: Kinds<GptOptions> = {
  ...parameterOptions,
  vocabulary: aNumber,
  context: aNumber,
  width: aNumber,
  numHeads: aNumber,
  numLayers: aNumber,
  dropout: aNumber,
  gradientCheckpointing: aBoolean,
};

/** Options of `CharGpt.forward` for decoding with a key-value cache. */
export interface DecodingOptions {
  /** Keys and values of the previous tokens; those of the new ones are appended. */
  readonly cache?: KeyValueCache;
  /** int32 [N]: in each sequence only the first `counts` of the T tokens are valid. Default T. */
  readonly counts?: Tensor;
}

/** The part of a cache that belongs to a layer. */
interface Remembered {
  readonly layer: KeyValues;
  readonly cache: KeyValueCache;
  readonly counts: Tensor | number;
}

/** Causal self-attention, projections without bias. */
class SelfAttention extends Module<[x: Tensor, remembered?: Remembered]> {
  readonly qkv: Linear;
  readonly proj: Linear;
  readonly #numHeads: number;

  constructor(width: number, numHeads: number, options: ParameterOptions) {
    super();
    this.#numHeads = numHeads;
    this.qkv = new Linear(width, 3 * width, { ...options, bias: false });
    this.proj = new Linear(width, width, { ...options, bias: false });
  }

  forward(x: Tensor, remembered?: Remembered): Tensor {
    const width = x.shape[2];
    const qkv = this.qkv.forward(x);
    const part = (i: number) => splitHeads(narrow(qkv, 2, i * width, width), this.#numHeads);
    const [q, k, v] = [part(0), part(1), part(2)];
    const attended = remembered
      ? cachedAttention([q, k, v], remembered.layer, remembered.cache, remembered.counts)
      : scaledDotProductAttention(q, k, v, { causal: true });
    return this.proj.forward(joinHeads(attended));
  }
}

/** x + attention(norm(x)), then x + mlp(norm(x)). */
class Block extends Module<[x: Tensor, remembered?: Remembered]> {
  readonly ln1: LayerNorm;
  readonly attn: SelfAttention;
  readonly ln2: LayerNorm;
  readonly fc: Linear;
  readonly proj: Linear;
  /** A public field, so that train() and eval() reach it. */
  readonly dropout: Dropout;

  constructor(width: number, numHeads: number, dropout: number, options: ParameterOptions) {
    super();
    this.ln1 = new LayerNorm(width, options);
    this.attn = new SelfAttention(width, numHeads, options);
    this.ln2 = new LayerNorm(width, options);
    this.fc = new Linear(width, 4 * width, options);
    this.proj = new Linear(4 * width, width, options);
    this.dropout = new Dropout(dropout);
  }

  forward(x: Tensor, remembered?: Remembered): Tensor {
    const attended = add(x, this.dropout.forward(this.attn.forward(this.ln1.forward(x), remembered)));
    const hidden = gelu(this.fc.forward(this.ln2.forward(attended)), { approximate: "tanh" });
    return add(attended, this.dropout.forward(this.proj.forward(hidden)));
  }
}

/**
 * A small GPT over characters (Radford et al. 2018, with GPT-2's pre-norm blocks): int32 tokens [N, T] with T ≤ context → logits
 * [N, T, vocabulary]. Learned positions, untied head.
 *
 * @example
 * const model = new CharGpt({ numLayers: 1, width: 16, numHeads: 2 });
 * const tokens = zeros([1, 8], { dtype: "int32" });
 * model.forward(tokens).shape; // [1, 8, 65]
 *
 * @example
 * const model = new CharGpt({ numLayers: 1, width: 16, numHeads: 2 });
 * const cache = keyValueCache({ layers: 1, batch: 1, heads: 2, capacity: 128, headDim: 8 });
 * const step = jit((token: Tensor) => noGrad(() => model.forward(token, { cache })));
 * step(zeros([1, 1], { dtype: "int32" })).shape; // [1, 1, 65]
 * cache.lengths; // [1]
 *
 * @throws ShapeError for more tokens than the context; with a cache IndexError when the logits are read.
 */
export class CharGpt extends Module<[tokens: Tensor, options?: DecodingOptions]> {
  readonly tok: Embedding;
  readonly pos: Embedding;
  readonly blocks: ModuleList;
  readonly norm: LayerNorm;
  readonly head: Linear;
  gradientCheckpointing: boolean;
  readonly #context: number;

  constructor(options: GptOptions = {}) {
    super();
    const {
      vocabulary = 65,
      context = 128,
      width = 128,
      numHeads = 4,
      numLayers = 4,
      dropout = 0,
      gradientCheckpointing = false,
      device,
    } = checkOptions("CharGpt", options, gptOptions);
    requireCounts("CharGpt", { vocabulary, context, width, numHeads, numLayers });
    if (width % numHeads !== 0) {
      throw new ArgumentError(`${numHeads} heads do not divide the width ${width}`, { op: "CharGpt" });
    }
    this.#context = context;
    this.gradientCheckpointing = gradientCheckpointing;
    this.tok = new Embedding(vocabulary, width, { device });
    this.pos = new Embedding(context, width, { device });
    const blocks = Array.from({ length: numLayers }, () => new Block(width, numHeads, dropout, { device }));
    this.blocks = new ModuleList(blocks);
    this.norm = new LayerNorm(width, { device });
    this.head = new Linear(width, vocabulary, { device, bias: false });
  }

  forward(tokens: Tensor, { cache, counts }: DecodingOptions = {}): Tensor {
    if (requireTensor("CharGpt", tokens, "tokens").rank !== 2) {
      throw new ShapeError(`tokens are [N, T], got ${formatShape(tokens.shape)}`, { op: "CharGpt" });
    }
    const length = tokens.shape[1];
    if (length > this.#context) {
      throw new ShapeError(`${length} tokens given, the context is ${this.#context}`, { op: "CharGpt" });
    }
    const steps = arange(length, { device: tokens.device });
    const positions = cache ? add(unsqueeze(cache.lengths, 1), steps) : steps;
    let x = add(this.tok.forward(tokens), this.pos.forward(positions));
    this.blocks.modules.forEach((block, i) => {
      const remembered = cache && { layer: cache.layers[i], cache, counts: counts ?? length };
      x = throughLayer(this.gradientCheckpointing, (input) => (block as Block).forward(input, remembered), x);
    });
    if (cache) advanceCache(cache, counts ?? length);
    return this.head.forward(this.norm.forward(x));
  }
}
