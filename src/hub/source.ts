/** Files of a model by name and range, wherever they are: a folder, a list of Files, a server, the Hugging Face Hub. */
import type { ByteSource } from "../formats/byte_source.js";

/** Bytes by name and range; never the whole file unless asked. */
export interface FileSource {
  /** For errors and progress: `HuggingFaceTB/SmolLM2-135M@main`. */
  readonly label: string;
  has(path: string): Promise<boolean>;
  /** Bytes. @throws FileError if there is no such file. */
  size(path: string): Promise<number>;
  /**
   * The bytes `start` … `end − 1`, by default all; not to be changed, as they may be the source's own memory.
   * @throws FileError if they cannot be read; the reason of `signal` when it is aborted.
   */
  read(
    path: string,
    range?: { readonly start: number; readonly end: number },
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
}

/** One file of a source, for the readers of formats. */
export async function openFileOf(source: FileSource, path: string): Promise<ByteSource> {
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  return {
    name: `${source.label}/${path}`,
    size: await source.size(path),
    read: (offset, length, signal) => source.read(path, { start: offset, end: offset + length }, signal),
    beside: (name) => openFileOf(source, folder + name),
    close: async () => {},
  };
}
