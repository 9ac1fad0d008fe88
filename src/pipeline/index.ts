/** `wattgrad/pipeline`: a model with a task as one function. */
import "../ops/methods.js";

export type { FeatureExtractionOptions, FeatureExtractionPipeline } from "./feature_extraction.js";
export type { FilledMask, FillMaskOptions, FillMaskPipeline } from "./fill_mask.js";
export type { LoadedModel, LoadOptions, ModelInput } from "./load.js";
export { type PipelineOptions, type Pipelines, pipeline, type TaskName, taskNames } from "./pipeline.js";
export type {
  Answer,
  Question,
  QuestionAnsweringOptions,
  QuestionAnsweringPipeline,
} from "./question_answering.js";
export type { PipelineMembers } from "./task.js";
export type {
  Classification,
  TextClassificationOptions,
  TextClassificationPipeline,
} from "./text_classification.js";
export type {
  GeneratedText,
  TextGenerationOptions,
  TextGenerationPipeline,
  TextPiece,
  TextStream,
  TextStreamResult,
} from "./text_generation.js";
export type { OnTruncate, TextPair, Truncation } from "./texts.js";
export type {
  ClassifiedToken,
  TokenClassificationOptions,
  TokenClassificationPipeline,
  TokenGroup,
} from "./token_classification.js";
export type { ZeroShotOptions, ZeroShotPipeline, ZeroShotResult } from "./zero_shot.js";
