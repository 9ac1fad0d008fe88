/**
 * `model.safetensors.index.json`: which of a model's files holds which tensor.
 *
 *     { "metadata": { "total_size": 1234, … }, "weight_map": { "name": "model-00001-of-00002.safetensors", … } }
 *
 * Names of files are those of neighbours: nothing outside the index's own directory is ever opened.
 */
import { quote } from "./excerpt.js";
import { JsonText } from "./json_text.js";
import { formatError, type Reading } from "./safetensors_header.js";

/** Longest index that is read: as the header of one file. */
export const maxIndexBytes = 100_000_000;

/** No separator, drive, parent directory, control or format character, and nothing that a URL gives a meaning. */
const plainName = /^(?!\.{1,2}$)[^/\\:?#%\p{C}]{1,255}$/u;

/**
 * The file of each tensor.
 * @throws FormatError for anything that is no index, names tensors twice, or files that are not beside it.
 */
export function parseIndex(bytes: Uint8Array, reading: Reading): Map<string, string> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw formatError(reading, "the index is not valid UTF-8");
  }
  let shards: Map<string, string> | undefined;
  const json = new JsonText(text, (at, reason) => formatError(reading, `bad index at ${at}: ${reason}`));
  json.object((key) => {
    if (key !== "weight_map") return json.skipValue();
    shards = new Map();
    json.object((name) => {
      const shard = json.string();
      if (!plainName.test(shard))
        json.fail(`${quote(name)} is in ${quote(shard)}, which is no file beside the index`);
      shards!.set(name, shard);
    }, " in weight_map");
  });
  json.end();
  if (shards === undefined) throw formatError(reading, "the index has no weight_map");
  return shards;
}
