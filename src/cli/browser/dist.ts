/** A headless browser beside a server of dist/: its pages import the same modules that Node runs. */
import { createReadStream, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, resolve, sep } from "node:path";
import type { ProcessorClock } from "../../bench/index.js";
import { DeviceError } from "../../tensor/errors.js";
import { packageRoot } from "../package.js";
import { findChromium } from "./find.js";
import { type LaunchedBrowser, launchBrowser } from "./launch.js";

export type BrowserName = "chromium" | "firefox";

export interface DistBrowser {
  readonly launched: LaunchedBrowser;
  /** An empty page; modules lie beside it. */
  readonly url: string;
  /** Processor time of all of the browser's processes, the one that draws among them; null where it does not tell. */
  readonly clock: ProcessorClock;
  close(): Promise<void>;
}

export interface DistBrowserOptions {
  /** Served beside the modules, by name. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
  /** Their scripts and binaries are served too: folders behind paths such as `/peers/`. */
  readonly folders?: ReadonlyMap<string, string>;
  /** Whether a Chromium is fetched if there is none. Default true. */
  readonly download?: boolean;
}

const types: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};
const html = '<!doctype html><meta charset="utf-8"><title>wattgrad</title><link rel="icon" href="data:,">';
/** Without them a page's clock is coarse. */
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cache-Control": "no-store",
};

/** @throws DeviceError if no browser can be started, with the reason. */
export async function openDistBrowser(
  name: BrowserName,
  { files = new Map(), folders = new Map(), download = true }: DistBrowserOptions = {},
): Promise<DistBrowser> {
  const launched = await launch(name, download);
  try {
    const server = await serveDist(files, folders);
    return {
      launched,
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      clock: await processorClock(launched),
      async close() {
        await launched.close();
        server.close();
        server.closeAllConnections();
      },
    };
  } catch (error) {
    await launched.close();
    throw error;
  }
}

async function launch(name: BrowserName, download: boolean): Promise<LaunchedBrowser> {
  try {
    if (name === "firefox") return await launchBrowser("firefox");
    return await launchBrowser("default", download ? undefined : await findChromium({ download }));
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    const reason = missing ? "puppeteer is not installed (npm install puppeteer)" : (error as Error).message;
    throw new DeviceError(`${name} cannot be started: ${reason}`, { cause: error });
  }
}

async function processorClock({ browser }: LaunchedBrowser): Promise<ProcessorClock> {
  try {
    const session = await browser.target().createCDPSession();
    const read = async () => {
      const { processInfo } = await session.send("SystemInfo.getProcessInfo");
      return processInfo.reduce((sum, { cpuTime }) => sum + 1000 * cpuTime, 0);
    };
    await read();
    return read;
  } catch {
    return () => null;
  }
}

/** The built modules and binaries, an empty page, and what the options name. */
async function serveDist(
  files: ReadonlyMap<string, Uint8Array>,
  folders: ReadonlyMap<string, string>,
): Promise<Server> {
  const roots = new Map([...folders, ["/", join(packageRoot(), "dist")]]);
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const answer = (status: number, type: string) =>
      response.writeHead(status, { ...isolation, "Content-Type": type });
    const given = files.get(pathname.slice(1));
    if (pathname === "/") answer(200, "text/html").end(html);
    else if (given !== undefined) answer(200, "application/octet-stream").end(given);
    else {
      const [prefix, root] = [...roots].find(([start]) => pathname.startsWith(start))!;
      const path = fileIn(root, pathname.slice(prefix.length));
      if (path === undefined) answer(404, "text/plain").end();
      else createReadStream(path).pipe(answer(200, types[extname(path)]));
    }
  });
  await new Promise<void>((done, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", done);
  });
  return server;
}

/** A script or binary below a directory; undefined for everything else. */
function fileIn(directory: string, name: string): string | undefined {
  const path = resolve(directory, decodeURIComponent(name));
  if (!(extname(path) in types) || !path.startsWith(resolve(directory) + sep)) return undefined;
  return statSync(path, { throwIfNoEntry: false })?.isFile() ? path : undefined;
}
