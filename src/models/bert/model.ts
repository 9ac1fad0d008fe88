/**
 * BERT (Devlin et al. 2018), RoBERTa (Liu et al. 2019) and DistilBERT (Sanh et al. 2019): learned positions, a norm after each part,
 * attention in both directions.
 */
import { ShapeError } from "../../core/errors.js";
import { formatShape } from "../../core/shape.js";
import { requireTensor } from "../../graph/require.js";
import type { Tensor } from "../../graph/tensor.js";
import { joinHeads, splitHeads } from "../../nn/attention.js";
import { Embedding } from "../../nn/embedding.js";
import { Linear } from "../../nn/linear.js";
import { Module } from "../../nn/module.js";
import { LayerNorm } from "../../nn/normalization.js";
import type { ParameterOptions } from "../../nn/parameter.js";
import { scaledDotProductAttention } from "../../ops/attention.js";
import { arange, zeros } from "../../ops/creation.js";
import { add } from "../../ops/elementwise.js";
import { activate } from "../activations.js";
import { throughLayer } from "../gradient_checkpointing.js";
import type { EncoderConfig } from "./config.js";

/** Options of a call of an encoder. */
export interface EncoderCall {
  /** int32 [N]: of the T tokens of each sequence, so many are ones, the first; the others are padding and are not seen. Default T. */
  readonly lengths?: Tensor | undefined;
  /** int32 [N, T]: to which part of the input a token belongs. Default 0. For models without token types, no argument. */
  readonly tokenTypes?: Tensor | undefined;
  /** int32 [N, M]: the positions whose logits the head for masked tokens computes. Default all. */
  readonly positions?: Tensor | undefined;
}

/** norm(x + attention(x)), then norm(x + mlp(x)). */
class Layer extends Module<[x: Tensor, lengths?: Tensor]> {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly attentionOutput: Linear;
  readonly attentionNorm: LayerNorm;
  readonly inner: Linear;
  readonly output: Linear;
  readonly outputNorm: LayerNorm;
  readonly #config: EncoderConfig;

  constructor(config: EncoderConfig, options: ParameterOptions) {
    super();
    const { width, innerWidth, eps } = config;
    this.query = new Linear(width, width, options);
    this.key = new Linear(width, width, options);
    this.value = new Linear(width, width, options);
    this.attentionOutput = new Linear(width, width, options);
    this.attentionNorm = new LayerNorm(width, { ...options, eps });
    this.inner = new Linear(width, innerWidth, options);
    this.output = new Linear(innerWidth, width, options);
    this.outputNorm = new LayerNorm(width, { ...options, eps });
    this.#config = config;
  }

  override stateNames() {
    return this.#config.spelling.layer;
  }

  forward(x: Tensor, lengths?: Tensor): Tensor {
    const { numHeads, activation } = this.#config;
    const [q, k, v] = [this.query, this.key, this.value].map((part) => splitHeads(part.forward(x), numHeads));
    const attended = joinHeads(scaledDotProductAttention(q, k, v, lengths && { keyLengths: lengths }));
    const middle = this.attentionNorm.forward(add(x, this.attentionOutput.forward(attended)));
    const inner = activate(activation, this.inner.forward(middle));
    return this.outputNorm.forward(add(middle, this.output.forward(inner)));
  }
}

/**
 * int32 tokens [N, T] → hidden states [N, T, width]; those of padding have no meaning.
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/bert_tokens");
 * const { model } = await fromPretrained<Encoder>(source, { device: "wasm", head: "none" });
 * model.forward(tensor([[5, 6]], { dtype: "int32" })).shape; // [1, 2, 16]
 */
export class Encoder extends Module<[tokens: Tensor, call?: EncoderCall], Tensor> {
  readonly words: Embedding;
  readonly positions: Embedding;
  readonly types: Embedding | undefined;
  readonly norm: LayerNorm;
  readonly layers: readonly Layer[];
  /**
   * Keeps the inputs of the layers only for the gradient and computes all else again, which saves most of the memory of training for a
   * third more time. See `checkpoint`. Default false.
   */
  gradientCheckpointing = false;
  readonly #config: EncoderConfig;

  constructor(config: EncoderConfig, options: ParameterOptions = {}) {
    super();
    const { vocabulary, maxPositions, typeVocabulary, width, numLayers, eps } = config;
    this.words = new Embedding(vocabulary, width, options);
    this.positions = new Embedding(maxPositions, width, options);
    if (typeVocabulary > 0) this.types = new Embedding(typeVocabulary, width, options);
    this.norm = new LayerNorm(width, { ...options, eps });
    this.layers = Array.from({ length: numLayers }, () => new Layer(config, options));
    this.#config = config;
  }

  override stateNames() {
    return {
      words: "embeddings.word_embeddings",
      positions: "embeddings.position_embeddings",
      types: "embeddings.token_type_embeddings",
      norm: "embeddings.LayerNorm",
      layers: this.#config.spelling.layers,
    };
  }

  /** @throws ShapeError for other tokens, and for more than the table of positions has rows. */
  forward(tokens: Tensor, { lengths, tokenTypes }: EncoderCall = {}): Tensor {
    const { maxPositions, firstPosition } = this.#config;
    const longest = maxPositions - firstPosition;
    if (requireTensor("Encoder", tokens, "tokens").rank !== 2 || tokens.shape[1] > longest) {
      throw new ShapeError(`tokens are [N, T] with T ≤ ${longest}, got ${formatShape(tokens.shape)}`, {
        op: "Encoder",
      });
    }
    const { device } = tokens;
    const positions = arange(firstPosition, firstPosition + tokens.shape[1], { device });
    let x = add(this.words.forward(tokens), this.positions.forward(positions));
    if (this.types) {
      x = add(x, this.types.forward(tokenTypes ?? zeros([1, 1], { device, dtype: "int32" })));
    }
    x = this.norm.forward(x);
    for (const layer of this.layers) {
      x = throughLayer(this.gradientCheckpointing, (input) => layer.forward(input, lengths), x);
    }
    return x;
  }
}
