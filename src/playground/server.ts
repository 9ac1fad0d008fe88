/**
 * Serves the playground from Node: the page's bundle, the wasm binaries and the shipped images, and nothing else. The
 * page is isolated from other origins (COOP and COEP), so that it may use threads and exact clocks.
 */
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { FileError, reasonOf } from "../formats/file.js";

export interface PlaygroundOptions {
  /** wattgrad's own directory, with `dist` and the shipped images. */
  readonly root: string;
  /** 0 takes any that is free. */
  readonly port: number;
  /** The address to listen on. */
  readonly host: string;
}

export interface Playground {
  readonly url: string;
  /** Ends every connection. */
  close(): Promise<void>;
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};

const headers: Readonly<Record<string, string>> = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data:; base-uri 'none'",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-cache",
};

const binaries = ["simd.wasm", "relaxed.wasm"];
const dataPath = ["test", "data", "mnist"];

/** @throws FileError if the page was not built, or the port cannot be had. */
export async function startPlayground({ root, port, host }: PlaygroundOptions): Promise<Playground> {
  const files = await filesByPath(root);
  const server = createServer((request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(response, 405);
    const path = (request.url ?? "").split("?", 1)[0];
    const file = files.get(path);
    if (file === undefined) return refuse(response, 404);
    const type = types[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { ...headers, "Content-Type": type });
    if (request.method === "HEAD") return response.end();
    createReadStream(file)
      .on("error", () => response.destroy())
      .pipe(response);
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

/** Every path that is answered; a request chooses from these and names no file. */
async function filesByPath(root: string): Promise<Map<string, string>> {
  const page = join(root, "dist", "playground");
  const data = join(root, ...dataPath);
  const files = new Map<string, string>();
  for (const name of await namesIn(page)) files.set(`/${name}`, join(page, name));
  for (const name of binaries) files.set(`/${name}`, join(root, "dist", name));
  for (const name of await namesIn(data)) {
    if (name.endsWith(".gz")) files.set(`/mnist/${name}`, join(data, name));
  }
  files.set("/", join(page, "index.html"));
  return files;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    throw new FileError(`the playground is incomplete, cannot read ${directory}: ${reasonOf(error)}`, {
      hint: "npm run build makes it",
      cause: error,
    });
  }
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, { ...headers, "Content-Type": types[".txt"] });
  response.end(status === 404 ? "not found\n" : "GET and HEAD only\n");
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(error, port, host)));
    server.listen(port, host, resolve);
  });
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
