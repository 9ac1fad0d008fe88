/** A server with the Hub's protocol (API, redirects to another origin, ranges, digests) and with configurable faults. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** How an answer with the contents of a file goes wrong. */
export interface Fault {
  /** The connection breaks in front of this byte of the file. */
  readonly cutAt?: number;
  /** Instead of the contents. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly ignoreRange?: boolean;
  /** Milliseconds between pieces of 64 kB. */
  readonly slow?: number;
  /** Sent instead of the file. */
  readonly contents?: Uint8Array;
}

export const commit = "0123456789abcdef0123456789abcdef01234567";
export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const gitDigest = (bytes: Uint8Array) =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
/** Files that the Hub keeps apart. */
const isLarge = (path: string) => path.endsWith(".safetensors");

export class ModelServer {
  readonly files: Map<string, Uint8Array>;
  /** Asked for each answer with contents, `count` answers were before it. */
  fault: (path: string, count: number) => Fault = () => ({});
  /** What the API says of a file, instead of the truth. */
  announced: (path: string, bytes: Uint8Array) => { size?: number; digest?: string } = () => ({});
  hasApi = true;
  /** Contents asked for: path and first byte. */
  readonly reads: [string, number][] = [];
  readonly requests: { method: string; url: string; authorization: string | undefined }[] = [];
  bytesSent = 0;
  /** The Hub's own origin. */
  endpoint = "";
  #front: Server | undefined;
  #store: Server | undefined;

  constructor(files: Readonly<Record<string, Uint8Array>>) {
    this.files = new Map(Object.entries(files));
  }

  async start(): Promise<this> {
    this.#front = await listen((request, response) => this.#answer(request, response));
    this.endpoint = originOf(this.#front);
    this.#store = await listen((request, response) => this.#answer(request, response));
    return this;
  }

  async stop(): Promise<void> {
    for (const server of [this.#front, this.#store]) {
      server?.closeAllConnections();
      await new Promise((resolve) => server?.close(resolve));
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { method = "GET", url = "/" } = request;
    // Pages of other origins may read all of it, as with the Hub.
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "*");
    response.setHeader("access-control-expose-headers", "*");
    if (method === "OPTIONS") {
      response.writeHead(204).end();
      return;
    }
    this.requests.push({ method, url, authorization: request.headers.authorization });
    const [, kind, path = ""] =
      /^\/(api|plain|store|org\/model\/resolve\/[^/]+)\/?(.*?)(\?.*)?$/.exec(decodeURIComponent(url)) ?? [];
    const bytes = this.files.get(path);
    if (kind === "api") this.#api(response);
    else if (kind === undefined || bytes === undefined) response.writeHead(404).end();
    else if (kind.startsWith("org")) this.#redirect(response, path, bytes);
    else this.#contents(request, response, path, bytes);
  }

  #redirect(response: ServerResponse, path: string, bytes: Uint8Array): void {
    const { size = bytes.length, digest = sha256(bytes) } = this.announced(path, bytes);
    response.writeHead(302, {
      location: `${originOf(this.#store!)}/store/${path}`,
      "x-repo-commit": commit,
      "x-linked-size": size,
      "x-linked-etag": `"${digest}"`,
    });
    response.end();
  }

  #api(response: ServerResponse): void {
    if (!this.hasApi) {
      response.writeHead(404).end();
      return;
    }
    const siblings = [...this.files].map(([rfilename, bytes]) => {
      const { size = bytes.length, digest } = this.announced(rfilename, bytes);
      const lfs = isLarge(rfilename) ? { sha256: digest ?? sha256(bytes), size } : undefined;
      return {
        rfilename,
        size,
        blobId: lfs === undefined ? (digest ?? gitDigest(bytes)) : "0".repeat(40),
        lfs,
      };
    });
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ sha: commit, siblings }));
  }

  #contents(request: IncomingMessage, response: ServerResponse, path: string, whole: Uint8Array): void {
    const etag = `"${sha256(whole).slice(0, 16)}"`;
    if (request.method === "HEAD") {
      response.writeHead(200, { etag, "content-length": whole.length }).end();
      return;
    }
    const {
      cutAt,
      status,
      headers,
      ignoreRange,
      slow,
      contents: bytes = whole,
    } = this.fault(path, this.reads.length);
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const isRange =
      first !== undefined &&
      !ignoreRange &&
      [undefined, etag].includes(request.headers["if-range"] as string);
    const start = isRange ? Number(first) : 0;
    const end = isRange && last !== "" ? Math.min(Number(last) + 1, bytes.length) : bytes.length;
    this.reads.push([path, start]);
    if (status !== undefined) {
      response.writeHead(status, { ...headers }).end();
      return;
    }
    response.writeHead(isRange ? 206 : 200, {
      etag,
      "content-length": end - start,
      ...(isRange && { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` }),
    });
    const stop = Math.min(end, cutAt ?? end);
    const send = (at: number): void => {
      if (response.destroyed) return;
      const to = Math.min(stop, at + 65_536);
      this.bytesSent += Math.max(0, to - at);
      if (at < stop)
        response.write(bytes.subarray(at, to), () => (slow ? setTimeout(send, slow, to) : send(to)));
      else if (stop < end) response.destroy();
      else response.end();
    };
    send(start);
  }
}

function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer(answer);
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

const originOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
