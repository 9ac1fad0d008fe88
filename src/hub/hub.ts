/** Repositories of the Hugging Face Hub as sources: https://huggingface.co/docs/hub/api */
import { aString, check, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { FileError, statusError } from "../formats/file.js";
import type { Fetch } from "../formats/url_source.js";
import type { FileCache } from "./cache.js";
import { cacheOf } from "./caches.js";
import type { Digest } from "./digest.js";
import { NetworkError, retryingFetch } from "./http.js";
import { describeFile, remoteSource } from "./remote.js";
import type { FileSource } from "./source.js";
import { type RemoteOptions, remoteOptions } from "./url.js";

const op = "hub";
const publicEndpoint = "https://huggingface.co";

/** Options of `hub`. */
export interface HubOptions extends RemoteOptions {
  /** A branch, a tag or a commit. Default `main`. */
  readonly revision?: string;
  /** Of a user, for private and gated repositories; sent to the endpoint only. */
  readonly token?: string;
  /** A server that answers as the Hub does. Default the public one. */
  readonly endpoint?: string;
}

const hubOptions: Kinds<HubOptions> = {
  ...remoteOptions,
  revision: aString,
  token: aString,
  endpoint: aString,
};
const repositoryName = /^[\w.-]{1,96}(\/[\w.-]{1,96})?$/;
const commitName = /^[0-9a-f]{40}$/;

/** What the Hub says about a revision. */
interface Revision {
  readonly commit: string;
  /** Undefined where the server does not list files: each is asked for. */
  readonly files:
    | ReadonlyMap<string, { readonly size: number; readonly digest: Digest | undefined }>
    | undefined;
}

/**
 * The files of a model on the Hugging Face Hub. One request tells the commit, the files, their sizes and digests; each file is
 * downloaded once for a commit, and checked. Without a network the last known commit of the revision is used, out of the cache.
 *
 * @throws ArgumentError for what is no name of a repository.
 * @example
 * const source = hub("HuggingFaceTB/SmolLM2-135M");
 * source.label; // "HuggingFaceTB/SmolLM2-135M@main"
 */
export function hub(repository: string, options: HubOptions = {}): FileSource {
  check(op, "the repository", repository, aString);
  const given = checkOptions(op, options, hubOptions);
  const { revision = "main", token, cache: cacheOption, onProgress } = given;
  if (!repositoryName.test(repository)) {
    throw new ArgumentError(`"${repository}" is no repository`, { op, hint: "organisation/name" });
  }
  const endpoint = (given.endpoint ?? publicEndpoint).replace(/\/+$/, "");
  const { origin, host } = new URL(endpoint);
  const fetch = retryingFetch(op, origin, token === undefined ? {} : { authorization: `Bearer ${token}` });
  const cache = cacheOf(cacheOption);
  const label = `${repository}@${revision}`;
  const folder = `hub/${host}/${repository}`;
  let asking: Promise<Revision> | undefined;

  function current(signal?: AbortSignal): Promise<Revision> {
    if (asking === undefined) {
      asking = askRevision({ label, endpoint, repository, revision, fetch, cache, folder }, signal);
      asking.catch(() => {
        asking = undefined;
      });
    }
    return asking;
  }

  return remoteSource({
    label,
    op,
    fetch,
    cache,
    onProgress,
    async find(path, signal) {
      const { commit, files } = await current(signal);
      const address = `${endpoint}/${repository}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
      if (files === undefined) return describeFile(`${label}/${path}`, address, fetch, op, signal);
      const known = files.get(path);
      return known && { name: `${label}/${path}`, url: address, etag: undefined, ...known };
    },
    keyOf: async (path) => `${folder}/${(await current()).commit}/${path}`,
    async list(signal) {
      const { files } = await current(signal);
      if (files === undefined) throw new FileError(`${endpoint} does not list the files of ${label}`, { op });
      return [...files.keys()].sort();
    },
  });
}

interface Question {
  readonly label: string;
  readonly endpoint: string;
  readonly repository: string;
  readonly revision: string;
  readonly fetch: Fetch;
  readonly cache: FileCache | undefined;
  readonly folder: string;
}

/** Asks for the commit and the files; what was learnt is noted for times without a network. */
async function askRevision(question: Question, signal?: AbortSignal): Promise<Revision> {
  const { label, endpoint, repository, revision, fetch, cache, folder } = question;
  const note = `${folder}/revisions/${encodeURIComponent(revision)}`;
  const address = `${endpoint}/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`;
  let response: Response;
  try {
    response = await fetch(address, { signal });
  } catch (error) {
    const noted = error instanceof NetworkError ? await cache?.note(note) : undefined;
    if (noted === undefined) throw error;
    return parseRevision(noted, label);
  }
  if (!response.ok && response.headers.get("x-error-code") === null && response.status === 404) {
    await response.body?.cancel().catch(() => {});
    // A server of files alone: the revision is taken as it is.
    return { commit: revision, files: undefined };
  }
  if (!response.ok) throw refusal(label, response);
  const text = await response.text();
  const found = parseRevision(text, label);
  await cache?.setNote(note, text);
  return found;
}

function refusal(label: string, response: Response): FileError {
  const { status, headers } = response;
  const reasons: Readonly<Record<number, string>> = {
    401: "it is private or does not exist; the option token names a user",
    403: "its owner has to give access first",
    404: "the repository or the revision does not exist",
  };
  const hint = reasons[status];
  if (hint === undefined) return statusError(label, response, op);
  const said = headers.get("x-error-message");
  return new FileError(`cannot open ${label}: HTTP status ${status}${said ? `, ${said}` : ""}`, {
    op,
    status,
    hint,
  });
}

/** @throws FileError for an answer that is not the Hub's. */
function parseRevision(text: string, label: string): Revision {
  const fail = (cause?: unknown) =>
    new FileError(`${label}: the server does not answer as the Hub does`, { op, cause });
  let answer: { sha?: unknown; siblings?: unknown };
  try {
    answer = JSON.parse(text);
  } catch (error) {
    throw fail(error);
  }
  const { sha, siblings } = answer ?? {};
  if (typeof sha !== "string" || !commitName.test(sha) || !Array.isArray(siblings)) throw fail();
  const files = new Map<string, { size: number; digest: Digest | undefined }>();
  for (const each of siblings) {
    const { rfilename: path, size, blobId, lfs } = (each ?? {}) as Record<string, unknown>;
    const { sha256 } = (lfs ?? {}) as Record<string, unknown>;
    if (typeof path !== "string" || !Number.isSafeInteger(size)) throw fail();
    const digest: Digest | undefined =
      typeof sha256 === "string"
        ? { kind: "sha256", hex: sha256 }
        : typeof blobId === "string"
          ? { kind: "git", hex: blobId }
          : undefined;
    files.set(path, { size: Number(size), digest });
  }
  return { commit: sha, files };
}
