/** The names of encoders in files: BERT, RoBERTa and DistilBERT have the same layers under different names. */
import type { NameRules } from "../names.js";

/** State-dict names by field (see `Module.stateNames`). */
export interface Spelling {
  /** The encoder, in a model with a head. */
  readonly base: string;
  /** In the encoder. */
  readonly layers: string;
  readonly layer: Readonly<
    Record<
      "query" | "key" | "value" | "attentionOutput" | "attentionNorm" | "inner" | "output" | "outputNorm",
      string
    >
  >;
  /** `bias` is the decoder's, which has a second name in some files. */
  readonly maskedLm: Readonly<Record<"dense" | "norm" | "decoder", string> & { readonly bias?: string }>;
  readonly sequence: Readonly<Record<"dense" | "out", string>>;
}

const bertLayer: Spelling["layer"] = {
  query: "attention.self.query",
  key: "attention.self.key",
  value: "attention.self.value",
  attentionOutput: "attention.output.dense",
  attentionNorm: "attention.output.LayerNorm",
  inner: "intermediate.dense",
  output: "output.dense",
  outputNorm: "output.LayerNorm",
};

export const spellings: Readonly<Record<"bert" | "roberta" | "distilbert", Spelling>> = {
  bert: {
    base: "bert",
    layers: "encoder.layer",
    layer: bertLayer,
    maskedLm: {
      dense: "cls.predictions.transform.dense",
      norm: "cls.predictions.transform.LayerNorm",
      decoder: "cls.predictions.decoder",
      bias: "cls.predictions.bias",
    },
    sequence: { dense: "bert.pooler.dense", out: "classifier" },
  },
  roberta: {
    base: "roberta",
    layers: "encoder.layer",
    layer: bertLayer,
    maskedLm: {
      dense: "lm_head.dense",
      norm: "lm_head.layer_norm",
      decoder: "lm_head.decoder",
      bias: "lm_head.bias",
    },
    sequence: { dense: "classifier.dense", out: "classifier.out_proj" },
  },
  distilbert: {
    base: "distilbert",
    layers: "transformer.layer",
    layer: {
      query: "attention.q_lin",
      key: "attention.k_lin",
      value: "attention.v_lin",
      attentionOutput: "attention.out_lin",
      attentionNorm: "sa_layer_norm",
      inner: "ffn.lin1",
      output: "ffn.lin2",
      outputNorm: "output_layer_norm",
    },
    maskedLm: { dense: "vocab_transform", norm: "vocab_layer_norm", decoder: "vocab_projector" },
    sequence: { dense: "pre_classifier", out: "classifier" },
  },
};

export const encoderNames: NameRules = {
  prefixes: ["bert.", "roberta.", "distilbert."],
  // Tables of numbers that the model computes.
  ignore: [/embeddings\.(position_ids|token_type_ids)$/],
  // Files converted from TensorFlow.
  rename: [
    [/LayerNorm\.gamma$/, "LayerNorm.weight"],
    [/LayerNorm\.beta$/, "LayerNorm.bias"],
  ],
};

/** Of all heads, that for the next sentence included, which nothing computes; the pooler is part of the head of BERT for sequences. */
export const encoderHeadKeys =
  /^(cls|lm_head|classifier|qa_outputs|vocab_transform|vocab_layer_norm|vocab_projector|pre_classifier)\.|^((bert|roberta)\.)?pooler\./;
