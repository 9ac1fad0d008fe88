/** Feature extraction: the hidden states of a text's tokens, or one vector for each text. */
import { aBoolean, checkOptions, type Kinds, oneOf } from "../core/check.js";
import type { Tensor } from "../graph/tensor.js";
import { EncoderEmbedding } from "../models/bert/heads.js";
import { type EmbeddingConfig, pooled } from "../models/embedding.js";
import type { EncoderRunner, Forward } from "./encoder.js";
import {
  asPipeline,
  configOf,
  maxLengthOf,
  type PipelineMembers,
  runnerOf,
  type TaskContext,
} from "./task.js";
import { encodeText, tell, textsOf } from "./texts.js";

/** Options of feature extraction. */
export interface FeatureExtractionOptions {
  /**
   * How the tokens' vectors become one: `mean`, `cls` (the first token's), `max`, or `model`: as the files of sentence-transformers say
   * (modules.json), length and normalization included. Default `none`: a vector for each token.
   */
  readonly pooling?: "none" | "mean" | "cls" | "max" | "model";
  /** Whether vectors get length 1. Default false. */
  readonly normalize?: boolean;
}

const kinds: Kinds<FeatureExtractionOptions> = {
  pooling: oneOf("none", "mean", "cls", "max", "model"),
  normalize: aBoolean,
};

type Pooled = FeatureExtractionOptions & { readonly pooling: "mean" | "cls" | "max" | "model" };

/** A pipeline for feature extraction: with `pooling` a vector for each text, without it one for each of its tokens. */
export interface FeatureExtractionPipeline extends PipelineMembers {
  (text: string, options: Pooled): Promise<Float32Array>;
  (texts: readonly string[], options: Pooled): Promise<Float32Array[]>;
  (text: string, options?: FeatureExtractionOptions): Promise<Float32Array[]>;
  (texts: readonly string[], options?: FeatureExtractionOptions): Promise<Float32Array[][]>;
}

export function featureExtraction(context: TaskContext): FeatureExtractionPipeline {
  const { task, tokenizer, model, onTruncate } = context;
  const { embedding } = configOf(context);
  // A model that pools by itself has the hidden states inside.
  const encoder = { ...context, model: model instanceof EncoderEmbedding ? model.base : model };
  const runners = new Map<string, EncoderRunner>();

  function runnerFor(pooling: EmbeddingConfig["pooling"] | "none", normalizes: boolean): EncoderRunner {
    const key = `${pooling} ${normalizes}`;
    let runner = runners.get(key);
    if (runner === undefined) {
      const run = encoder.model.forward.bind(encoder.model) as (...given: Parameters<Forward>) => Tensor;
      const forward: Forward = (tokens, call) => {
        const states = run(tokens, call);
        return [
          pooling === "none"
            ? states
            : pooled(states, call.lengths, { pooling, normalizes, maxLength: undefined }),
        ];
      };
      runner = runnerOf(encoder, pooling === "none", forward);
      runners.set(key, runner);
    }
    return runner;
  }

  async function call(given: string | readonly string[], options?: FeatureExtractionOptions) {
    const { pooling = "none", normalize = false } = checkOptions(task, options, kinds);
    const { items, isList } = textsOf(task, given);
    const isModel = pooling === "model";
    const longest = Math.min(
      maxLengthOf(context),
      (isModel && embedding.maxLength) || Number.POSITIVE_INFINITY,
    );
    const rows = items.map((text) => encodeText(task, tokenizer, text, longest));
    for (const [i, row] of rows.entries()) tell(row, i, onTruncate);
    const runner = runnerFor(
      isModel ? embedding.pooling : pooling,
      normalize || (isModel && embedding.normalizes),
    );
    const values = await runner.run(rows);
    const results = values.map(([{ data, shape }]) => {
      if (pooling !== "none") return data;
      const vectors = Array.from({ length: shape[0] }, (_, i) =>
        data.slice(i * shape[1], (i + 1) * shape[1]),
      );
      return normalize ? vectors.map(unit) : vectors;
    });
    return isList ? results : results[0];
  }
  return asPipeline(context, call) as unknown as FeatureExtractionPipeline;
}

/** The vector with length 1. */
function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  return vector.map((x) => x / Math.max(length, 1e-12));
}
