/** Files of a model by name and range, wherever they are stored: what loaders read from. */
import { check, type Kind } from "../core/check.js";
import { FormatError } from "../core/errors.js";
import type { ByteSource } from "../formats/byte_source.js";
import { quote } from "../formats/excerpt.js";
import { FileError } from "../formats/file.js";

/** Bytes of a file: from `start` up to and not including `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The files of one model. Paths are relative and have `/` between their parts: `1_Pooling/config.json`. Whole files are read only
 * when no range is given. The bytes are not to be changed: they may be the source's own memory.
 */
export interface FileSource {
  /** For messages and progress: a folder, a URL, `HuggingFaceTB/SmolLM2-135M@main`. */
  readonly label: string;
  /** Whether there is such a file. @throws FileError if that cannot be found out; the reason of `signal`. */
  has(path: string, signal?: AbortSignal): Promise<boolean>;
  /** Bytes. @throws FileError if there is no such file; the reason of `signal`. */
  size(path: string, signal?: AbortSignal): Promise<number>;
  /**
   * `into`, of the range's length, is memory that the source may fill and return instead of new memory.
   * @throws FileError if the file or the range does not exist or cannot be read; the reason of `signal` when it is aborted.
   */
  read(path: string, range?: ByteRange, signal?: AbortSignal, into?: Uint8Array): Promise<Uint8Array>;
  /** The paths of all files, sorted; missing where a source cannot list them. */
  list?(signal?: AbortSignal): Promise<readonly string[]>;
  /**
   * Makes a file ready for many reads: downloads and checks it where it is not on this machine. Files that are not made ready are
   * read as well, range by range.
   */
  prepare?(path: string, options?: PrepareOptions): Promise<void>;
}

/** Options of `FileSource.prepare`. */
export interface PrepareOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: ProgressEvent) => void;
}

/** Bytes of a file that are there, and of the whole file. */
export interface FileProgress {
  readonly loaded: number;
  readonly total: number;
}

/** Progress of files; names and order are those of transformers.js. */
export interface ProgressEvent extends FileProgress {
  /**
   * `initiate`: the file is asked for; `download`: its transfer begins; `progress`: bytes have arrived; `progress_total`: the sums over
   * all files after that; `done`: the file is there. Files out of the cache have all events, too. `ready`: the model is loaded.
   */
  readonly status: "initiate" | "download" | "progress" | "progress_total" | "done" | "ready";
  /** The source's label. */
  readonly name: string;
  /** The path; empty for `progress_total` and `ready`. */
  readonly file: string;
  /** Percent. */
  readonly progress: number;
  /** Of `progress_total`: each file by its path. */
  readonly files?: Readonly<Record<string, FileProgress>>;
}

/** What loaders take. */
export const aFileSource: Kind = [
  "a FileSource",
  (value) => {
    const { has, size, read } = (value ?? {}) as Partial<FileSource>;
    return [has, size, read].every((member) => typeof member === "function");
  },
  (value) =>
    typeof value === "string"
      ? "modelSource(name), folder(path), url(base) or hub(name) of wattgrad/hub make one"
      : undefined,
];

/** No separator, drive, parent directory, control or format character. */
const plainPart = /^(?!\.{1,2}$)[^/\\:\p{C}]{1,255}$/u;

/**
 * Paths come out of files (indices, lists of modules): none leads out of its source.
 * @throws FormatError
 */
export function requirePath(path: string, op: string): void {
  if (typeof path === "string" && path.split("/").every((part) => plainPart.test(part))) return;
  throw new FormatError(`${quote(String(path))} is no relative path of a file`, { op });
}

export function noSuchFile(label: string, path: string, op: string, status?: number): FileError {
  return new FileError(`${label} has no file ${path}`, { op, status });
}

/** The range, or all of a file. @throws FileError if the file is shorter. */
export function rangeOf(name: string, size: number, range: ByteRange | undefined, op: string): ByteRange {
  const { start, end } = range ?? { start: 0, end: size };
  const isInside = Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end;
  if (isInside && end <= size) return { start, end };
  throw new FileError(`${name} has ${size} bytes, none from ${start} to ${end}`, { op });
}

/**
 * One file of a source for reads at any position, with the files in the same directory: an input of `openSafetensors` and the other
 * readers.
 *
 * @throws FileError if there is no such file; the reason of `signal`.
 * @example
 * const source = files(new Map([["model.bin", Uint8Array.of(0, 1, 2, 3)]]));
 * const file = await openFileOf(source, "model.bin");
 * await file.read(1, 2); // [1, 2]
 */
export async function openFileOf(
  source: FileSource,
  path: string,
  signal?: AbortSignal,
): Promise<ByteSource> {
  check("openFileOf", "the source", source, aFileSource);
  requirePath(path, "openFileOf");
  signal?.throwIfAborted();
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  return {
    name: `${source.label}/${path}`,
    size: await source.size(path, signal),
    read: (offset, length, own, into) =>
      source.read(path, { start: offset, end: offset + length }, own ?? signal, into),
    beside: (name, own) => openFileOf(source, `${folder}${name}`, own ?? signal),
    async close() {},
  };
}
