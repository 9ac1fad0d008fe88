/** A folder of this machine as a source of files. Node only. */
import { aString, check } from "../core/check.js";
import type { ByteSource } from "../formats/byte_source.js";
import { FileError, nodeFiles, reasonOf } from "../formats/file.js";
import { openFile } from "../formats/file_source.js";
import { type FileSource, noSuchFile, rangeOf, requirePath } from "./source.js";

const op = "folder";

/** `organisation/name`. */
const repositoryName = /^[\w.-]+\/[\w.-]+$/;
/** Folders inside each other that are listed: more than any model has, and an end to links that lead upwards. */
const maxDepth = 8;

/**
 * The files of a folder on this machine. Nothing is kept open between reads. Node only.
 *
 * @throws FileError where there is no file system.
 * @example
 * await saveSafetensors("model.safetensors", new Linear(3, 2).stateDict());
 * const source = folder(".");
 * await source.has("model.safetensors"); // true
 * const weights = await openSafetensors(await openFileOf(source, "model.safetensors"));
 * weights.tensors.get("bias")!.shape; // [2]
 * await weights.close();
 */
export function folder(path: string): FileSource {
  check(op, "the path", path, aString);
  const { fs, path: paths } = nodeFiles(op);
  const placeOf = (name: string) => {
    requirePath(name, op);
    return paths.join(path, ...name.split("/"));
  };
  async function find(name: string): Promise<import("node:fs").Stats | undefined> {
    try {
      const found = await fs.promises.stat(placeOf(name));
      return found.isFile() ? found : undefined;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ENOTDIR") {
        throw new FileError(`cannot read ${placeOf(name)}: ${reasonOf(error)}`, { op, cause: error });
      }
      // A folder that is missing as a whole is an error of its own.
      await requireFolder();
      return undefined;
    }
  }
  async function requireFolder(): Promise<void> {
    const found = await fs.promises.stat(path).catch((error: unknown) => {
      const hint = repositoryName.test(path)
        ? `for a repository of the Hugging Face Hub: hub:${path}`
        : undefined;
      throw new FileError(`cannot read folder ${path}: ${reasonOf(error)}`, { op, cause: error, hint });
    });
    if (!found.isDirectory())
      throw new FileError(`${path} is not a folder`, { op, hint: "give the folder of the file" });
  }
  async function using<T>(name: string, use: (file: ByteSource) => Promise<T>): Promise<T> {
    if ((await find(name)) === undefined) throw noSuchFile(path, name, op);
    const file = await openFile(placeOf(name), op);
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  }
  return {
    label: path,
    has: async (name) => (await find(name)) !== undefined,
    async size(name) {
      const found = await find(name);
      if (found === undefined) throw noSuchFile(path, name, op);
      return found.size;
    },
    read(name, range, signal, into) {
      return using(name, (file) => {
        const { start, end } = rangeOf(file.name, file.size, range, op);
        return file.read(start, end - start, signal, into);
      });
    },
    async list() {
      await requireFolder();
      const names: string[] = [];
      const pending = [{ at: path, prefix: "", depth: 0 }];
      for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
        for (const name of await fs.promises.readdir(next.at)) {
          const place = paths.join(next.at, name);
          const found = await fs.promises.stat(place).catch(() => undefined);
          if (found?.isFile()) names.push(next.prefix + name);
          else if (found?.isDirectory() && next.depth < maxDepth) {
            pending.push({ at: place, prefix: `${next.prefix}${name}/`, depth: next.depth + 1 });
          }
        }
      }
      return names.sort();
    },
  };
}
