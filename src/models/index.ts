/** Architectures, and the names by which the command line knows the image classifiers among them. */
import "../ops/methods.js";
import type { Module } from "../nn/module.js";
import type { ParameterOptions } from "../nn/parameter.js";
import { Cnn, CnnLarge } from "./cnn/cnn.js";
import { Mlp } from "./mlp/mlp.js";

export type { Architecture, CommonConfig, Head } from "./architecture.js";
export type { EncoderConfig } from "./bert/config.js";
export type {
  AnswerLogits,
  EncoderEmbedding,
  EncoderMaskedLm,
  EncoderQuestion,
  EncoderSequence,
  EncoderTokens,
} from "./bert/heads.js";
export type { Encoder, EncoderCall } from "./bert/model.js";
export { Cnn, CnnLarge, type CnnOptions } from "./cnn/cnn.js";
export { ConfigError } from "./config_reader.js";
export type { CausalCall, CausalModel, DecoderSizes } from "./decoder.js";
export type { EmbeddingConfig } from "./embedding.js";
export { CharGpt, type DecodingOptions, type GptOptions } from "./gpt/gpt.js";
export type { Gpt2Config } from "./gpt2/config.js";
export type { Gpt2, Gpt2CausalLm } from "./gpt2/model.js";
export type { LlamaConfig } from "./llama/config.js";
export type { Llama, LlamaCausalLm } from "./llama/model.js";
export { type MemoryPlan, type MemoryPlanOptions, memoryPlan } from "./memory_plan.js";
export { Mlp, type MlpOptions } from "./mlp/mlp.js";
export type { LoadProgress } from "./model_files.js";
export type { NameRules } from "./names.js";
export {
  fileState,
  fromPretrained,
  type Pretrained,
  type PretrainedOptions,
  type PretrainedReport,
} from "./pretrained.js";
export { BasicBlock, Bottleneck, type ResidualBlock } from "./resnet/blocks.js";
export { CifarResNet, type CifarResNetOptions } from "./resnet/cifar.js";
export { ResNet, type ResNetOptions, resnet18, resnet34, resnet50, resnet101 } from "./resnet/resnet.js";

/**
 * Constructors of classifiers of 28 × 28 grey images by name, as the command line uses them.
 *
 * @example
 * Object.keys(imageClassifiers); // ["cnn", "cnn-large", "mlp"]
 */
export const imageClassifiers: Readonly<Record<string, (options: ParameterOptions) => Module>> = {
  cnn: (options) => new Cnn(options),
  "cnn-large": (options) => new CnnLarge(options),
  mlp: (options) => new Mlp(options),
};
export { type SizedTokenizer, TokenizerMismatchError } from "./tokenizer_match.js";
