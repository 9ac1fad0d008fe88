/** `wattgrad/generation`: text from language models, greedily, by sampling or by beam search. */
import "../ops/methods.js";

export { ContextFullError } from "./errors.js";
export {
  type GeneratedSequence,
  type GeneratedToken,
  type Generation,
  type GenerationResult,
  generate,
  type StopReason,
} from "./generate.js";
export type { Context, LogitsProcessor } from "./processor.js";
export type { GenerateOptions, SettingOptions, Settings, TokenText } from "./settings.js";
