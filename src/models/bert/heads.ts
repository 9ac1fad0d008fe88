/** What encoders compute from their last hidden states. */
import type { Tensor } from "../../graph/tensor.js";
import { Linear } from "../../nn/linear.js";
import { Module } from "../../nn/module.js";
import { LayerNorm } from "../../nn/normalization.js";
import type { ParameterOptions } from "../../nn/parameter.js";
import { expand } from "../../ops/broadcast.js";
import { relu, tanh } from "../../ops/elementwise.js";
import { gather } from "../../ops/indexing.js";
import { squeeze, unsqueeze } from "../../ops/reshape.js";
import { narrow } from "../../ops/slice.js";
import { activate } from "../activations.js";
import { pooled } from "../embedding.js";
import type { EncoderConfig } from "./config.js";
import { Encoder, type EncoderCall } from "./model.js";

/** An encoder under its own name, and a head whose parts have names beside it. */
abstract class WithHead<Result> extends Module<[tokens: Tensor, call?: EncoderCall], Result> {
  readonly base: Encoder;
  readonly config: EncoderConfig;

  constructor(config: EncoderConfig, options: ParameterOptions) {
    super();
    this.base = new Encoder(config, options);
    this.config = config;
  }

  /** As that of the model inside. */
  get gradientCheckpointing(): boolean {
    return this.base.gradientCheckpointing;
  }

  set gradientCheckpointing(isOn: boolean) {
    this.base.gradientCheckpointing = isOn;
  }

  override stateNames(): Record<string, string> {
    return { base: this.config.spelling.base };
  }
}

/**
 * Logits of each token [N, T, vocabulary], or of M positions [N, M, vocabulary], by a table that is that of the tokens.
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/bert_maskedLm");
 * const { model } = await fromPretrained<EncoderMaskedLm>(source, { device: "wasm", head: "maskedLm" });
 * model.forward(tensor([[5, 6]], { dtype: "int32" })).shape; // [1, 2, 61]
 */
export class EncoderMaskedLm extends WithHead<Tensor> {
  readonly dense: Linear;
  readonly norm: LayerNorm;
  readonly decoder: Linear;
  /** The decoder's, under a second name. */
  readonly bias: Tensor | undefined;

  constructor(config: EncoderConfig, options: ParameterOptions = {}) {
    super(config, options);
    const { width, vocabulary, eps, spelling } = config;
    this.dense = new Linear(width, width, options);
    this.norm = new LayerNorm(width, { ...options, eps });
    this.decoder = new Linear(width, vocabulary, options);
    if (config.tiesHead) this.decoder.weight = this.base.words.weight;
    if (spelling.maskedLm.bias !== undefined) this.bias = this.decoder.bias;
  }

  override stateNames() {
    return { ...super.stateNames(), ...this.config.spelling.maskedLm };
  }

  forward(tokens: Tensor, call: EncoderCall = {}): Tensor {
    const all = this.base.forward(tokens, call);
    const { positions } = call;
    const rows = positions
      ? gather(all, 1, expand(unsqueeze(positions, 2), [...positions.shape, all.shape[2]]))
      : all;
    const hidden = this.dense.forward(rows);
    // RoBERTa has this function whatever its layers have.
    const activation = this.config.spelling.base === "roberta" ? "gelu" : this.config.activation;
    return this.decoder.forward(this.norm.forward(activate(activation, hidden)));
  }
}

/**
 * Logits of each sequence [N, numLabels], from its first token.
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/roberta_sequence");
 * const { model } = await fromPretrained<EncoderSequence>(source, { device: "wasm", head: "sequence" });
 * model.forward(tensor([[5, 6]], { dtype: "int32" })).shape; // [1, 3]
 */
export class EncoderSequence extends WithHead<Tensor> {
  readonly dense: Linear;
  readonly out: Linear;

  constructor(config: EncoderConfig, options: ParameterOptions = {}) {
    super(config, options);
    this.dense = new Linear(config.width, config.width, options);
    this.out = new Linear(config.width, config.numLabels, options);
  }

  override stateNames() {
    return { ...super.stateNames(), ...this.config.spelling.sequence };
  }

  forward(tokens: Tensor, call: EncoderCall = {}): Tensor {
    const first = squeeze(narrow(this.base.forward(tokens, call), 1, 0, 1), 1);
    const dense = this.dense.forward(first);
    return this.out.forward(this.config.modelType === "distilbert" ? relu(dense) : tanh(dense));
  }
}

/**
 * Logits of each token [N, T, numLabels].
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/distilbert_tokens");
 * const { model } = await fromPretrained<EncoderTokens>(source, { device: "wasm", head: "tokens" });
 * model.forward(tensor([[5, 6]], { dtype: "int32" })).shape; // [1, 2, 3]
 */
export class EncoderTokens extends WithHead<Tensor> {
  readonly classifier: Linear;

  constructor(config: EncoderConfig, options: ParameterOptions = {}) {
    super(config, options);
    this.classifier = new Linear(config.width, config.numLabels, options);
  }

  forward(tokens: Tensor, call: EncoderCall = {}): Tensor {
    return this.classifier.forward(this.base.forward(tokens, call));
  }
}

/** Logits of the first and the last token of an answer, [N, T] each. */
export interface AnswerLogits {
  readonly start: Tensor;
  readonly end: Tensor;
}

/**
 * Encoder with a head for extractive question answering: logits of the first and the last token of the answer, [N, T] each.
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/bert_question");
 * const { model } = await fromPretrained<EncoderQuestion>(source, { device: "wasm", head: "question" });
 * model.forward(tensor([[5, 6]], { dtype: "int32" })).start.shape; // [1, 2]
 */
export class EncoderQuestion extends WithHead<AnswerLogits> {
  readonly qaOutputs: Linear;

  constructor(config: EncoderConfig, options: ParameterOptions = {}) {
    super(config, options);
    this.qaOutputs = new Linear(config.width, 2, options);
  }

  forward(tokens: Tensor, call: EncoderCall = {}): AnswerLogits {
    const logits = this.qaOutputs.forward(this.base.forward(tokens, call));
    const column = (i: number) => squeeze(narrow(logits, 2, i, 1), 2);
    return { start: column(0), end: column(1) };
  }
}

/**
 * One vector for each sequence [N, width]: a sentence embedding (Reimers and Gurevych 2019).
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/minilm");
 * const { model } = await fromPretrained<EncoderEmbedding>(source, { device: "wasm", head: "embedding" });
 * model.forward(tensor([[5, 6]], { dtype: "int32" })).shape; // [1, 16]
 */
export class EncoderEmbedding extends Module<[tokens: Tensor, call?: EncoderCall], Tensor> {
  readonly base: Encoder;
  readonly config: EncoderConfig;

  constructor(config: EncoderConfig, options: ParameterOptions = {}) {
    super();
    this.base = new Encoder(config, options);
    this.config = config;
  }

  override stateNames() {
    return { base: "" };
  }

  forward(tokens: Tensor, call: EncoderCall = {}): Tensor {
    return pooled(this.base.forward(tokens, call), call.lengths, this.config.embedding);
  }
}
