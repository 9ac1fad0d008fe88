/** `wattgrad/text`: tokenizers and chat templates of published models. */

export type { ChatOptions, Message } from "./chat.js";
export { ChatError } from "./errors.js";
export type { TokenizerParts } from "./parts.js";
export type { TokenSpan } from "./span.js";
export { StreamingDetokenizer } from "./stream.js";
export {
  type Assembled,
  type DecodeOptions,
  type EncodeOptions,
  type Encoding,
  loadTokenizer,
  type SpecialRole,
  type SpecialToken,
  Tokenizer,
} from "./tokenizer.js";
