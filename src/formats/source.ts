/** Opens whatever holds a file's bytes for reads at any position. */
import { aCount, check, checkOptions, either, type Kind, type Kinds } from "../core/check.js";
import { type ByteSource, blobSource, bytesSource } from "./byte_source.js";
import { type FileHandleLike, isFileHandle, openFile } from "./file_source.js";
import { openUrl } from "./url_source.js";

/** A path (Node), a URL, a File or Blob, bytes, a FileHandle (Node), or a ByteSource. */
export type SourceInput = string | URL | Blob | Uint8Array | ArrayBuffer | FileHandleLike | ByteSource;

/** Options of `openSource`. */
export interface SourceOptions {
  /** Aborts opening; reads take their own signal. */
  readonly signal?: AbortSignal;
  /**
   * Maximum bytes to download and keep in memory when a server ignores `Range` and sends whole files only. Default 256 MiB; 0 makes it
   * an error.
   */
  readonly downloadLimit?: number;
}

const aSignal: Kind = [
  "an AbortSignal",
  (value) => typeof (value as AbortSignal | undefined)?.throwIfAborted === "function",
];
export const sourceOptions: Kinds<SourceOptions> = { signal: aSignal, downloadLimit: aCount };
const defaultDownloadLimit = 256 * 2 ** 20;

const aSource: Kind = [
  "a ByteSource",
  (value) => {
    const { read, size } = (value ?? {}) as Partial<ByteSource>;
    return typeof read === "function" && typeof size === "number";
  },
];
export const aSourceInput: Kind = either(
  ["a path or URL", (value) => typeof value === "string" || value instanceof URL],
  ["a Blob", (value) => value instanceof Blob],
  ["bytes", (value) => value instanceof Uint8Array || value instanceof ArrayBuffer],
  ["a FileHandle", isFileHandle],
  aSource,
);

/** Not `C:\`. */
const isUrl = /^(?:[a-z][a-z0-9+.-]*:\/\/|blob:|data:)/i;

/**
 * Opens a file for reads at any position. A string is a URL if it has a scheme, or outside Node; else a path. URLs are read by HTTP
 * range requests.
 *
 * @throws FileError naming the file and the reason: it does not exist, it is not a plain file, an HTTP status; the reason of `signal`.
 * @example
 * const source = await openSource(Uint8Array.of(0, 1, 2, 3, 4));
 * await source.read(1, 3); // [1, 2, 3]
 * await source.close();
 */
export async function openSource(input: SourceInput, options: SourceOptions = {}): Promise<ByteSource> {
  const op = "openSource";
  check(op, "the source", input, aSourceInput);
  const { signal, downloadLimit = defaultDownloadLimit } = checkOptions(op, options, sourceOptions);
  signal?.throwIfAborted();
  if (isFileHandle(input)) return openFile(input, op);
  if (input instanceof Uint8Array) return bytesSource(input);
  if (input instanceof ArrayBuffer) return bytesSource(new Uint8Array(input));
  if (input instanceof Blob) return blobSource(input);
  if (typeof input !== "string" && !(input instanceof URL)) return input;
  const text = String(input);
  if (/^file:/i.test(text)) return openFile(new URL(text), op);
  const isPath = !isUrl.test(text) && globalThis.process?.getBuiltinModule !== undefined;
  if (isPath) return openFile(text, op);
  return openUrl(new URL(text, globalThis.location?.href).href, downloadLimit, op, signal);
}
