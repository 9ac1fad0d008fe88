/** Serves a directory of built pages to browsers on this machine. */
import { type LocalServer, startLocalServer } from "../../playground/local_server.js";

export interface ServeOptions {
  /**
   * Sends the headers that make a page cross-origin isolated (COOP and COEP), without which browsers give it neither
   * shared memory nor precise clocks. Default true.
   */
  readonly isolated?: boolean;
  /** Default 0: a free one. */
  readonly port?: number;
}

export type PageServer = LocalServer;

const notIsolated = {
  "Cross-Origin-Opener-Policy": "unsafe-none",
  "Cross-Origin-Embedder-Policy": "unsafe-none",
};

/** Serves `directory` on the loopback interface until closed. */
export function serve(directory: string, options: ServeOptions = {}): Promise<PageServer> {
  const { isolated = true, port = 0 } = options;
  return startLocalServer({
    routes: [["/", { directory }]],
    index: "/index.html",
    headers: isolated ? {} : notIsolated,
    port,
  });
}
