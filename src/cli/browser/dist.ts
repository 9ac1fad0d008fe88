/** A headless browser beside a server of dist/: its pages import the same modules that Node runs. */
import { createReadStream, existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
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
  /** Whether a Chromium is fetched if there is none. Default true. */
  readonly download?: boolean;
}

const types: Readonly<Record<string, string>> = { ".js": "text/javascript", ".wasm": "application/wasm" };
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
  { files = new Map(), download = true }: DistBrowserOptions = {},
): Promise<DistBrowser> {
  const launched = await launch(name, download);
  try {
    const server = await serveDist(files);
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

/** The built modules and binaries, an empty page, and `files`. */
async function serveDist(files: ReadonlyMap<string, Uint8Array>): Promise<Server> {
  const dist = join(packageRoot(), "dist");
  const built = new Set((await readdir(dist)).filter((name) => extname(name) in types));
  const server = createServer((request, response) => {
    const name = (request.url ?? "/").slice(1);
    const given = files.get(name);
    const known = built.has(name) && existsSync(join(dist, name));
    const type = given ? "application/octet-stream" : known ? types[extname(name)] : "text/html";
    response.writeHead(given || known || name === "" ? 200 : 404, { ...isolation, "Content-Type": type });
    if (given) response.end(given);
    else if (known) createReadStream(join(dist, name)).pipe(response);
    else response.end(name === "" ? html : "");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  return server;
}
