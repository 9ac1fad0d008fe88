/** config.json of BERT, RoBERTa (also XLM-R) and DistilBERT. */
import { type ActivationName, activationNames } from "../activations.js";
import type { CommonConfig } from "../architecture.js";
import { readCommon } from "../common_config.js";
import { ConfigReader } from "../config_reader.js";
import { type Spelling, spellings } from "./names.js";

export const encoderModelTypes = ["bert", "roberta", "xlm-roberta", "distilbert"] as const;

/** Configuration of a BERT, RoBERTa or DistilBERT encoder. */
export interface EncoderConfig extends CommonConfig {
  readonly modelType: (typeof encoderModelTypes)[number];
  readonly vocabulary: number;
  readonly maxPositions: number;
  /** The position of the first token: RoBERTa's table has rows for padding before it. */
  readonly firstPosition: number;
  /** Rows of the table of token types; 0 for none. */
  readonly typeVocabulary: number;
  readonly width: number;
  readonly innerWidth: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly activation: ActivationName;
  readonly eps: number;
  /** Whether the head for masked tokens shares the table of tokens. */
  readonly tiesHead: boolean;
  readonly spelling: Spelling;
}

/** @throws ConfigError */
export function readEncoderConfig(json: unknown): EncoderConfig {
  const reader = new ConfigReader(json);
  const modelType = reader.name("model_type", encoderModelTypes);
  const isDistil = modelType === "distilbert";
  const isRoberta = modelType === "roberta" || modelType === "xlm-roberta";
  const width = reader.count(isDistil ? ["dim", "hidden_size"] : "hidden_size", 768);
  const numHeads = reader.count(isDistil ? ["n_heads", "num_attention_heads"] : "num_attention_heads", 12);
  if (width % numHeads !== 0) throw reader.error("num_attention_heads", `a divisor of the width ${width}`);
  reader.only("position_embedding_type", "absolute");
  reader.only("is_decoder", false);
  reader.only("add_cross_attention", false);
  return {
    ...readCommon(reader),
    modelType,
    vocabulary: reader.count("vocab_size", 30522),
    maxPositions: reader.count("max_position_embeddings", 512),
    firstPosition: isRoberta ? reader.index("pad_token_id", 1) + 1 : 0,
    typeVocabulary: isDistil ? 0 : reader.count("type_vocab_size", 2),
    width,
    innerWidth: reader.count(isDistil ? ["hidden_dim", "intermediate_size"] : "intermediate_size", 3072),
    numLayers: reader.count(
      isDistil ? ["n_layers", "num_hidden_layers"] : "num_hidden_layers",
      isDistil ? 6 : 12,
    ),
    numHeads,
    activation: reader.name(isDistil ? ["activation", "hidden_act"] : "hidden_act", activationNames, "gelu"),
    eps: isDistil ? 1e-12 : reader.number("layer_norm_eps", 1e-12),
    tiesHead: reader.boolean("tie_word_embeddings", true),
    spelling: spellings[isRoberta ? "roberta" : modelType],
  };
}
