/** Runs the cases in a headless browser: the same modules of dist/ that Node runs. */
import { createReadStream, existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import type { ProcessorClock, RunOptions, RunResult } from "../../bench/index.js";
import { DeviceError } from "../../tensor/errors.js";
import { type LaunchedBrowser, launchBrowser, rendererOf } from "../browser/launch.js";
import { packageRoot } from "../package.js";
import type { ColdStart } from "./coldstart.js";

export interface BrowserRun {
  readonly result: RunResult;
  readonly version: string;
  readonly renderer: string | null;
  /** From the start of navigation to the first result, one per new page. */
  readonly starts: Readonly<Record<string, readonly ColdStart[]>>;
}

const types: Readonly<Record<string, string>> = { ".js": "text/javascript", ".wasm": "application/wasm" };
const html =
  '<!doctype html><meta charset="utf-8"><title>wattgrad bench</title><link rel="icon" href="data:,">';
/** Without them a page's clock is coarse. */
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cache-Control": "no-store",
};

/** @throws DeviceError if no browser can be started, with the reason. */
export async function runInBrowser(
  browserName: "chromium" | "firefox",
  options: RunOptions,
  coldStarts: number,
): Promise<BrowserRun> {
  const launched = await launch(browserName);
  const server = await serveDist();
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  try {
    const page = await launched.browser.newPage();
    await page.goto(url);
    const renderer = (await rendererOf(page)) ?? null;
    const clock = await processorClock(launched);
    await page.exposeFunction("processorTime", clock);
    const result = (await page.evaluate(
      async (run: RunOptions, where: string) => {
        const module = "/bench.js";
        const { runCases } = await import(module);
        const { processorTime } = globalThis as unknown as { processorTime: ProcessorClock };
        return runCases(run, where, { processor: processorTime });
      },
      options,
      browserName,
    )) as RunResult;
    await page.close();
    const starts: Record<string, ColdStart[]> = {};
    for (let i = 0; i < coldStarts; i++) {
      for (const device of Object.keys(result.devices)) {
        const before = await clock();
        const ms = await coldStart(launched, url, device);
        const after = await clock();
        const cpuMs = before !== null && after !== null ? after - before : null;
        starts[device] = [...(starts[device] ?? []), { ms, cpuMs }];
      }
    }
    return { result, version: await launched.browser.version(), renderer, starts };
  } finally {
    await launched.close();
    server.close();
    server.closeAllConnections();
  }
}

async function launch(name: "chromium" | "firefox"): Promise<LaunchedBrowser> {
  try {
    return await launchBrowser(name === "firefox" ? "firefox" : "default");
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    const reason = missing ? "puppeteer is not installed (npm install puppeteer)" : String(error);
    throw new DeviceError(`${name} cannot be started: ${reason}`, { cause: error });
  }
}

/** Processor time of all of the browser's processes, the one that draws among them; null where it does not tell. */
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

/** A new page that imports the library, opens a device and reads one sum. */
async function coldStart({ browser }: LaunchedBrowser, url: string, device: string): Promise<number> {
  const page = await browser.newPage();
  try {
    await page.goto(url);
    return await page.evaluate(async (name) => {
      const module = "/index.js";
      const { openDevice, tensor } = await import(module);
      const opened = await openDevice(name);
      await tensor([1, 2], { device: opened }).sum().item();
      return performance.now();
    }, device);
  } finally {
    await page.close();
  }
}

/** The built modules and binaries, and an empty page. */
async function serveDist(): Promise<Server> {
  const dist = join(packageRoot(), "dist");
  const files = new Set((await readdir(dist)).filter((name) => extname(name) in types));
  const server = createServer((request, response) => {
    const name = (request.url ?? "/").slice(1);
    const known = files.has(name) && existsSync(join(dist, name));
    const type = known ? types[extname(name)] : "text/html";
    response.writeHead(known || name === "" ? 200 : 404, { ...isolation, "Content-Type": type });
    if (known) createReadStream(join(dist, name)).pipe(response);
    else response.end(name === "" ? html : "");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  return server;
}
