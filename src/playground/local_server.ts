/**
 * The server behind the playground, headless browsers and tests: sirv sends files out of folders, and this decides which. It
 * answers any request, gives nothing to pages of other origins, and is for this machine unless told otherwise.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, isIP } from "node:net";
import { hostname } from "node:os";
import sirv from "sirv";

/** Files of a folder behind a prefix such as `/peers/`. */
export interface Route {
  readonly directory: string;
  /** Which of the paths below it are answered; none with a part that begins with a dot in any case. */
  readonly accepts?: (path: string) => boolean;
}

/** What is answered from memory. */
export interface Content {
  readonly type: string;
  readonly bytes: Uint8Array | string;
}

export interface LocalServerOptions {
  /** By prefix, with slashes at both ends; the first whose prefix fits and that has the file. */
  readonly routes: readonly (readonly [prefix: string, route: Route])[];
  /** The path that stands for `/`. */
  readonly index?: string;
  /** By path. */
  readonly contents?: ReadonlyMap<string, Content>;
  /** Beside those of every response; they replace these. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Default 0: a free one. */
  readonly port?: number;
  /** Default: this machine only. */
  readonly host?: string;
}

export interface LocalServer {
  /** Ends in a slash, for example `http://127.0.0.1:40521/`. */
  readonly url: string;
  /** Ends every connection. */
  close(): Promise<void>;
}

/** Pages are isolated from other origins (COOP, COEP), which threads and exact clocks ask for, and in no frame of theirs. */
const standardHeaders: Readonly<Record<string, string>> = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": "frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-store",
};

/** @throws what `listen` throws. */
export async function startLocalServer({
  routes,
  index = "/",
  contents = new Map(),
  headers = {},
  port = 0,
  host = "127.0.0.1",
}: LocalServerOptions): Promise<LocalServer> {
  const all = { ...standardHeaders, ...headers };
  const folders = routes.map(([prefix, { directory, accepts = () => true }]) => ({
    prefix,
    accepts,
    // Reads files when they are asked for: they may be built anew while the server runs.
    send: sirv(directory, { dev: true, extensions: [], setHeaders: nameType }),
  }));
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    for (const [name, value] of Object.entries(all)) response.setHeader(name, value);
    if (!isOwnName(request.headers.host, host)) return refuse(response, 403, "unknown host");
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("Allow", "GET, HEAD");
      return refuse(response, 405, "GET and HEAD only");
    }
    const asked = (request.url ?? "").split(/[?#]/, 1)[0];
    const path = asked === "/" ? index : asked;
    const content = contents.get(path);
    if (content !== undefined) {
      response.setHeader("Content-Type", content.type);
      return response.end(request.method === "HEAD" ? undefined : content.bytes);
    }
    destroyUnfinished(response);
    if (!isSimpleRange(request.headers.range)) delete request.headers.range;
    const candidates = folders.filter(
      ({ prefix, accepts }) => path.startsWith(prefix) && isPlain(path) && accepts(path),
    );
    const next = (i: number) => {
      if (i === candidates.length) return refuse(response, 404, "not found");
      const { prefix, send } = candidates[i];
      request.url = path.slice(prefix.length - 1);
      send(request, response, () => next(i + 1));
    };
    return next(0);
  };
  const server = createServer((request, response) => {
    try {
      answer(request, response);
    } catch {
      // A file that cannot be read, or went away in between.
      if (response.headersSent) response.destroy();
      else refuse(response, 500, "it cannot be read");
    }
  });
  await listen(server, port, host);
  const address = server.address() as AddressInfo;
  const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return {
    url: `http://${name}:${address.port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Whether other machines can reach an address that a server listens on. */
export function isPublicAddress(host: string): boolean {
  return !(host === "localhost" || host === "::1" || /^127(\.\d+){3}$/.test(host));
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject).listen(port, host, resolve);
  });
}

/**
 * Whether a request was sent to this machine by a name of its own. Another name that leads here is an attempt to read
 * across origins (DNS rebinding); it needs a name, so that addresses are all right.
 */
function isOwnName(header: string | undefined, host: string): boolean {
  const name = /^(\[[\da-f:.]+\]|[^:[\]]*)(:\d+)?$/i.exec(header ?? "")?.[1].toLowerCase();
  if (!name) return false;
  if (isIP(name.replace(/^\[|\]$/g, "")) !== 0 || name === "localhost" || name.endsWith(".localhost"))
    return true;
  const own = hostname().toLowerCase();
  return [host.toLowerCase(), own, `${own}.local`].includes(name);
}

/** No hidden file, no way up, nothing encoded: no file that is served needs that. */
function isPlain(path: string): boolean {
  return /^(\/[\w@+~-][\w@+~.-]*)*\/?$/.test(path);
}

/** sirv reads ranges from a first byte on; what else a request asks for may be answered by the whole file (RFC 9110, 14.2). */
function isSimpleRange(range: string | undefined): boolean {
  const match = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(range ?? "");
  return match !== null && (match[2] === "" || (Number(match[2]) >= Number(match[1]) && match[2] !== "0"));
}

/** A download that is given up, or a file that cannot be read any more, closes the file. */
function destroyUnfinished(response: ServerResponse): void {
  response.on("pipe", (source: NodeJS.ReadableStream & { destroy(): void }) => {
    response.once("close", () => source.destroy());
    source.once("error", () => response.destroy());
  });
}

/** Names without a type are bytes. */
function nameType(response: ServerResponse, path: string): void {
  if (!/\.\w+$/.test(path) || path.endsWith(".gz"))
    response.setHeader("Content-Type", "application/octet-stream");
}

function refuse(response: ServerResponse, status: number, reason: string): void {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" });
  response.end(`${reason}\n`);
}
