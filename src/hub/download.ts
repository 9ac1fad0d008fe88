/** Downloads a file into a cache: goes on where an earlier one ended, and lets no file be found that is not what was announced. */
import type { ByteSource } from "../formats/byte_source.js";
import { FileError, statusError } from "../formats/file.js";
import { type Fetch, networkReason } from "../formats/url_source.js";
import { type FileCache, isPartial, NoCacheError, type PartialFile } from "./cache.js";
import { type Digest, type Hasher, hasherOf } from "./digest.js";
import { ChecksumError, DownloadError } from "./errors.js";
import { NetworkError, pause } from "./http.js";

const op = "download";

/** Connections in a row that brought nothing, after which a download gives up. */
const maxEmpty = 4;
/** Milliseconds before the next of them. */
const emptyDelay = 200;
/** Milliseconds without a byte after which a connection counts as broken. */
const stalled = 60_000;
/** Bytes of a part that are hashed at once. */
const rereadBytes = 4 * 2 ** 20;

/** A file of a server. */
export interface RemoteFile {
  /** For messages. */
  readonly name: string;
  readonly url: string;
  readonly size: number;
  /** Names the version, if the server gives it. */
  readonly etag: string | undefined;
  /** What the bytes must be, if the server says it. */
  readonly digest: Digest | undefined;
}

export interface DownloadOptions {
  readonly fetch: Fetch;
  readonly cache: FileCache;
  readonly key: string;
  readonly signal: AbortSignal | undefined;
  /** Called with the bytes that are there. */
  readonly onBytes: (loaded: number) => void;
}

/**
 * The whole file, out of the cache.
 * @throws DownloadError if it does not become whole, ChecksumError if it is another; FileError for HTTP statuses and a disk that
 * takes no more; the reason of `signal`. The cache then has the verified file, a part that resumes, or nothing.
 */
export async function download(file: RemoteFile, options: DownloadOptions): Promise<ByteSource> {
  const { cache, key, signal } = options;
  const begun = (await cache.find(key, file.size)) ?? (await cache.begin(key, file.size, signal));
  if (!isPartial(begun)) return begun;
  const resumed = begun.length > 0;
  try {
    if (await transfer(file, begun, options)) return await begun.commit();
    await begun.restart();
    // A part that was there may have been damaged, or of another version; what has just come as a whole is the server's.
    if (resumed && (await transfer(file, begun, options))) return await begun.commit();
    await begun.restart();
    throw new ChecksumError(`${file.name} is not the file that the server announced: its digest is another`, {
      op,
    });
  } catch (error) {
    // What cannot become whole only takes the browser's space.
    if (error instanceof NoCacheError) await begun.restart();
    await begun.release();
    throw error;
  }
}

/** Fetches the rest; whether the whole has the digest that was announced. */
async function transfer(file: RemoteFile, part: PartialFile, options: DownloadOptions): Promise<boolean> {
  if (part.length > file.size) await part.restart();
  let hasher = await hasherAt(file, part);
  options.onBytes(part.length);
  for (let empty = 0; part.length < file.size; ) {
    options.signal?.throwIfAborted();
    const before = part.length;
    const response = await request(file, part.length, options).catch((error: unknown) => {
      throw error instanceof NetworkError ? ended(file, part, error.message) : error;
    });
    if (response.status === 200 && part.length > 0) {
      // The server sends the whole file: it knows no ranges, or has another version.
      await part.restart();
      hasher = await hasherAt(file, part);
    }
    const reason = await append(file, response, part, hasher, options);
    if (reason === undefined) continue;
    empty = part.length > before ? 0 : empty + 1;
    if (empty === maxEmpty) throw ended(file, part, reason);
    await pause(emptyDelay * empty, options.signal);
  }
  return file.digest === undefined || hasher === undefined || (await hasher.hex()) === file.digest.hex;
}

function ended({ name, size }: RemoteFile, { length }: PartialFile, reason: string): DownloadError {
  return new DownloadError(`${name}: ${length} of ${size} bytes are there: ${reason}`, {
    op,
    received: length,
    expected: size,
    resumable: true,
    hint: "the next try goes on from there",
  });
}

async function hasherAt(file: RemoteFile, part: PartialFile): Promise<Hasher | undefined> {
  const hasher = file.digest && (await hasherOf(file.digest, file.size));
  for (let at = 0; hasher !== undefined && at < part.length; at += rereadBytes) {
    hasher.update(await part.read(at, Math.min(rereadBytes, part.length - at)));
  }
  return hasher;
}

async function request(
  file: RemoteFile,
  start: number,
  { fetch, signal }: DownloadOptions,
): Promise<Response> {
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (start > 0) {
    headers.range = `bytes=${start}-`;
    // Of another version the server sends the whole.
    if (file.etag !== undefined && !file.etag.startsWith("W/")) headers["if-range"] = file.etag;
  }
  const response = await fetch(file.url, { headers, signal });
  const isPart = response.status === 206 && startIn(response) === start;
  if (response.status === 200 || isPart) return response;
  await response.body?.cancel().catch(() => {});
  if (response.status === 206) {
    throw new FileError(
      `cannot fetch ${file.name}: asked for bytes from ${start} on, the server sends others`,
      { op },
    );
  }
  throw statusError(file.name, response, op);
}

function startIn({ headers }: Response): number | undefined {
  const [, start] = /^bytes (\d{1,15})-/i.exec(headers.get("content-range") ?? "") ?? [];
  return start === undefined ? undefined : Number(start);
}

/** Stores a body; why it ended too early, undefined if it did not. */
async function append(
  file: RemoteFile,
  response: Response,
  part: PartialFile,
  hasher: Hasher | undefined,
  { signal, onBytes }: DownloadOptions,
): Promise<string | undefined> {
  const reader = response.body?.getReader();
  try {
    for (;;) {
      const next = await withinTime(reader?.read()).catch((error: unknown) => {
        signal?.throwIfAborted();
        return networkReason(error);
      });
      if (typeof next === "string") return next;
      if (next === undefined || next.done) break;
      if (part.length + next.value.length > file.size) {
        await part.restart();
        throw new DownloadError(`${file.name}: the server sends more than the ${file.size} bytes announced`, {
          op,
          received: 0,
          expected: file.size,
          resumable: false,
        });
      }
      await part.append(next.value);
      hasher?.update(next.value);
      onBytes(part.length);
    }
  } finally {
    await reader?.cancel().catch(() => {});
  }
  return part.length < file.size ? "the server ended early" : undefined;
}

/** @throws Error after a minute without an answer. */
async function withinTime<T>(reading: Promise<T> | undefined): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no byte for ${stalled / 1000} s`)), stalled);
  });
  try {
    return await Promise.race([reading, late]);
  } finally {
    clearTimeout(timer);
  }
}
