/** config.json of GPT-2. */
import { type ActivationName, activationNames } from "../activations.js";
import type { CommonConfig } from "../architecture.js";
import { readCommon } from "../common_config.js";
import { ConfigReader } from "../config_reader.js";

/** Configuration of GPT-2. */
export interface Gpt2Config extends CommonConfig {
  readonly vocabulary: number;
  readonly maxPositions: number;
  readonly width: number;
  readonly numLayers: number;
  readonly numHeads: number;
  /** Of the MLP. */
  readonly innerWidth: number;
  readonly activation: ActivationName;
  readonly eps: number;
  /** Whether scores are divided by √headDim. */
  readonly scalesAttention: boolean;
  /** Whether scores are divided by the number of the layer, from 1, too. */
  readonly scalesByLayer: boolean;
  readonly tiesHead: boolean;
}

/** @throws ConfigError */
export function readGpt2Config(json: unknown): Gpt2Config {
  const reader = new ConfigReader(json);
  const width = reader.count(["n_embd", "hidden_size"], 768);
  const numHeads = reader.count(["n_head", "num_attention_heads"], 12);
  if (width % numHeads !== 0) throw reader.error("n_head", `a divisor of n_embd = ${width}`);
  reader.only("add_cross_attention", false);
  return {
    ...readCommon(reader),
    vocabulary: reader.count("vocab_size", 50257),
    maxPositions: reader.count(["n_positions", "max_position_embeddings", "n_ctx"], 1024),
    width,
    numLayers: reader.count(["n_layer", "num_hidden_layers"], 12),
    numHeads,
    innerWidth: reader.count(["n_inner", "intermediate_size"], 4 * width),
    activation: reader.name(["activation_function", "hidden_act"], activationNames, "gelu_new"),
    eps: reader.number("layer_norm_epsilon", 1e-5),
    scalesAttention: reader.boolean("scale_attn_weights", true),
    scalesByLayer: reader.boolean("scale_attn_by_inverse_layer_idx", false),
    tiesHead: reader.boolean("tie_word_embeddings", true),
  };
}
