/** `wattgrad/generation`: text from language models, greedily, by sampling or by beam search. */
import "../ops/methods.js";

export { Constraint, jsonSchema, regex } from "./constrain/constraint.js";
export type { JsonSchema } from "./constrain/json_schema.js";
export type { TokenBytes } from "./constrain/vocabulary.js";
export { ContextFullError } from "./errors.js";
export { type Generation, generate } from "./generate.js";
export type { Context, LogitsProcessor } from "./processor.js";
export type { GeneratedSequence, GeneratedToken, GenerationResult, StopReason } from "./result.js";
export type { TokenText } from "./sequence_text.js";
export type { GenerateOptions, SettingOptions, Settings } from "./settings.js";
