/** Reads the architecture of a transformer from a Hugging Face config.json, and validates every value. */

import { FormatError } from "../../core/errors.js";
import { excerpt } from "../../formats/excerpt.js";

/** As much of an architecture as decides its cost. */
export interface TransformerShape {
  readonly architecture: "gpt2" | "bert" | "bloom" | "llama";
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  /** Heads of keys and values, each shared by heads / keyHeads queries. */
  readonly keyHeads: number;
  readonly headWidth: number;
  readonly feedForward: number;
  readonly vocabulary: number;
  /** Longest sequence. */
  readonly context: number;
  /** Token types (BERT); 0 for none. */
  readonly segments: number;
  /** Whether the head's matrix is the embedding's. */
  readonly tied: boolean;
  /** Biases of the projections to queries, keys and values. */
  readonly attentionBias: boolean;
}

/** Architectures that differ in names only. */
const families: Readonly<Record<string, TransformerShape["architecture"]>> = {
  gpt2: "gpt2",
  bert: "bert",
  bloom: "bloom",
  llama: "llama",
  mistral: "llama",
  qwen2: "llama",
};

/** Upper bound of all sizes; larger numbers are errors in the file. */
const largest = 2 ** 31 - 1;

/**
 * @throws FormatError naming the field, if the text is not such a config.
 */
export function parseConfig(text: string): TransformerShape {
  const config = parseObject(text);
  const type = config.model_type;
  const architecture = typeof type === "string" && Object.hasOwn(families, type) ? families[type] : undefined;
  if (architecture === undefined) {
    throw new FormatError(`unknown model_type ${excerpt(type)}`, {
      hint: `known are ${Object.keys(families).join(", ")}; --params works for all`,
    });
  }
  const count = (names: readonly string[], otherwise?: number): number => {
    const name = names.find((each) => Object.hasOwn(config, each) && config[each] !== null);
    const value = name === undefined ? otherwise : config[name];
    if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > largest) {
      throw new FormatError(`${name ?? names[0]} is a whole number above 0, got ${excerpt(value)}`);
    }
    return value;
  };
  const layers = count(["num_hidden_layers", "n_layer"]);
  const width = count(["hidden_size", "n_embd", "n_embed"]);
  const heads = count(["num_attention_heads", "n_head"]);
  const keyHeads = architecture === "llama" ? count(["num_key_value_heads"], heads) : heads;
  const headWidth = architecture === "llama" ? count(["head_dim"], width / heads) : width / heads;
  if (!Number.isInteger(headWidth) || heads % keyHeads !== 0) {
    throw new FormatError(`${heads} heads (${keyHeads} of keys) do not divide the width ${width}`);
  }
  return {
    architecture,
    layers,
    width,
    heads,
    keyHeads,
    headWidth,
    feedForward: count(["intermediate_size", "n_inner"], 4 * width),
    vocabulary: count(["vocab_size"]),
    context: count(["max_position_embeddings", "n_positions", "seq_length", "n_ctx"], 2048),
    segments: architecture === "bert" ? count(["type_vocab_size"], 2) : 0,
    tied: architecture === "llama" ? config.tie_word_embeddings === true : true,
    attentionBias: architecture !== "llama" || type === "qwen2" || config.attention_bias === true,
  };
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FormatError("the config is not JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError("the config is no JSON object");
  }
  return value as Record<string, unknown>;
}
