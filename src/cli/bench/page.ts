/** Runs the cases in a headless browser: the same modules of dist/ that Node runs. */
import type { ProcessorClock, RunOptions, RunResult } from "../../bench/index.js";
import { openDistBrowser } from "../browser/dist.js";
import { type LaunchedBrowser, rendererOf } from "../browser/launch.js";
import type { ColdStart } from "./coldstart.js";

export interface BrowserRun {
  readonly result: RunResult;
  readonly version: string;
  readonly renderer: string | null;
  /** From the start of navigation to the first result, one per new page. */
  readonly starts: Readonly<Record<string, readonly ColdStart[]>>;
}

/** @throws DeviceError if no browser can be started, with the reason. */
export async function runInBrowser(
  browserName: "chromium" | "firefox",
  options: RunOptions,
  coldStarts: number,
): Promise<BrowserRun> {
  const { launched, url, clock, close } = await openDistBrowser(browserName);
  try {
    const page = await launched.browser.newPage();
    await page.goto(url);
    const renderer = (await rendererOf(page)) ?? null;
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
    await close();
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
