/** A server of one directory in memory, that handles ranges correctly or with common faults. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What is wrong with an answer. */
export interface Behaviour {
  /** Answers whole files only. */
  readonly whole?: boolean;
  /** Sends no Content-Length with whole files. */
  readonly chunked?: boolean;
  /** Answers with this status. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Leaves these out. */
  readonly without?: readonly string[];
  /** Breaks off after so many bytes of the body. */
  readonly cutAfter?: number;
  /** Says that it sends another range. */
  readonly shifted?: number;
  /** Sends so many bytes more (less) than asked for. */
  readonly extra?: number;
  /** Milliseconds before the answer. */
  readonly delay?: number;
  /** Sends the file under another address, with this signature; those with another have expired. */
  readonly signature?: number;
}

export interface RangeServer {
  readonly url: (name: string) => string;
  /** What is sent under a name. */
  readonly files: Map<string, Uint8Array>;
  /** The behaviour from the request with that number on, counted from 0 since the last call. */
  behave(behaviour: Behaviour, from?: number): void;
  /** `path range` of every request since the last call of `behave`. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

export async function openRangeServer(): Promise<RangeServer> {
  const files = new Map<string, Uint8Array>();
  const requests: string[] = [];
  let [behaviour, from]: [Behaviour, number] = [{}, 0];
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? "";
    const own = requests.push(`${path} ${request.headers.range ?? ""}`) > from ? behaviour : {};
    const { signature, status, delay = 0 } = own;
    const [, moved, escaped, given] = /^(\/moved)?\/([^?]*)(?:\?(\d+))?$/.exec(path) ?? [];
    if (signature !== undefined && moved === undefined) {
      response.writeHead(302, { location: `/moved${path}?${signature}` }).end();
      return;
    }
    if (signature !== undefined && Number(given) !== signature) {
      response.writeHead(403).end("expired");
      return;
    }
    const name = decodeURIComponent(escaped ?? "");
    const file = files.get(name);
    setTimeout(() => {
      if (status !== undefined || file === undefined)
        response.writeHead(status ?? 404, own.headers).end("no");
      else send(file, request.headers.range, own, response);
    }, delay);
  };
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: (name) => `http://127.0.0.1:${port}/${encodeURIComponent(name)}`,
    files,
    requests,
    behave(next, start = 0) {
      [behaviour, from] = [next, start];
      requests.length = 0;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function send(file: Uint8Array, range: string | undefined, own: Behaviour, response: ServerResponse): void {
  const { whole, chunked, extra = 0, shifted = 0, cutAfter, without = [] } = own;
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
  const isPart = first !== undefined && !whole;
  if (isPart && Number(first) >= file.length) {
    response.writeHead(416, { "content-range": `bytes */${file.length}` }).end();
    return;
  }
  const begin = isPart ? Number(first) : 0;
  const end = isPart ? Math.min(Number(last) + 1, file.length) : file.length;
  const body = new Uint8Array(Math.max(0, end - begin + extra));
  body.set(file.subarray(begin, Math.min(end + Math.max(extra, 0), begin + body.length)));
  const headers: Record<string, string> = { etag: '"1"', "last-modified": "Mon, 30 Nov 2026 08:00:00 GMT" };
  if (isPart) headers["content-range"] = `bytes ${begin + shifted}-${end + shifted - 1}/${file.length}`;
  if (!chunked) headers["content-length"] = String(cutAfter === undefined ? body.length : end - begin);
  Object.assign(headers, own.headers);
  for (const name of without) delete headers[name];
  response.writeHead(isPart ? 206 : 200, headers);
  if (cutAfter === undefined) response.end(body);
  else response.write(body.subarray(0, cutAfter), () => response.destroy());
}
