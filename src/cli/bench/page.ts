/** Runs the cases in a headless browser: the same modules of dist/ that Node runs. */
import { join } from "node:path";
import type { Page } from "puppeteer";
import type { ProcessorClock, RunOptions, RunResult } from "../../bench/index.js";
import { DeviceError } from "../../core/errors.js";
import { openDistBrowser } from "../browser/dist.js";
import { type LaunchedBrowser, rendererOf } from "../browser/launch.js";
import type { ColdStart } from "./coldstart.js";
import type { ChosenPeers, InstalledPeers } from "./peers/install.js";

export interface BrowserRun {
  readonly result: RunResult;
  readonly version: string;
  readonly renderer: string | null;
  /** From the start of navigation to the first result, one per new page. */
  readonly starts: Readonly<Record<string, readonly ColdStart[]>>;
}

/** Path prefix of the other libraries. */
const peersPath = "/peers/";

/** @throws DeviceError if no browser can be started, with the reason. */
export async function runInBrowser(
  browserName: "chromium" | "firefox",
  options: RunOptions,
  coldStarts: number,
  peers: ChosenPeers | undefined,
): Promise<BrowserRun> {
  const folders = new Map(peers ? [[peersPath, join(peers.installed.directory, "node_modules")]] : []);
  const { launched, url, clock, close } = await openDistBrowser(browserName, { folders });
  try {
    const page = await launched.browser.newPage();
    await page.goto(url);
    const renderer = (await rendererOf(page)) ?? null;
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
    await close();
  }
}

/** Options of the page for other libraries. */
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
