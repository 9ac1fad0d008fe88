/** config.json of Llama and of the families that differ from it in a few layers: Mistral, Qwen2, Qwen3. */
import { type ActivationName, activationNames } from "../activations.js";
import type { CommonConfig } from "../architecture.js";
import { readCommon } from "../common_config.js";
import { ConfigReader } from "../config_reader.js";
import { type RotaryConfig, readRotary } from "../rotary_config.js";

export const llamaModelTypes = ["llama", "mistral", "qwen2", "qwen3"] as const;

/** Configuration of Llama, Mistral, Qwen2 or Qwen3. */
export interface LlamaConfig extends CommonConfig {
  readonly modelType: (typeof llamaModelTypes)[number];
  readonly vocabulary: number;
  readonly maxPositions: number;
  readonly width: number;
  readonly innerWidth: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly activation: ActivationName;
  readonly eps: number;
  /** Of the projections of queries, keys and values. */
  readonly hasQkvBias: boolean;
  readonly hasOutputBias: boolean;
  readonly hasMlpBias: boolean;
  /** RMSNorm of each query and key, as in Qwen3. */
  readonly normalizesHeads: boolean;
  /** Of each layer: how many positions a token sees, itself included; undefined: all before it. */
  readonly windows: readonly (number | undefined)[];
  readonly rotary: RotaryConfig;
  readonly tiesHead: boolean;
}

/** Where the families' configurations differ from Llama's: values that their files may leave out. */
const families = {
  llama: { innerWidth: 11008, numKeyValueHeads: undefined, maxPositions: 2048, vocabulary: 32000 },
  mistral: { innerWidth: 14336, numKeyValueHeads: 8, maxPositions: 131072, vocabulary: 32000 },
  qwen2: { innerWidth: 22016, numKeyValueHeads: 32, maxPositions: 32768, vocabulary: 151936 },
  qwen3: { innerWidth: 22016, numKeyValueHeads: 32, maxPositions: 32768, vocabulary: 151936 },
} as const;

/** @throws ConfigError */
export function readLlamaConfig(json: unknown): LlamaConfig {
  const reader = new ConfigReader(json);
  const modelType = reader.name("model_type", llamaModelTypes);
  const family = families[modelType];
  const width = reader.count("hidden_size", 4096);
  const numHeads = reader.count("num_attention_heads", 32);
  const numKeyValueHeads = reader.count("num_key_value_heads", family.numKeyValueHeads ?? numHeads);
  if (numHeads % numKeyValueHeads !== 0) {
    throw reader.error("num_key_value_heads", `a divisor of num_attention_heads = ${numHeads}`);
  }
  const headDim = reader.count("head_dim", modelType === "qwen3" ? 128 : Math.floor(width / numHeads));
  if (headDim % 2 !== 0) throw reader.error("head_dim", "an even number");
  const maxPositions = reader.count("max_position_embeddings", family.maxPositions);
  const numLayers = reader.count("num_hidden_layers", 32);
  // Split products of the pretraining are summed otherwise than one product.
  reader.only("pretraining_tp", 1);
  // Mistral and Qwen2 do not have the key.
  const hasBias = (modelType === "llama" || modelType === "qwen3") && reader.boolean("attention_bias", false);
  return {
    ...readCommon(reader),
    modelType,
    vocabulary: reader.count("vocab_size", family.vocabulary),
    maxPositions,
    width,
    innerWidth: reader.count("intermediate_size", family.innerWidth),
    numLayers,
    numHeads,
    numKeyValueHeads,
    headDim,
    activation: reader.name("hidden_act", activationNames, "silu"),
    eps: reader.number("rms_norm_eps", 1e-6),
    hasQkvBias: hasBias || modelType === "qwen2",
    hasOutputBias: hasBias,
    hasMlpBias: modelType === "llama" && reader.boolean("mlp_bias", false),
    normalizesHeads: modelType === "qwen3",
    windows: readWindows(reader, modelType, numLayers),
    rotary: readRotary(reader, { headDim, maxPositions }),
    tiesHead: reader.boolean("tie_word_embeddings", false),
  };
}

/** @throws ConfigError */
function readWindows(
  reader: ConfigReader,
  modelType: LlamaConfig["modelType"],
  numLayers: number,
): (number | undefined)[] {
  const layers = Array.from({ length: numLayers }, (_, i) => i);
  // Llama has none, whatever its file says.
  if (modelType === "llama") return layers.map(() => undefined);
  if (modelType === "mistral") {
    const window = reader.has("sliding_window") ? reader.count("sliding_window") : undefined;
    return layers.map(() => window);
  }
  const isUsed = reader.boolean("use_sliding_window", false);
  const window = isUsed ? reader.count("sliding_window", 4096) : undefined;
  const kinds = reader.strings("layer_types");
  if (kinds === undefined) {
    const first = reader.index("max_window_layers", 28);
    return layers.map((i) => (i >= first ? window : undefined));
  }
  const accepted = "full_attention and sliding_attention, one for each layer";
  if (kinds.length !== numLayers) throw reader.error("layer_types", accepted);
  return kinds.map((kind) => {
    if (kind === "full_attention") return undefined;
    if (kind !== "sliding_attention") throw reader.error("layer_types", accepted);
    return window;
  });
}
