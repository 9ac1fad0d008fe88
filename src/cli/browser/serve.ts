/** Serves a directory of built pages to browsers on this machine. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import sirv from "sirv";

export interface ServeOptions {
  /**
   * Sends the headers that make a page cross-origin isolated (COOP and COEP), without which browsers give it neither
   * shared memory nor precise clocks. Default true.
   */
  readonly isolated?: boolean;
  /** Default 0: a free one. */
  readonly port?: number;
}

export interface PageServer {
  /** Ends in a slash, for example `http://127.0.0.1:40521/`. */
  readonly url: string;
  close(): Promise<void>;
}

const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/** Serves `directory` on the loopback interface until closed. */
export async function serve(directory: string, options: ServeOptions = {}): Promise<PageServer> {
  const { isolated = true, port = 0 } = options;
  const headers = { "Cache-Control": "no-store", ...(isolated ? isolation : {}) };
  const files = sirv(directory, {
    // Reads files when they are asked for: they may be built anew while the server runs.
    dev: true,
    setHeaders: (response) => {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    },
  });
  const server = createServer((request, response) => {
    files(request, response, () => {
      response.writeHead(404).end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
}
