/** Files that the user of a page has chosen, or bytes in memory, as a source of files. */
import { check, either } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { type ByteSource, blobSource, bytesSource } from "../formats/byte_source.js";
import { quote } from "../formats/excerpt.js";
import { type FileSource, noSuchFile, rangeOf, requirePath } from "./source.js";

const op = "files";

/** Files by path; or the list of an `<input type="file" multiple>` or `<input webkitdirectory>`, whose outermost folder is left out. */
export type FilesInput = ReadonlyMap<string, Blob | Uint8Array> | Iterable<File> | ArrayLike<File>;

const aFiles = either(
  ["a Map of Blobs and Uint8Arrays by path", (value) => value instanceof Map],
  ["a list of Files", (value) => typeof value === "object" && value !== null && "length" in value],
);

/**
 * Files in memory, or chosen by a user; their bytes are read when they are asked for.
 *
 * @throws ArgumentError if two files have one path; FormatError for a path that is not relative.
 * @example
 * const source = files(new Map([["config.json", new TextEncoder().encode("{}")]]));
 * await source.has("config.json"); // true
 */
export function files(input: FilesInput): FileSource {
  check(op, "the files", input, aFiles);
  const sources = new Map<string, ByteSource>();
  for (const [path, contents] of input instanceof Map ? input : named(Array.from(input as ArrayLike<File>))) {
    requirePath(path, op);
    if (sources.has(path)) throw new ArgumentError(`two files have the path ${quote(path)}`, { op });
    sources.set(path, contents instanceof Blob ? blobSource(contents) : bytesSource(contents, path));
  }
  const label = "the given files";
  const find = (path: string) => {
    const source = sources.get(path);
    if (source === undefined) throw noSuchFile(label, path, op);
    return source;
  };
  return {
    label,
    has: async (path) => sources.has(path),
    size: async (path) => find(path).size,
    async read(path, range, signal) {
      const source = find(path);
      const { start, end } = rangeOf(path, source.size, range, op);
      return source.read(start, end - start, signal);
    },
    list: async () => [...sources.keys()].sort(),
  };
}

/** `model/1_Pooling/config.json` of a chosen folder is `1_Pooling/config.json`. */
function named(list: readonly File[]): [string, File][] {
  return list.map((file) => [file.webkitRelativePath?.replace(/^[^/]*\//, "") || file.name, file]);
}
