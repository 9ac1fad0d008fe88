/** Files of a server: small ones and those that are prepared come through the cache, headers of large ones by ranges. */
import type { ByteSource } from "../formats/byte_source.js";
import { FileError, statusError } from "../formats/file.js";
import { type Fetch, openUrl } from "../formats/url_source.js";
import { type FileCache, memoryCache, NoCacheError } from "./cache.js";
import { digestIn } from "./digest.js";
import { download, type RemoteFile } from "./download.js";
import { ProgressTally, percent } from "./progress.js";
import { type FileSource, noSuchFile, type ProgressEvent, rangeOf, requirePath } from "./source.js";

/**
 * Files up to this size are downloaded as a whole when a byte of them is wanted; of larger ones as many bytes may be read by
 * ranges before they are, which a header never takes.
 */
const wholeBytes = 16 * 2 ** 20;

type PlaceProgress = (event: ProgressEvent) => void;

/** Where the files are and what is known about them. */
export interface Place {
  readonly label: string;
  readonly op: string;
  readonly fetch: Fetch;
  /** Undefined: files are kept in memory if they are small, else read by ranges each time. */
  readonly cache: FileCache | undefined;
  readonly onProgress: PlaceProgress | undefined;
  /** Undefined if there is no such file. */
  find(path: string, signal?: AbortSignal): Promise<RemoteFile | undefined>;
  keyOf(path: string, file: RemoteFile): string | Promise<string>;
  list?(signal?: AbortSignal): Promise<readonly string[]>;
}

export function remoteSource(place: Place): FileSource {
  const { label, op, fetch } = place;
  const tally = place.onProgress && new ProgressTally(label, place.onProgress);
  const memory = memoryCache();
  let { cache } = place;
  const found = new Map<string, Promise<RemoteFile | undefined>>();
  const whole = new Map<string, ByteSource>();
  const ranged = new Map<string, { readonly source: Promise<ByteSource>; read: number }>();

  function find(path: string, signal?: AbortSignal): Promise<RemoteFile | undefined> {
    requirePath(path, op);
    let finding = found.get(path);
    if (finding === undefined) {
      finding = place.find(path, signal);
      found.set(path, finding);
      // What failed is asked again.
      finding.catch(() => found.delete(path));
    }
    return finding;
  }

  async function need(path: string, signal?: AbortSignal): Promise<RemoteFile> {
    const file = await find(path, signal);
    if (file === undefined) throw noSuchFile(label, path, op, 404);
    return file;
  }

  async function fetchWhole(
    path: string,
    signal?: AbortSignal,
    onProgress = tally?.update,
  ): Promise<ByteSource> {
    const file = await need(path, signal);
    const known = whole.get(path);
    const { size: total } = file;
    let isBegun = false;
    let reached = -1;
    const tell = (status: ProgressEvent["status"], loaded: number) => {
      onProgress?.({ status, name: label, file: path, loaded, total, progress: percent(loaded, total) });
    };
    tell("initiate", 0);
    const source =
      known ??
      (await download(file, {
        fetch,
        cache: cache ?? memory,
        key: await place.keyOf(path, file),
        signal,
        onBytes(loaded) {
          tell(isBegun ? "progress" : "download", loaded);
          if (isBegun) reached = loaded;
          isBegun = true;
        },
      }));
    whole.set(path, source);
    // Out of the cache.
    if (!isBegun) tell("download", 0);
    if (reached < total) tell("progress", total);
    tell("done", total);
    return source;
  }

  /** What serves a read of so many bytes. */
  async function sourceFor(path: string, bytes: number, signal?: AbortSignal): Promise<ByteSource> {
    const known = whole.get(path);
    if (known !== undefined) return known;
    const file = await need(path, signal);
    if (file.size <= wholeBytes) return fetchAnyhow(path, signal);
    if (cache !== undefined) {
      const cached = await cache.find(await place.keyOf(path, file), file.size);
      if (cached !== undefined) {
        whole.set(path, cached);
        return cached;
      }
    }
    let reading = ranged.get(path);
    if (reading === undefined) {
      reading = { source: openUrl(file.url, 0, op, signal, fetch), read: 0 };
      ranged.set(path, reading);
      reading.source.catch(() => ranged.delete(path));
    }
    reading.read += bytes;
    if (cache === undefined || reading.read <= wholeBytes) return reading.source;
    return fetchWhole(path, signal).catch((error: unknown) => {
      giveUpCache(error);
      return reading.source;
    });
  }

  /** A small file, in memory where the cache takes no more. */
  function fetchAnyhow(path: string, signal?: AbortSignal, onProgress?: PlaceProgress): Promise<ByteSource> {
    return fetchWhole(path, signal, onProgress).catch((error: unknown) => {
      giveUpCache(error);
      return fetchWhole(path, signal, onProgress);
    });
  }

  /** From now on files are read without a cache. @throws other errors. */
  function giveUpCache(error: unknown): void {
    if (!(error instanceof NoCacheError)) throw error;
    if (cache !== undefined) console.warn(`${label} is read without a cache: ${error.message}`);
    cache = undefined;
  }

  return {
    label,
    has: async (path, signal) => (await find(path, signal)) !== undefined,
    size: async (path, signal) => (await need(path, signal)).size,
    async read(path, range, signal, into) {
      signal?.throwIfAborted();
      const { name, size } = await need(path, signal);
      const { start, end } = rangeOf(name, size, range, op);
      const source = await sourceFor(path, end - start, signal);
      return source.read(start, end - start, signal, into);
    },
    async prepare(path, { signal, onProgress } = {}) {
      const { size } = await need(path, signal);
      if (size <= wholeBytes) await fetchAnyhow(path, signal, onProgress);
      // Without a cache a large file is in no better place than the server.
      else if (cache !== undefined) await fetchWhole(path, signal, onProgress).catch(giveUpCache);
    },
    list: place.list,
  };
}

/**
 * Asks a server for a file's size and version. Where the Hub redirects, its own answer names them; a page sees the last one only.
 * Undefined for 404 and 410.
 * @throws FileError for other statuses, and where the size is not told.
 */
export async function describeFile(
  name: string,
  url: string,
  fetch: Fetch,
  op: string,
  signal?: AbortSignal,
): Promise<(RemoteFile & { readonly commit: string | undefined }) | undefined> {
  const ask = (redirect: "manual" | "follow") =>
    fetch(url, { method: "HEAD", redirect, headers: { "accept-encoding": "identity" }, signal });
  const first = await ask("manual");
  const isRedirect = first.type === "opaqueredirect" || (first.status >= 300 && first.status < 400);
  const last = isRedirect ? await ask("follow") : first;
  if (last.status === 404 || last.status === 410) return undefined;
  if (!last.ok) throw statusError(name, last, op);
  const get = (header: string) => first.headers.get(header) ?? last.headers.get(header);
  const size = Number(get("x-linked-size") ?? last.headers.get("content-length") ?? Number.NaN);
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new FileError(`cannot fetch ${name}: the server does not tell its size`, {
      op,
      hint: "other origins have to expose Content-Length (Access-Control-Expose-Headers)",
    });
  }
  const etag = last.headers.get("etag") ?? undefined;
  return {
    name,
    url,
    size,
    etag,
    digest: digestIn(get("x-linked-etag") ?? etag ?? null),
    commit: get("x-repo-commit") ?? undefined,
  };
}
