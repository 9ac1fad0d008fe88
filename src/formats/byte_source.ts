/** Bytes at any position of a file, without the rest: what parsers of large files read from. */
import { FileError, reasonOf } from "./file.js";

/** A file that can be read at any position. Implement it for bytes from other places. */
export interface ByteSource {
  /** Name in messages: a path, a URL, the name of a File. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /**
   * Returns exactly `length` bytes from `offset`. They may be the source's own memory and must not be changed. `into`, of `length`
   * bytes, is memory that the source may fill and return instead of new memory.
   * @throws FileError if they cannot be read; the reason of `signal` when it is aborted.
   */
  read(offset: number, length: number, signal?: AbortSignal, into?: Uint8Array): Promise<Uint8Array>;
  /** Opens the file of that name in the same directory; undefined for sources without one. */
  beside?(name: string, signal?: AbortSignal): Promise<ByteSource>;
  /** Closes the source. A file handle of the caller stays open. */
  close(): Promise<void>;
}

/** In messages of errors. */
export const readOp = "read";

/** @throws FileError for bytes outside the source. */
export function requireInside({ name, size }: ByteSource, offset: number, length: number): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0) {
    if (offset + length <= size) return;
  }
  throw new FileError(`${name} has ${size} bytes, none from ${offset} to ${offset + length}`, { op: readOp });
}

/** Bytes in memory; reads are views of them. */
export function bytesSource(bytes: Uint8Array, name = "the bytes"): ByteSource {
  const source: ByteSource = {
    name,
    size: bytes.length,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      requireInside(source, offset, length);
      return bytes.subarray(offset, offset + length);
    },
    async close() {},
  };
  return source;
}

/** A Blob, or a File that the user has chosen. */
export function blobSource(blob: Blob): ByteSource {
  const name = "name" in blob ? String(blob.name) : "the blob";
  const source: ByteSource = {
    name,
    size: blob.size,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      requireInside(source, offset, length);
      const bytes = await blob
        .slice(offset, offset + length)
        .arrayBuffer()
        .catch((error: unknown) => {
          throw new FileError(`cannot read ${name}: ${reasonOf(error)}`, { op: readOp, cause: error });
        });
      signal?.throwIfAborted();
      if (bytes.byteLength !== length)
        throw new FileError(`${name} has changed since it was opened`, { op: readOp });
      return new Uint8Array(bytes);
    },
    async close() {},
  };
  return source;
}
