/** Serves the playground from Node: the page's bundle, the wasm binaries and the shipped images, and nothing else. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { FileError, reasonOf } from "../formats/file.js";
import { type LocalServer, startLocalServer } from "./local_server.js";

export interface PlaygroundOptions {
  /** wattgrad's own directory, with `dist` and the shipped images. */
  readonly root: string;
  /** 0 takes any that is free. */
  readonly port: number;
  /** The address to listen on. */
  readonly host: string;
}

export type Playground = LocalServer;

const headers: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Cache-Control": "no-cache",
};

/** @throws FileError if the page was not built, or the port cannot be had. */
export async function startPlayground({ root, port, host }: PlaygroundOptions): Promise<Playground> {
  const [dist, data] = [join(root, "dist"), join(root, "test", "data", "mnist")];
  const page = join(dist, "playground");
  for (const directory of [page, data]) await requireDirectory(directory);
  const isImages = (path: string) => /^\/mnist\/[^/]+\.gz$/.test(path);
  const isBinary = (path: string) => path === "/simd.wasm" || path === "/relaxed.wasm";
  try {
    return await startLocalServer({
      routes: [
        ["/", { directory: page }],
        ["/", { directory: dist, accepts: isBinary }],
        ["/mnist/", { directory: data, accepts: isImages }],
      ],
      index: "/index.html",
      headers,
      port,
      host,
    });
  } catch (error) {
    throw listenError(error as NodeJS.ErrnoException, port, host);
  }
}

async function requireDirectory(directory: string): Promise<void> {
  try {
    await readdir(directory);
  } catch (error) {
    throw new FileError(`the playground is incomplete, cannot read ${directory}: ${reasonOf(error)}`, {
      hint: "npm run build makes it",
      cause: error,
    });
  }
}

function listenError(error: NodeJS.ErrnoException, port: number, host: string): FileError {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: `port ${port} is in use; choose another with --port, or 0 for any that is free`,
    EACCES: `port ${port} is not allowed here; choose one from 1024 on with --port`,
    EADDRNOTAVAIL: `${host} is not an address of this machine`,
    ENOTFOUND: `${host} is not an address of this machine`,
  };
  return new FileError(reasons[error.code ?? ""] ?? `cannot listen on ${host}: ${reasonOf(error)}`, {
    cause: error,
  });
}
