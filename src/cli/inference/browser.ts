/** Trained models in a page of a headless browser: the same modules of dist/ that Node runs, with the same files. */
import type { Page } from "puppeteer";
import type { Mnist } from "../../data/index.js";
import type { DeviceName } from "../../device/select.js";
import { type EnergyFigure, type EnergyMeter, type EnergyWindow, openMeter } from "../../energy/index.js";
import {
  type EvaluateFileOptions,
  type FileEvaluation,
  type HostMeter,
  type InferenceRun,
  type ModelToRun,
  packImages,
} from "../../inference/index.js";
import {
  type BrowserName,
  type DistBrowser,
  type DistBrowserOptions,
  openDistBrowser,
} from "../browser/dist.js";
import { rendererOf } from "../browser/launch.js";

export interface BrowserInferenceRun extends InferenceRun {
  readonly version: string;
  /** The WebGL renderer string. */
  readonly renderer: string | null;
}

/** Choice of the energy source, as for `openMeter`. */
export interface EnergyChoice {
  readonly command?: string;
  readonly cpuWatts?: number;
}

const module = "/inference.js";
const imagesName = "images";
const modelName = (index: number) => `model-${index}`;

/** @throws DeviceError if the browser cannot be started; errors of `runModels`. */
export async function runModelsInBrowser(
  browser: BrowserName,
  models: readonly ModelToRun[],
  test: Mnist,
  devices: readonly DeviceName[],
  energy: EnergyChoice,
  onProgress: (next: string) => void,
): Promise<BrowserInferenceRun> {
  const files = models.map(({ file }) => file);
  // The user has not named this browser, so it is not downloaded.
  return inPage(browser, files, test, { download: false }, async (page, { launched, clock }) => {
    const renderer = (await rendererOf(page)) ?? null;
    const meters = (await clock()) === null ? undefined : new HostMeters(energy, clock);
    try {
      await meters?.expose(page);
      await page.exposeFunction("onProgress", onProgress);
      const run = await page.evaluate(
        async (path: string, labels: string[], names: DeviceName[], where: string, isMetered: boolean) => {
          const { meterOf, runModels, unpackImages } = await import(path);
          const read = async (name: string) => new Uint8Array(await (await fetch(name)).arrayBuffer());
          const given = [];
          for (const [i, label] of labels.entries()) given.push({ label, file: await read(`model-${i}`) });
          const host = globalThis as unknown as HostMeter & { onProgress(next: string): void };
          return runModels(given, unpackImages(await read("images")), names, where, {
            onProgress: host.onProgress,
            ...(isMetered && { openMeter: meterOf(host) }),
          });
        },
        module,
        models.map(({ label }) => label),
        [...devices],
        browser,
        meters !== undefined,
      );
      return { ...(run as InferenceRun), version: await launched.browser.version(), renderer };
    } finally {
      meters?.close();
    }
  });
}

/** @throws DeviceError if the browser cannot be started; errors of `evaluateFile`. */
export async function evaluateInBrowser(
  browser: BrowserName,
  file: Uint8Array,
  test: Mnist,
  options: EvaluateFileOptions,
): Promise<FileEvaluation> {
  return inPage(browser, [file], test, {}, (page) =>
    page.evaluate(
      async (path: string, given: EvaluateFileOptions) => {
        const { evaluateFile, unpackImages } = await import(path);
        const read = async (name: string) => new Uint8Array(await (await fetch(name)).arrayBuffer());
        return evaluateFile(await read("model-0"), unpackImages(await read("images")), given);
      },
      module,
      options,
    ),
  );
}

/** Gives `fn` an empty page beside the modules, the models and the images. */
async function inPage<T>(
  browser: BrowserName,
  models: readonly Uint8Array[],
  test: Mnist,
  options: Pick<DistBrowserOptions, "download">,
  fn: (page: Page, browser: DistBrowser) => Promise<T>,
): Promise<T> {
  const files = new Map([
    [imagesName, packImages(test)],
    ...models.map((file, i) => [modelName(i), file] as const),
  ]);
  const opened = await openDistBrowser(browser, { ...options, files });
  try {
    const page = await opened.launched.browser.newPage();
    await page.goto(opened.url);
    return await fn(page, opened);
  } catch (error) {
    // The lines after the first are the stack in the page.
    throw new Error((error as Error).message.split("\n")[0], { cause: error });
  } finally {
    await opened.close();
  }
}

/** Meters of this process that count the browser's processor time; one more where a GPU does the work. */
class HostMeters {
  readonly #choice: EnergyChoice;
  readonly #processorTime: () => Promise<number>;
  readonly #meters = new Map<boolean, EnergyMeter>();
  readonly #intervals: EnergyWindow[] = [];

  constructor(choice: EnergyChoice, clock: DistBrowser["clock"]) {
    this.#choice = choice;
    this.#processorTime = async () => (await clock())! / 1000;
  }

  async expose(page: Page): Promise<void> {
    const host: HostMeter = {
      beginEnergy: async (gpu) => this.#intervals.push(await (await this.#meter(gpu)).begin()) - 1,
      readEnergy: (interval): Promise<EnergyFigure> => this.#intervals[interval].read(),
    };
    await page.exposeFunction("beginEnergy", host.beginEnergy);
    await page.exposeFunction("readEnergy", host.readEnergy);
  }

  async #meter(gpu: boolean): Promise<EnergyMeter> {
    let meter = this.#meters.get(gpu);
    if (meter === undefined) {
      meter = await openMeter({ ...this.#choice, gpu, processorTime: this.#processorTime });
      this.#meters.set(gpu, meter);
    }
    return meter;
  }

  close(): void {
    for (const meter of this.#meters.values()) meter.close();
  }
}
