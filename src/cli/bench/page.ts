/** Runs the cases in a headless browser: the same modules of dist/ that Node runs. */
import { createReadStream, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, resolve, sep } from "node:path";
import type { Page } from "puppeteer";
import type { ProcessorClock, RunOptions, RunResult } from "../../bench/index.js";
import { DeviceError } from "../../tensor/errors.js";
import { type LaunchedBrowser, launchBrowser, rendererOf } from "../browser/launch.js";
import { packageRoot } from "../package.js";
import type { ColdStart } from "./coldstart.js";
import type { ChosenPeers, InstalledPeers } from "./peers/install.js";

export interface BrowserRun {
  readonly result: RunResult;
  readonly version: string;
  readonly renderer: string | null;
  /** From the start of navigation to the first result, one per new page. */
  readonly starts: Readonly<Record<string, readonly ColdStart[]>>;
}

const types: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};
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
  peers: ChosenPeers | undefined,
): Promise<BrowserRun> {
  const launched = await launch(browserName);
  const server = await serveDist(peers?.installed.directory);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  try {
    const page = await launched.browser.newPage();
    await page.goto(url);
    const renderer = (await rendererOf(page)) ?? null;
    const clock = await processorClock(launched);
    await page.exposeFunction("processorTime", clock);
    const result = await runInPage(page, launched, options, browserName, peers);
    await page.close();
    const starts: Record<string, ColdStart[]> = {};
    for (let i = 0; i < coldStarts; i++) {
      for (const device of options.devices) {
        if (!(device in result.devices)) continue;
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

/** What the page is told about other libraries. */
interface PagePeers {
  readonly base: string;
  readonly backends: readonly string[];
  readonly versions: InstalledPeers["versions"];
  readonly threads: number;
}

interface Outcome {
  readonly result?: RunResult;
  readonly failure?: string;
}

/** Not awaited inside the page: a call of it may not last longer than the protocol's timeout. */
async function runInPage(
  page: Page,
  { browser }: LaunchedBrowser,
  options: RunOptions,
  where: string,
  chosen: ChosenPeers | undefined,
): Promise<RunResult> {
  const ended = new Promise<never>((_, reject) => {
    page.once("error", (error) =>
      reject(new DeviceError(`the page of the benchmark crashed: ${error.message}`)),
    );
    browser.once("disconnected", () => reject(new DeviceError(`${where} ended before the benchmark did`)));
  });
  let done: (outcome: Outcome) => void;
  const outcome = new Promise<Outcome>((resolve) => {
    done = resolve;
  });
  await page.exposeFunction("benchmarkDone", (found: Outcome) => done(found));
  const peers: PagePeers | null = chosen
    ? {
        base: peersPath,
        backends: options.devices.filter((name) => name !== "reference"),
        versions: chosen.installed.versions,
        threads: chosen.threads,
      }
    : null;
  await page.evaluate(
    (run: RunOptions, place: string, others: PagePeers | null) => {
      const { processorTime, benchmarkDone } = globalThis as unknown as {
        processorTime: ProcessorClock;
        benchmarkDone(found: Outcome): void;
      };
      const [own, foreign] = ["/bench.js", "/bench_peers.js"];
      const measure = async () => {
        const { runCases } = await import(own);
        const surroundings = { processor: processorTime };
        if (others === null) return runCases(run, place, surroundings);
        const { pageLibraries, peersOf } = await import(foreign);
        const libraries = pageLibraries(others.base, others.versions, others.threads);
        return runCases(run, place, { ...surroundings, peers: peersOf(libraries, others.backends) });
      };
      measure().then(
        (result) => benchmarkDone({ result }),
        (error) => benchmarkDone({ failure: String(error?.stack ?? error) }),
      );
    },
    options,
    where,
    peers,
  );
  const { result, failure } = await Promise.race([outcome, ended]);
  if (result === undefined) throw new DeviceError(`the benchmark failed in ${where}: ${failure}`);
  return result;
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

const peersPath = "/peers/";

/** The built modules and binaries, an empty page, and the other libraries' packages behind `peersPath`. */
async function serveDist(peers: string | undefined): Promise<Server> {
  const dist = join(packageRoot(), "dist");
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname === "/") {
      response.writeHead(200, { ...isolation, "Content-Type": "text/html" }).end(html);
      return;
    }
    const isForeign = peers !== undefined && pathname.startsWith(peersPath);
    const path = isForeign
      ? fileIn(join(peers, "node_modules"), pathname.slice(peersPath.length))
      : fileIn(dist, pathname.slice(1));
    if (path === undefined) {
      response.writeHead(404, isolation).end();
      return;
    }
    response.writeHead(200, { ...isolation, "Content-Type": types[extname(path)] });
    createReadStream(path).pipe(response);
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
