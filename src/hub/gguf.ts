/** The GGUF file of a source that holds a model in one file. */
import { FormatError } from "../core/errors.js";
import { quote } from "../formats/excerpt.js";
import type { FileSource } from "./source.js";

/**
 * The path of the only GGUF file at the top of a source; undefined if there is none, or the source cannot list its files.
 * @throws FormatError if there are several.
 */
export async function ggufIn(source: FileSource, op: string): Promise<string | undefined> {
  const paths = ((await source.list?.()) ?? []).filter((path) => /^[^/]+\.gguf$/i.test(path));
  if (paths.length < 2) return paths[0];
  throw new FormatError(`${source.label} has several GGUF files: ${paths.map(quote).join(", ")}`, {
    op,
    hint: "give a source with one of them",
  });
}
