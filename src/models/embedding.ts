/** From hidden states to one vector a sequence, as the side files of sentence-transformers say. */
import type { Tensor } from "../graph/tensor.js";
import { lt, where } from "../ops/comparison.js";
import { arange } from "../ops/creation.js";
import { div, maximum, sqrt, square } from "../ops/elementwise.js";
import { cast } from "../ops/promotion.js";
import { max, mean, sum } from "../ops/reduce.js";
import { squeeze, unsqueeze } from "../ops/reshape.js";
import { narrow } from "../ops/slice.js";
import { ConfigError, ConfigReader } from "./config_reader.js";

/** How hidden states become one vector per sequence. */
export interface EmbeddingConfig {
  /** The first token's hidden state, or the mean or the maximum of all tokens'. */
  readonly pooling: "cls" | "mean" | "max";
  /** Whether vectors have length 1. */
  readonly normalizes: boolean;
  /** Longest input in tokens; undefined: the model's. */
  readonly maxLength: number | undefined;
}

/** What sentence-transformers does with a model that has no side files. */
export const plainEmbedding: EmbeddingConfig = { pooling: "mean", normalizes: false, maxLength: undefined };

/** Reads modules.json, the pooling's config.json that it names, and sentence_bert_config.json. @throws ConfigError */
export async function readEmbedding(
  readJson: (path: string) => Promise<unknown>,
  hasFile: (path: string) => Promise<boolean>,
): Promise<EmbeddingConfig> {
  if (!(await hasFile("modules.json"))) return plainEmbedding;
  const modules = await readJson("modules.json");
  if (!Array.isArray(modules)) throw new ConfigError("modules.json", modules, "an array");
  let { pooling, normalizes } = plainEmbedding;
  for (const item of modules) {
    const reader = new ConfigReader(item, "modules.json: ");
    const type = String(reader.get("type"));
    const kind = type.slice(type.lastIndexOf(".") + 1);
    if (kind === "Transformer") continue;
    else if (kind === "Normalize") normalizes = true;
    else if (kind === "Pooling")
      pooling = poolingOf(await readJson(`${String(reader.get("path"))}/config.json`));
    else throw new ConfigError("modules.json: type", type, "Transformer, Pooling, Normalize");
  }
  const hasLength = await hasFile("sentence_bert_config.json");
  const lengths = hasLength ? new ConfigReader(await readJson("sentence_bert_config.json")) : undefined;
  return {
    pooling,
    normalizes,
    maxLength: lengths?.has("max_seq_length") ? lengths.count("max_seq_length") : undefined,
  };
}

const flags = { cls_token: "cls", mean_tokens: "mean", max_tokens: "max" } as const;

function poolingOf(json: unknown): EmbeddingConfig["pooling"] {
  const reader = new ConfigReader(json);
  for (const flag of ["mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]) {
    reader.only(`pooling_mode_${flag}`, false);
  }
  const chosen = Object.entries(flags).filter(([flag]) => reader.boolean(`pooling_mode_${flag}`, false));
  if (chosen.length !== 1) {
    throw new ConfigError(
      "pooling_mode",
      `${chosen.length} modes`,
      "one of cls_token, mean_tokens, max_tokens",
    );
  }
  return chosen[0][1];
}

/** hidden [N, T, width] and int32 lengths [N] → [N, width]. */
export function pooled(
  hidden: Tensor,
  lengths: Tensor | undefined,
  { pooling, normalizes }: EmbeddingConfig,
): Tensor {
  const vectors = poolings[pooling](hidden, lengths);
  // As torch.nn.functional.normalize.
  return normalizes
    ? div(vectors, maximum(sqrt(sum(square(vectors), -1, { keepdim: true })), 1e-12))
    : vectors;
}

const poolings: Readonly<
  Record<EmbeddingConfig["pooling"], (hidden: Tensor, lengths: Tensor | undefined) => Tensor>
> = {
  cls: (hidden) => squeeze(narrow(hidden, 1, 0, 1), 1),
  mean: (hidden, lengths) => {
    if (!lengths) return mean(hidden, 1);
    const total = sum(where(isToken(hidden, lengths), hidden, 0), 1);
    return div(total, unsqueeze(maximum(cast(lengths, "float32"), 1e-9), 1));
  },
  max: (hidden, lengths) =>
    max(lengths ? where(isToken(hidden, lengths), hidden, Number.NEGATIVE_INFINITY) : hidden, 1),
};

/** bool [N, T, 1]. */
function isToken(hidden: Tensor, lengths: Tensor): Tensor {
  const steps = arange(hidden.shape[1], { device: hidden.device });
  return unsqueeze(lt(steps, unsqueeze(lengths, 1)), 2);
}
