/**
 * Files behind URLs, by HTTP ranges: RFC 9110, section 14. The first request asks for the beginning and learns the size. Each answer
 * is checked: status, `Content-Range`, length, and whether the file is still the one that was opened.
 */
import { type ByteSource, bytesSource, readOp, requireInside } from "./byte_source.js";
import { FileError, reasonOf, statusError } from "./file.js";
import { joinChunks } from "./gzip.js";

/** Bytes that a read of fewer asks for, in view of the next ones: parts of a file are mostly read in order. */
const windowBytes = 256 * 1024;

/** `fetch`, or one that adds headers and tries again. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** What tells versions of a file apart. */
interface Version {
  readonly etag: string | null;
  readonly modified: string | null;
}

interface Range {
  readonly first: number;
  readonly last: number;
  /** Undefined: the server does not say. */
  readonly total: number | undefined;
}

/** @throws FileError naming the URL and the reason: an HTTP status, or a whole file above `downloadLimit`. */
export async function openUrl(
  url: string,
  downloadLimit: number,
  op: string,
  signal?: AbortSignal,
  fetchWith: Fetch = fetch,
): Promise<ByteSource> {
  const response = await request(fetchWith, url, 0, windowBytes, op, signal);
  const beside = async (name: string, other?: AbortSignal) =>
    openUrl(new URL(encodeURIComponent(name), url).href, downloadLimit, op, other, fetchWith);
  if (response.status === 200) {
    return { ...bytesSource(await download(url, response, downloadLimit, op, signal), url), beside };
  }
  const range = rangeIn(response);
  if (response.status === 416 && range?.total === 0)
    return { ...bytesSource(new Uint8Array(0), url), beside };
  if (response.status !== 206) throw statusError(url, response, op);
  if (range?.total === undefined) {
    await response.body?.cancel();
    throw new FileError(
      `cannot fetch ${url}: the server answers a range and does not say of how many bytes`,
      {
        op,
        hint: "other origins have to expose Content-Range (Access-Control-Expose-Headers)",
      },
    );
  }
  const source = new UrlSource(url, range.total, response, beside, fetchWith);
  await source.keep(response, Math.min(windowBytes, range.total), signal);
  return source;
}

class UrlSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly beside: (name: string, signal?: AbortSignal) => Promise<ByteSource>;
  readonly #version: Version;
  readonly #fetchWith: Fetch;
  /** Where redirects led; such addresses may expire. */
  #address: string;
  /** The bytes read last of those that are kept. */
  #window: { readonly offset: number; readonly bytes: Uint8Array } = { offset: 0, bytes: new Uint8Array(0) };
  #isOpen = true;

  constructor(name: string, size: number, response: Response, beside: UrlSource["beside"], fetchWith: Fetch) {
    this.#fetchWith = fetchWith;
    this.name = name;
    this.size = size;
    this.beside = beside;
    this.#version = versionOf(response);
    this.#address = response.url || name;
  }

  async read(
    offset: number,
    length: number,
    signal?: AbortSignal,
    into: Uint8Array = new Uint8Array(length),
  ): Promise<Uint8Array> {
    requireInside(this, offset, length);
    signal?.throwIfAborted();
    if (!this.#isOpen) throw this.#failure("it was closed");
    const { offset: start, bytes } = this.#window;
    const known =
      offset >= start && offset < start + bytes.length ? bytes.subarray(offset - start) : undefined;
    let done = 0;
    if (known !== undefined) {
      done = Math.min(length, known.length);
      into.set(known.subarray(0, done));
    }
    if (done === length) return into;
    if (length - done >= windowBytes) await this.#fetch(offset + done, into.subarray(done), signal);
    else {
      const at = offset + done;
      await this.keep(undefined, Math.min(windowBytes, this.size - at), signal, at);
      into.set(this.#window.bytes.subarray(0, length - done), done);
    }
    return into;
  }

  async close(): Promise<void> {
    this.#isOpen = false;
    this.#window = { offset: 0, bytes: new Uint8Array(0) };
  }

  /** Reads `length` bytes, of an answer that has begun if there is one, and keeps them for the next reads. */
  async keep(
    response: Response | undefined,
    length: number,
    signal?: AbortSignal,
    offset = 0,
  ): Promise<void> {
    const bytes = new Uint8Array(length);
    await this.#fetch(offset, bytes, signal, response);
    this.#window = { offset, bytes };
  }

  async #fetch(offset: number, into: Uint8Array, signal?: AbortSignal, begun?: Response): Promise<void> {
    const { length } = into;
    if (length === 0) {
      await begun?.body?.cancel();
      return;
    }
    const response = begun ?? (await this.#request(offset, length, signal));
    const problem = this.#problemOf(response, offset, length);
    if (problem !== undefined) {
      await response.body?.cancel().catch(() => {});
      throw problem;
    }
    await readBody(response, into, (reason, cause) => this.#failure(reason, cause), signal);
  }

  /** Asks where redirects led; if that has expired, from the start. */
  async #request(offset: number, length: number, signal?: AbortSignal): Promise<Response> {
    const response = await request(this.#fetchWith, this.#address, offset, length, readOp, signal);
    if (response.status < 400 || this.#address === this.name) return response;
    await response.body?.cancel().catch(() => {});
    const again = await request(this.#fetchWith, this.name, offset, length, readOp, signal);
    this.#address = again.url || this.name;
    return again;
  }

  /** Why an answer is not the range that was asked for. */
  #problemOf(response: Response, offset: number, length: number): FileError | undefined {
    const { status } = response;
    if (status === 200) return this.#failure("the server answers a range with the whole file");
    if (status !== 206) return statusError(this.name, response, readOp);
    const range = rangeIn(response);
    if (differ(versionOf(response), this.#version) || (range?.total ?? this.size) !== this.size) {
      return this.#failure("the file has changed since it was opened");
    }
    if (range?.first === offset && range.last === offset + length - 1) return undefined;
    const got = range === undefined ? "an unknown range" : `bytes ${range.first} to ${range.last}`;
    return this.#failure(`asked for bytes ${offset} to ${offset + length - 1}, the server sends ${got}`);
  }

  #failure(reason: string, cause?: unknown): FileError {
    return new FileError(`cannot fetch ${this.name}: ${reason}`, { op: readOp, cause });
  }
}

async function request(
  fetchWith: Fetch,
  url: string,
  offset: number,
  length: number,
  op: string,
  signal?: AbortSignal,
): Promise<Response> {
  try {
    // Ranges of compressed bodies are ranges of something else; browsers set this by themselves.
    const headers = { range: `bytes=${offset}-${offset + length - 1}`, "accept-encoding": "identity" };
    return await fetchWith(url, { headers, signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof FileError) throw error;
    throw new FileError(`cannot fetch ${url}: ${networkReason(error)}`, { op, cause: error });
  }
}

/** Node's fetch hides the reason behind "fetch failed". */
export function networkReason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error ? reasonOf(cause) : reasonOf(error);
}

function versionOf({ headers }: Response): Version {
  return { etag: headers.get("etag"), modified: headers.get("last-modified") };
}

/** By what both answers have. */
function differ(a: Version, b: Version): boolean {
  if (a.etag !== null && b.etag !== null) return a.etag !== b.etag;
  return a.modified !== null && b.modified !== null && a.modified !== b.modified;
}

/** `bytes 0-99/1234`, `bytes 0-99/*`, and for an empty file `bytes *` + `/0`. */
function rangeIn({ headers }: Response): Range | undefined {
  const text = headers.get("content-range") ?? "";
  const [, first, last, total] = /^bytes (?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15}|\*)$/i.exec(text) ?? [];
  if (total === undefined) return undefined;
  return { first: Number(first), last: Number(last), total: total === "*" ? undefined : Number(total) };
}

type Failure = (reason: string, cause?: unknown) => Error;

/** Pieces of a body, until the loop is left. */
async function* chunksOf(
  response: Response,
  fail: Failure,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  try {
    for (;;) {
      const next = await reader?.read().catch((error: unknown) => {
        signal?.throwIfAborted();
        throw fail(`the connection broke off: ${networkReason(error)}`, error);
      });
      if (next === undefined || next.done) return;
      yield next.value;
    }
  } finally {
    await reader?.cancel().catch(() => {});
  }
}

/** Fills `into` with a body of exactly as many bytes. */
async function readBody(
  response: Response,
  into: Uint8Array,
  fail: Failure,
  signal?: AbortSignal,
): Promise<void> {
  let at = 0;
  for await (const chunk of chunksOf(response, fail, signal)) {
    if (at + chunk.length > into.length) throw fail(`the server sends more than ${into.length} bytes`);
    into.set(chunk, at);
    at += chunk.length;
  }
  if (at < into.length) throw fail(`the server sends ${at} bytes of ${into.length}`);
}

/** A whole file, for the server knows no ranges. */
async function download(
  url: string,
  response: Response,
  limit: number,
  op: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const fail = (reason: string, cause?: unknown) =>
    new FileError(`cannot fetch ${url}: ${reason}`, {
      op,
      cause,
      hint: cause === undefined ? "download the file first, or raise downloadLimit" : undefined,
    });
  const tooLarge = (bytes: string | number) =>
    fail(`the server sends whole files only, and ${bytes} bytes are more than the ${limit} allowed`);
  const declared = response.headers.get("content-encoding") ? null : response.headers.get("content-length");
  if (declared !== null && Number(declared) > limit) {
    await response.body?.cancel().catch(() => {});
    throw tooLarge(declared);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunksOf(response, fail, signal)) {
    length += chunk.length;
    if (length > limit) throw tooLarge(length);
    chunks.push(chunk);
  }
  if (declared !== null && length !== Number(declared)) {
    throw new FileError(`cannot fetch ${url}: the server sends ${length} bytes of ${declared}`, { op });
  }
  return joinChunks(chunks, length);
}
