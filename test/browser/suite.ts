/** Every case on devices inside a browser: one test per case and device, run in the page in batches. */
import type { Page } from "puppeteer";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Driver } from "../../src/cli/browser/launch.js";
import { themes } from "../cases/index.js";
import { type OpenBrowser, openBrowser } from "./open.js";
import type { Gradients, Outcome } from "./pages/cases.js";
import type { DeviceLabel } from "./pages/devices.js";

/** Milliseconds of work per round trip to the page. */
const batch = 1000;

/** Milliseconds for all cases of a theme; a software rasteriser shares the processor with other suites. */
const longestTheme = 600_000;

/**
 * Defines the tests of `devices` in the browser with that driver, of all themes or `only` some; or a skipped one with the
 * reason. Values are compared for every case, gradients for every case or for the first one of each op: gradients are
 * made of the same kernels, so that a device that differs from a fully tested one in its storage or driver only is
 * tested by fewer.
 */
export async function caseSuite(
  driver: Exclude<Driver, "default">,
  devices: Readonly<Partial<Record<DeviceLabel, Gradients>>>,
  only: readonly string[] = Object.keys(themes),
): Promise<void> {
  const browser = await openBrowser(driver);
  if (typeof browser === "string") {
    it.skip(`the cases on ${driver}: ${browser}`);
    return;
  }
  const cases = new CasePage(browser);
  afterAll(() => browser.close());

  // Devices within themes: the page keeps the reference's results for one theme.
  for (const theme of only) {
    const entries = themes[theme];
    for (const [label, gradients] of Object.entries(devices) as [DeviceLabel, Gradients][]) {
      describe(`${driver}, ${label}: ${theme}`, () => {
        const outcomes = new Map<string, Outcome>();
        beforeAll(async () => {
          for (const outcome of await cases.run(label, theme, entries.length, gradients)) {
            outcomes.set(outcome.name, outcome);
          }
        }, longestTheme);

        for (const { name } of entries) {
          it(name, () => {
            const outcome = outcomes.get(name);
            if (outcome === undefined) throw new Error(`the page did not get to it: ${cases.failure}`);
            if (outcome.error !== undefined) throw new Error(outcome.error);
          });
        }
      });
    }
  }

  it(`${driver}: nothing but the cases fails`, () => {
    expect(browser.problems).toEqual([]);
  });
}

class CasePage {
  /** Why the last theme was not run to its end. */
  failure = "";
  #page: Page | undefined;

  constructor(readonly browser: OpenBrowser) {}

  /** The outcomes of a theme; fewer than `count` if the page crashed, which the next theme gets a new one for. */
  async run(label: DeviceLabel, theme: string, count: number, gradients: Gradients): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    try {
      this.#page ??= await this.browser.openPage();
      while (outcomes.length < count) {
        outcomes.push(
          ...(await this.#page.evaluate(
            (...request) => globalThis.wattgradPage.runCases(...request),
            label,
            theme,
            outcomes.length,
            batch,
            gradients,
          )),
        );
      }
    } catch (error) {
      this.failure = String(error);
      await this.#page?.close().catch(() => {});
      this.#page = undefined;
    }
    return outcomes;
  }
}
