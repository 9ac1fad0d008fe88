/** Converts vocab.json and merges.txt (GPT-2's byte-level BPE) to the contents of tokenizer.json. */
import { FormatError } from "../core/errors.js";
import { quote } from "../formats/excerpt.js";
import type { JsonObject } from "./parts.js";

const op = "loadTokenizer";

/** Tokenizer classes that are plain byte-level BPE; others have rules that are not in these two files. */
const byteLevelClass = /^(GPT2Tokenizer|CodeGenTokenizer|PreTrainedTokenizer)(Fast)?$/;

/**
 * `vocab.json` maps tokens to ids; each line of `merges.txt` is a pair of tokens to merge, in order of priority.
 * @throws FormatError for other contents, or if tokenizer_config.json names a class with further rules.
 */
export function tokenizerFromMerges(
  vocabulary: JsonObject,
  merges: string,
  config: JsonObject,
  label: string,
): JsonObject {
  const { tokenizer_class: kind = "GPT2Tokenizer" } = config;
  if (typeof kind !== "string" || !byteLevelClass.test(kind)) {
    throw new FormatError(
      `${label}: vocab.json and merges.txt do not tell the rules of ${quote(String(kind))}`,
      {
        op,
        hint: "save the tokenizer as tokenizer.json (save_pretrained of a fast tokenizer)",
      },
    );
  }
  for (const [token, id] of Object.entries(vocabulary)) {
    if (!Number.isSafeInteger(id) || Number(id) < 0) {
      throw new FormatError(`${label}/vocab.json: the id of ${quote(token)} is ${String(id).slice(0, 40)}`, {
        op,
      });
    }
  }
  const pairs = merges.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#version"));
  const odd = pairs.find((line) => line.split(" ").length !== 2);
  if (odd !== undefined)
    throw new FormatError(`${label}/merges.txt: ${quote(odd)} is no pair of tokens`, { op });
  const special = specialIn(vocabulary, config);
  return byteLevelBpe(vocabulary, pairs, special, [byteLevel(config.add_prefix_space === true, true)]);
}

/** Special tokens of the configuration; default those of GPT-2. */
function specialIn(vocabulary: JsonObject, config: JsonObject): [string, number][] {
  const named = ["bos_token", "eos_token", "unk_token", "pad_token"].map((key) => tokenText(config[key]));
  const tokens = new Set(["<|endoftext|>", ...named.filter((token) => token !== undefined)]);
  return [...tokens].flatMap((token) =>
    Object.hasOwn(vocabulary, token) ? [[token, Number(vocabulary[token])] as [string, number]] : [],
  );
}

/** A token as a string or as `{ content }`. */
export function tokenText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === "string" ? content : undefined;
}

/** Pre-tokenizer that maps bytes to printable characters and, with `useRegex`, splits words as GPT-2 does. */
export function byteLevel(addPrefixSpace: boolean, useRegex: boolean): JsonObject {
  return { type: "ByteLevel", add_prefix_space: addPrefixSpace, trim_offsets: true, use_regex: useRegex };
}

/** The contents of a tokenizer.json. */
export function byteLevelBpe(
  vocabulary: JsonObject,
  merges: readonly string[],
  special: readonly (readonly [string, number])[],
  preTokenizers: readonly JsonObject[],
): JsonObject {
  return {
    version: "1.0",
    added_tokens: special.map(([content, id]) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: "Sequence", pretokenizers: preTokenizers },
    post_processor: null,
    decoder: byteLevel(true, true),
    model: { type: "BPE", vocab: vocabulary, merges, unk_token: null },
  };
}
