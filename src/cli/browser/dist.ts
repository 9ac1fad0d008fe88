/** A headless browser beside a server of dist/: its pages import the same modules that Node runs. */
import { join } from "node:path";
import type { ProcessorClock } from "../../bench/index.js";
import { DeviceError } from "../../core/errors.js";
import { type Content, type LocalServer, startLocalServer } from "../../playground/local_server.js";
import { packageRoot } from "../package.js";
import { findChromium } from "./find.js";
import { type LaunchedBrowser, launchBrowser } from "./launch.js";

export type BrowserName = "chromium" | "firefox";

export interface DistBrowser {
  readonly launched: LaunchedBrowser;
  /** URL of an empty page, in the same folder as the modules. */
  readonly url: string;
  /** Processor time of all processes of the browser, including the GPU process; null if it cannot be read. */
  readonly clock: ProcessorClock;
  close(): Promise<void>;
}

export interface DistBrowserOptions {
  /** Served beside the modules, by name. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
  /** Further folders to serve, by path prefix such as `/peers/`. */
  readonly folders?: ReadonlyMap<string, string>;
  /** Whether a Chromium is fetched if there is none. Default true. */
  readonly download?: boolean;
}

const html = '<!doctype html><meta charset="utf-8"><title>wattgrad</title><link rel="icon" href="data:,">';
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
      url: server.url,
      clock: await processorClock(launched),
      async close() {
        await launched.close();
        await server.close();
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

/** Serves the built modules and binaries, an empty page, and the folders in the options. */
function serveDist(
  files: ReadonlyMap<string, Uint8Array>,
  folders: ReadonlyMap<string, string>,
): Promise<LocalServer> {
  const accepts = (path: string) => /\.(m?js|wasm)$/.test(path);
  const roots: [string, string][] = [...folders, ["/", join(packageRoot(), "dist")]];
  return startLocalServer({
    routes: roots.map(([prefix, directory]) => [prefix, { directory, accepts }]),
    contents: new Map<string, Content>([
      ["/", { type: "text/html; charset=utf-8", bytes: html }],
      ...[...files].map(
        ([name, bytes]) => [`/${name}`, { type: "application/octet-stream", bytes }] as const,
      ),
    ]),
  });
}
