/** Converts the tokenizer in a GGUF header to the contents of tokenizer.json and tokenizer_config.json. */
import { FormatError } from "../core/errors.js";
import { quote } from "../formats/excerpt.js";
import type { GgufValue } from "../formats/gguf_header.js";
import { byteLevel, byteLevelBpe } from "./merges.js";
import type { JsonObject, TokenizerParts } from "./parts.js";

const op = "loadTokenizer";

/** Kinds of tokens (`llama_token_type` of llama.h): control tokens are special, user-defined ones are added. */
const [control, userDefined] = [3, 4];

const digits: JsonObject = { type: "Digits", individual_digits: true };
const split = (pattern: string): JsonObject => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});
/** Word pattern of Llama 3 and Qwen 2; `numbers` is the pattern of digits. */
const words = (numbers: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/** Pre-tokenizer patterns by `tokenizer.ggml.pre`. */
const preTokenizers: Readonly<Record<string, readonly JsonObject[]>> = {
  "gpt-2": [byteLevel(false, true)],
  smollm: [digits, byteLevel(false, true)],
  "llama-bpe": [split(words("\\p{N}{1,3}")), byteLevel(false, false)],
  qwen2: [split(words("\\p{N}")), byteLevel(false, false)],
};

/**
 * Byte-level BPE (`tokenizer.ggml.model` gpt2) from its tokens and merges.
 * @throws FormatError if the header has no tokenizer, or one of another kind.
 */
export function tokenizerFromGguf(metadata: ReadonlyMap<string, GgufValue>, label: string): TokenizerParts {
  const get = (key: string) => metadata.get(`tokenizer.ggml.${key}`);
  const fail = (reason: string): never => {
    throw new FormatError(`${label}: ${reason}`, {
      op,
      hint: "a tokenizer.json beside the file is used instead",
    });
  };
  const [model, pre] = [get("model"), get("pre") ?? "gpt-2"];
  if (model === undefined) fail("the header has no tokenizer");
  if (model !== "gpt2") fail(`a tokenizer of kind ${quote(String(model))}; gpt2 is read`);
  if (typeof pre !== "string" || !Object.hasOwn(preTokenizers, pre)) {
    return fail(`text is split as ${quote(String(pre))}; ${Object.keys(preTokenizers).join(", ")} are known`);
  }
  const tokens = strings(get("tokens")) ?? fail("the header has no list of tokens");
  const merges = strings(get("merges")) ?? fail("the header has no list of merges");
  const vocabulary: Record<string, number> = Object.create(null);
  for (const [id, token] of tokens.entries()) vocabulary[token] = id;
  const kinds = get("token_type");
  const special = tokens.flatMap((token, id) =>
    ArrayBuffer.isView(kinds) && [control, userDefined].includes(Number((kinds as Int32Array)[id]))
      ? [[token, id] as const]
      : [],
  );
  const named = (key: string) => {
    const id = get(`${key}_token_id`);
    return typeof id === "number" ? tokens[id] : undefined;
  };
  const config = {
    bos_token: named("bos"),
    eos_token: named("eos"),
    unk_token: named("unknown"),
    pad_token: named("padding"),
    chat_template: metadata.get("tokenizer.chat_template"),
  };
  const tokenizer = byteLevelBpe(vocabulary, merges, special, preTokenizers[pre]);
  const first = get("add_bos_token") === true ? config.bos_token : undefined;
  const processed =
    first === undefined
      ? tokenizer
      : { ...tokenizer, post_processor: startingWith(first, vocabulary[first]) };
  const normalizer = pre === "qwen2" ? { type: "NFC" } : null;
  return { label, tokenizer: { ...processed, normalizer }, config, template: undefined };
}

function strings(value: GgufValue | undefined): readonly string[] | undefined {
  const isList = Array.isArray(value) && value.every((each) => typeof each === "string");
  return isList ? (value as readonly string[]) : undefined;
}

/** Post-processor that prepends a token to each text. */
function startingWith(token: string, id: number): JsonObject {
  const start = { SpecialToken: { id: token, type_id: 0 } };
  const text = (name: string, type: number) => ({ Sequence: { id: name, type_id: type } });
  return {
    type: "TemplateProcessing",
    single: [start, text("A", 0)],
    pair: [start, text("A", 0), start, text("B", 1)],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}
