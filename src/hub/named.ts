/** The files of a model by what a user calls it. */
import { aString, check } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { folder } from "./folder.js";
import { type HubOptions, hub } from "./hub.js";
import type { FileSource } from "./source.js";
import { url } from "./url.js";

/** Tells a repository of the Hub from a folder of the same name. */
const hubPrefix = "hub:";

/**
 * The files of a model by a name: `hub:organisation/name`, a URL, or, in Node, a folder. The name of a GGUF file means that file, and the
 * tokenizer beside it. Options are those of `hub`; a URL takes `cache` and `onProgress` of them.
 *
 * @throws ArgumentError for a name that cannot be one; FileError in a page for a folder.
 * @example
 * modelSource("hub:HuggingFaceTB/SmolLM2-135M").label; // "HuggingFaceTB/SmolLM2-135M@main"
 * modelSource("https://example.org/gpt2").label; // "https://example.org/gpt2"
 */
export function modelSource(name: string, options: HubOptions = {}): FileSource {
  check("modelSource", "the name", name, aString);
  if (name.trim() === "") throw new ArgumentError("the name of the model is empty", { op: "modelSource" });
  const [, place, file] = /^(.*?)(?:[/\\]?([^/\\]+\.gguf))?$/is.exec(name)!;
  const source = sourceAt(place === "" ? "." : place, options);
  return file === undefined ? source : onlyGguf(source, file);
}

function sourceAt(place: string, options: HubOptions): FileSource {
  if (place.startsWith(hubPrefix)) return hub(place.slice(hubPrefix.length), options);
  if (!/^https?:\/\//i.test(place)) return folder(place);
  const { cache, onProgress } = options;
  return url(place, { ...(cache !== undefined && { cache }), ...(onProgress && { onProgress }) });
}

/** Hides other weights and their configuration; a tokenizer beside the file stays. */
function onlyGguf(source: FileSource, file: string): FileSource {
  const isHidden = (path: string) => path !== file && (path === "config.json" || path.endsWith(".gguf"));
  return {
    ...source,
    label: `${source.label}/${file}`,
    has: async (path) => !isHidden(path) && (await source.has(path)),
    list: async () => [file],
  };
}
