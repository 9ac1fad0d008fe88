/** A small GPT over characters (Radford et al. 2018, with pre-norm blocks as in GPT-2). */

import { aNumber, checkOptions, type Kinds } from "../../core/check.js";
import { ArgumentError, ShapeError } from "../../core/errors.js";
import { formatShape } from "../../core/shape.js";
import { requireTensor } from "../../graph/require.js";
import type { Tensor } from "../../graph/tensor.js";
import { joinHeads, splitHeads } from "../../nn/attention.js";
import { ModuleList } from "../../nn/container.js";
import { Dropout } from "../../nn/dropout.js";
import { Embedding } from "../../nn/embedding.js";
import { Linear } from "../../nn/linear.js";
import { Module } from "../../nn/module.js";
import { LayerNorm } from "../../nn/normalization.js";
import { type ParameterOptions, parameterOptions, requireCounts } from "../../nn/parameter.js";
import { gelu } from "../../ops/activation.js";
import { scaledDotProductAttention } from "../../ops/attention.js";
import { arange } from "../../ops/creation.js";
import { add } from "../../ops/elementwise.js";
import { narrow } from "../../ops/slice.js";

export interface GptOptions extends ParameterOptions {
  /** Tokens. Default 65. */
  readonly vocabulary?: number;
  /** Longest sequence. Default 128. */
  readonly context?: number;
  /** Default 128. */
  readonly width?: number;
  /** Default 4. */
  readonly numHeads?: number;
  /** Blocks. Default 4. */
  readonly numLayers?: number;
  /** Default 0. */
  readonly dropout?: number;
}

const gptOptions: Kinds<GptOptions> = {
  ...parameterOptions,
  vocabulary: aNumber,
  context: aNumber,
  width: aNumber,
  numHeads: aNumber,
  numLayers: aNumber,
  dropout: aNumber,
};

/** Causal self-attention, projections without bias. */
class SelfAttention extends Module {
  readonly qkv: Linear;
  readonly proj: Linear;
  readonly #numHeads: number;

  constructor(width: number, numHeads: number, options: ParameterOptions) {
    super();
    this.#numHeads = numHeads;
    this.qkv = new Linear(width, 3 * width, { ...options, bias: false });
    this.proj = new Linear(width, width, { ...options, bias: false });
  }

  forward(x: Tensor): Tensor {
    const width = x.shape[2];
    const qkv = this.qkv.forward(x);
    const [q, k, v] = [0, 1, 2].map((i) => splitHeads(narrow(qkv, 2, i * width, width), this.#numHeads));
    return this.proj.forward(joinHeads(scaledDotProductAttention(q, k, v, { causal: true })));
  }
}

/** x + attention(norm(x)), then x + mlp(norm(x)). */
class Block extends Module {
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

  forward(x: Tensor): Tensor {
    const attended = add(x, this.dropout.forward(this.attn.forward(this.ln1.forward(x))));
    const hidden = gelu(this.fc.forward(this.ln2.forward(attended)), { approximate: "tanh" });
    return add(attended, this.dropout.forward(this.proj.forward(hidden)));
  }
}

/**
 * int32 tokens [N, T] with T ≤ context → logits [N, T, vocabulary]. Learned positions, untied head.
 *
 * @example
 * const model = new CharGpt({ numLayers: 2 });
 * const logits = model.forward(tokens); // tokens [8, 128] → logits [8, 128, 65]
 *
 * @throws ShapeError for more tokens than the context holds.
 */
export class CharGpt extends Module {
  readonly tok: Embedding;
  readonly pos: Embedding;
  readonly blocks: ModuleList;
  readonly norm: LayerNorm;
  readonly head: Linear;
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
      device,
    } = checkOptions("CharGpt", options, gptOptions);
    requireCounts("CharGpt", { vocabulary, context, width, numHeads, numLayers });
    if (width % numHeads !== 0) {
      throw new ArgumentError(`${numHeads} heads do not divide the width ${width}`, { op: "CharGpt" });
    }
    this.#context = context;
    this.tok = new Embedding(vocabulary, width, { device });
    this.pos = new Embedding(context, width, { device });
    const blocks = Array.from({ length: numLayers }, () => new Block(width, numHeads, dropout, { device }));
    this.blocks = new ModuleList(blocks);
    this.norm = new LayerNorm(width, { device });
    this.head = new Linear(width, vocabulary, { device, bias: false });
  }

  forward(tokens: Tensor): Tensor {
    if (requireTensor("CharGpt", tokens, "tokens").rank !== 2) {
      throw new ShapeError(`tokens are [N, T], got ${formatShape(tokens.shape)}`, { op: "CharGpt" });
    }
    const length = tokens.shape[1];
    if (length > this.#context) {
      throw new ShapeError(`${length} tokens given, the context is ${this.#context}`, { op: "CharGpt" });
    }
    const positions = this.pos.forward(arange(length, { device: tokens.device }));
    const x = this.blocks.modules.reduce(
      (value, block) => block.forward(value),
      add(this.tok.forward(tokens), positions),
    );
    return this.head.forward(this.norm.forward(x));
  }
}
