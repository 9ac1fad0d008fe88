/** What the registry knows of a family of models. */
import type { Module } from "../nn/module.js";
import type { ParameterOptions } from "../nn/parameter.js";
import type { EmbeddingConfig } from "./embedding.js";
import type { NameRules } from "./names.js";

/** What a model computes from its last hidden states: `AutoModelForCausalLM`, `…MaskedLM`, `…SequenceClassification` and so on. */
export type Head = "causalLm" | "maskedLm" | "sequence" | "tokens" | "question" | "embedding" | "none";

/** Keys of config.json that every family has. */
export interface CommonConfig {
  /** `model_type`. */
  readonly modelType: string;
  /** `architectures[0]`: the class that wrote the file, such as `GPT2LMHeadModel`. */
  readonly architecture: string | undefined;
  /** Classes of a classifier: `num_labels`, or as many as `id2label` names. */
  readonly numLabels: number;
  /** Their names, by number. */
  readonly labels: readonly string[];
  /** `problem_type` of a classifier: `regression`, `single_label_classification` or `multi_label_classification`. */
  readonly problemType: string | undefined;
  /** Standard deviation of a head's initial weights, where the file has none. */
  readonly initializerRange: number;
  /** For the head `embedding`: what the side files say. */
  readonly embedding: EmbeddingConfig;
}

/** A family of models: how to read its configuration, build it and name its weights. */
export interface Architecture<C extends CommonConfig = CommonConfig> {
  /** Values of `model_type`. */
  readonly modelTypes: readonly string[];
  /** The heads that it can have. */
  readonly heads: readonly Head[];
  /** Parameters of the heads, which a file may lack if it was made for another purpose. */
  readonly headKeys: RegExp;
  /** @throws ConfigError naming the key, its value and what is accepted. */
  readConfig(json: unknown): C;
  /** Builds it with initial values; works on the meta device. */
  build(config: C, head: Head, options: ParameterOptions): Module;
  readonly names: NameRules;
}
