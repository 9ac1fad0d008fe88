/** The files below a URL as a source. */
import {
  aBoolean,
  aFunction,
  aString,
  check,
  checkOptions,
  either,
  type Kind,
  type Kinds,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { cacheOf } from "./caches.js";
import type { RemoteFile } from "./download.js";
import { retryingFetch } from "./http.js";
import { describeFile, remoteSource } from "./remote.js";
import type { FileSource, ProgressEvent } from "./source.js";

const op = "url";

/** Options of sources that download. */
export interface RemoteOptions {
  /**
   * Whether files are kept, or the folder that keeps them. Default true: `$XDG_CACHE_HOME/wattgrad`, or `~/.cache/wattgrad`; in
   * browsers the origin's private file system (in workers) or the Cache API. Without a cache, and where the browser's quota is full,
   * large files are read by ranges, and nothing checks their digest.
   */
  readonly cache?: boolean | string;
  /** Called while files are downloaded. */
  readonly onProgress?: (event: ProgressEvent) => void;
}

/** Options of `url`. */
export interface UrlOptions extends RemoteOptions {
  /** Sent to the server of the URL, and to no other that it redirects to. */
  readonly headers?: Readonly<Record<string, string>>;
}

const aRecord: Kind = ["an object", (value) => typeof value === "object" && value !== null];
export const remoteOptions: Kinds<RemoteOptions> = {
  cache: either(aBoolean, aString),
  onProgress: aFunction,
};
const urlOptions: Kinds<UrlOptions> = { ...remoteOptions, headers: aRecord };

/**
 * The files below a URL, by HTTP: `config.json` of `url("https://example.org/models/gpt2")` is
 * `https://example.org/models/gpt2/config.json`. A file is downloaded once and again when its ETag changes; what was begun goes on.
 * Busy servers (429, 503) are asked again, after the time that they name.
 *
 * @throws ArgumentError for what is no URL.
 * @example
 * const source = url("https://example.org/models/gpt2/");
 * source.label; // "https://example.org/models/gpt2"
 */
export function url(base: string | URL, options: UrlOptions = {}): FileSource {
  const { cache, onProgress, headers = {} } = checkOptions(op, options, urlOptions);
  check(op, "the URL", base, ["a URL", (value) => typeof value === "string" || value instanceof URL]);
  const folder = parse(`${String(base).replace(/\/+$/, "")}/`);
  const fetch = retryingFetch(op, folder.origin, headers);
  const label = folder.href.slice(0, -1);
  return remoteSource({
    label,
    op,
    fetch,
    cache: cacheOf(cache),
    onProgress,
    find: (path, signal) => {
      const address = new URL(path.split("/").map(encodeURIComponent).join("/"), folder).href;
      return describeFile(`${label}/${path}`, address, fetch, op, signal);
    },
    keyOf: (path, file) => `url/${folder.host}${folder.pathname}${path}/${versionOf(file)}`,
  });
}

function parse(text: string): URL {
  try {
    return new URL(text, globalThis.location?.href);
  } catch (cause) {
    throw new ArgumentError(`${text} is no URL`, { op, cause });
  }
}

/** A new version is another file of the cache. */
function versionOf({ etag, size }: RemoteFile): string {
  return etag === undefined ? `size-${size}` : etag.replace(/[^\w.-]/g, "");
}
