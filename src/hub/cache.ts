/** Where downloaded files are kept: whole and verified, or a part that the next download goes on with. */
import { type ByteSource, bytesSource } from "../formats/byte_source.js";
import { FileError } from "../formats/file.js";

/** A store of files by key; keys have `/` between their parts. */
export interface FileCache {
  /** The file, if it is there as a whole, with `size` bytes. */
  find(key: string, size: number): Promise<ByteSource | undefined>;
  /**
   * The right to write a file, which one holder has at a time: others wait, and get the file if it is whole meanwhile.
   * @throws the reason of `signal`
   */
  begin(key: string, size: number, signal?: AbortSignal): Promise<PartialFile | ByteSource>;
  /** A note of a few bytes, such as the commit of a branch. */
  note(key: string): Promise<string | undefined>;
  setNote(key: string, text: string): Promise<void>;
}

/** A file that is being downloaded. */
export interface PartialFile {
  /** Bytes that are there. */
  readonly length: number;
  read(offset: number, length: number): Promise<Uint8Array>;
  append(bytes: Uint8Array): Promise<void>;
  /** Forgets what is there. */
  restart(): Promise<void>;
  /** The file is whole and right: from now on it is found. */
  commit(): Promise<ByteSource>;
  /** Ends writing; what is there waits for the next download. */
  release(): Promise<void>;
}

/** The browser stores nothing, or no more: its quota is full. Files are then read without a cache. */
export class NoCacheError extends FileError {}

/** Names that every file system takes. */
export function storedName(part: string): string {
  return part.replace(/[^\w.+=@ -]/g, "_").slice(0, 200);
}

export function isPartial(file: PartialFile | ByteSource): file is PartialFile {
  return "append" in file;
}

/** Files in memory, for as long as the source is used: where nothing else can keep them. */
export function memoryCache(): FileCache {
  const whole = new Map<string, ByteSource>();
  const notes = new Map<string, string>();
  return {
    find: async (key) => whole.get(key),
    async begin(key, size) {
      const bytes = new Uint8Array(size);
      const file = {
        length: 0,
        read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
        async append(more: Uint8Array) {
          bytes.set(more, file.length);
          file.length += more.length;
        },
        async restart() {
          file.length = 0;
        },
        async commit() {
          const source = bytesSource(bytes, key);
          whole.set(key, source);
          return source;
        },
        async release() {},
      };
      return file;
    },
    note: async (key) => notes.get(key),
    async setNote(key, text) {
      notes.set(key, text);
    },
  };
}
