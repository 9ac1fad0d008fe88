/** GGUF files of the Llama family as the files of a Hugging Face folder: the same configuration, names and order of rows. */
import { FormatError } from "../core/errors.js";
import { quote } from "../formats/excerpt.js";
import { type GgufFile, openGguf } from "../formats/gguf.js";
import { undoRotaryPermutation } from "../formats/gguf_rotary.js";
import type { StoredTensor } from "../formats/host.js";
import { type FileSource, openFileOf } from "../hub/source.js";

const op = "fromPretrained";

/** Architectures in GGUF files, which are the `model_type` of the configuration, and the classes that they stand for. */
const classes: Readonly<Record<string, string>> = {
  llama: "LlamaForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
};
/** Files of this one have the rows that rotary positions turn in pairs. */
const paired = "llama";

/** Keys of the configuration by those of the metadata, which have the architecture in front. */
const configKeys: Readonly<Record<string, string>> = {
  context_length: "max_position_embeddings",
  embedding_length: "hidden_size",
  block_count: "num_hidden_layers",
  feed_forward_length: "intermediate_size",
  "attention.head_count": "num_attention_heads",
  "attention.head_count_kv": "num_key_value_heads",
  "attention.key_length": "head_dim",
  "attention.layer_norm_rms_epsilon": "rms_norm_eps",
  "rope.freq_base": "rope_theta",
};

/** Names of modules in a layer. */
const layerNames: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  ffn_norm: "post_attention_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

const topNames: Readonly<Record<string, string>> = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
};

/** A tensor with its bytes in the file, and their type and themselves where it is GGUF's. */
export type SizedTensor = StoredTensor & {
  readonly bytes: number;
  readonly stored?: string;
  readonly raw?: StoredTensor;
};

/** What a Hugging Face folder has in config.json, generation_config.json and its weight files. */
export interface GgufModel {
  readonly config: object;
  readonly generation: object;
  readonly tensors: ReadonlyMap<string, SizedTensor>;
  close(): Promise<void>;
}

/**
 * Opens a GGUF file; only its header is read.
 * @throws FormatError for architectures, kinds of rotary scaling and tensors that are not supported.
 */
export async function openGgufModel(
  source: FileSource,
  path: string,
  signal: AbortSignal | undefined,
): Promise<GgufModel> {
  const file = await openGguf(await openFileOf(source, path, signal), {
    ...(signal && { signal }),
    leaveOut: /^tokenizer\./,
  });
  try {
    const config = configOf(file, `${source.label}/${path}`);
    const eos = file.metadata.get("tokenizer.ggml.eos_token_id");
    return {
      config,
      generation: eos === undefined ? {} : { eos_token_id: Number(eos) },
      tensors: tensorsOf(file, config),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

interface HubConfig {
  readonly model_type: string;
  readonly num_attention_heads?: number;
  readonly num_key_value_heads?: number;
}

/** config.json as the original library would have written it. */
function configOf({ metadata, tensors }: GgufFile, label: string): HubConfig {
  const architecture = String(metadata.get("general.architecture"));
  if (!Object.hasOwn(classes, architecture)) {
    throw new FormatError(`${label} has the architecture ${quote(architecture)}`, {
      op,
      hint: `${Object.keys(classes).join(", ")} are supported`,
    });
  }
  const config: Record<string, unknown> = {};
  for (const [key, name] of Object.entries(configKeys)) {
    const value = metadata.get(`${architecture}.${key}`);
    if (typeof value === "object") throw new FormatError(`${label}: ${key} differs between layers`, { op });
    if (value !== undefined) config[name] = Number(value);
  }
  const headDim = Number(config.head_dim ?? Number(config.hidden_size) / Number(config.num_attention_heads));
  const rotated = metadata.get(`${architecture}.rope.dimension_count`) ?? headDim;
  const scaling = metadata.get(`${architecture}.rope.scaling.type`) ?? "none";
  if (Number(rotated) !== headDim || scaling !== "none" || tensors.has("rope_freqs.weight")) {
    throw new FormatError(`${label}: rotary positions are scaled, or turn a part of each head only`, {
      op,
      hint: "the model's folder on the Hub has them in config.json",
    });
  }
  return {
    ...config,
    model_type: architecture,
    architectures: [classes[architecture]],
    vocab_size: tensors.get("token_embd.weight")?.shape[0],
    tie_word_embeddings: !tensors.has("output.weight"),
    hidden_act: "silu",
    ...(tensors.has("blk.0.attn_q.bias") && architecture === paired && { attention_bias: true }),
  } as HubConfig;
}

/** The tensors under their names in a Hugging Face folder. */
function tensorsOf(file: GgufFile, config: HubConfig): Map<string, SizedTensor> {
  const { num_attention_heads: heads = 1, num_key_value_heads: keyHeads = heads } = config;
  const tensors = new Map<string, SizedTensor>();
  for (const [name, entry] of file.tensors) {
    const [, layer, module, part] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name) ?? [];
    const known = layer === undefined ? topNames : layerNames;
    // A name that is not known keeps its own: loading lists it as unexpected.
    const hasName = module !== undefined && Object.hasOwn(known, module);
    const prefix = layer === undefined ? "" : `model.layers.${layer}.`;
    const hubName = hasName ? `${prefix}${known[module]}.${part}` : name;
    const rotates = config.model_type === paired && (module === "attn_q" || module === "attn_k");
    if (!rotates) tensors.set(hubName, entry);
    else {
      const own = module === "attn_q" ? heads : keyHeads;
      const { bytes, stored, shape } = entry;
      tensors.set(hubName, {
        ...undoRotaryPermutation(entry, own),
        ...{ bytes, stored },
        ...(shape.length === 2 && { raw: undoRotaryPermutation(entry.raw, own) }),
      });
    }
  }
  return tensors;
}
