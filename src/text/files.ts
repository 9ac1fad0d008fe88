/** Finds and reads a model's tokenizer files. */
import { FormatError } from "../core/errors.js";
import { FileError } from "../formats/file.js";
import { openGguf } from "../formats/gguf.js";
import { ggufIn } from "../hub/gguf.js";
import { type FileSource, openFileOf } from "../hub/source.js";
import { tokenizerFromGguf } from "./gguf_tokenizer.js";
import { tokenizerFromMerges } from "./merges.js";
import type { JsonObject, TokenizerParts } from "./parts.js";

const op = "loadTokenizer";

/** Maximum size of a text file: vocabularies of 250,000 entries take about 20 MB. */
const maxBytes = 256 * 2 ** 20;

/**
 * `tokenizer.json`; where it is missing `vocab.json` and `merges.txt`; else the header of the only GGUF file. Special tokens and
 * templates: `tokenizer_config.json`, `special_tokens_map.json`, `chat_template.jinja`.
 */
export async function findTokenizer(
  source: FileSource,
  signal: AbortSignal | undefined,
): Promise<TokenizerParts> {
  const [settings, map, template] = await Promise.all([
    optionalJson(source, "tokenizer_config.json", signal),
    optionalJson(source, "special_tokens_map.json", signal),
    optionalText(source, "chat_template.jinja", signal),
  ]);
  const config = { ...map, ...settings };
  const { label } = source;
  const tokenizer = await optionalJson(source, "tokenizer.json", signal);
  if (tokenizer !== undefined) return { label, tokenizer, config, template };
  const vocabulary = await optionalJson(source, "vocab.json", signal);
  const merges = await optionalText(source, "merges.txt", signal);
  if (vocabulary !== undefined && merges !== undefined) {
    return { label, tokenizer: tokenizerFromMerges(vocabulary, merges, config, label), config, template };
  }
  const path = await ggufIn(source, op);
  if (path !== undefined) {
    const file = await openGguf(await openFileOf(source, path, signal), { signal });
    return tokenizerFromGguf(file.metadata, `${label}/${path}`);
  }
  const hint = (await source.has("tokenizer.model"))
    ? "tokenizer.model alone is not read: save the tokenizer as tokenizer.json (save_pretrained of a fast tokenizer)"
    : "a tokenizer.json, a vocab.json with merges.txt, or a GGUF file";
  throw new FileError(`${label} has no tokenizer`, { op, hint });
}

async function optionalText(
  source: FileSource,
  path: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (!(await source.has(path))) return undefined;
  const size = await source.size(path);
  if (size > maxBytes)
    throw new FormatError(`${source.label}/${path} has ${size} bytes, more than ${maxBytes}`, { op });
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await source.read(path, undefined, signal));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new FormatError(`${source.label}/${path} is not valid UTF-8`, { op, cause: error });
  }
}

async function optionalJson(
  source: FileSource,
  path: string,
  signal: AbortSignal | undefined,
): Promise<JsonObject | undefined> {
  const text = await optionalText(source, path, signal);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${source.label}/${path} is no JSON`, { op, cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError(`${source.label}/${path} holds no object`, { op });
  }
  return value as JsonObject;
}
