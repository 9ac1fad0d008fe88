/** wattgrad in pages: training on the main thread and in a worker, with and without cross-origin isolation. */
import { readFileSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "puppeteer";
import { afterAll, describe, expect, it } from "vitest";
import { serve } from "../../src/cli/browser/serve.js";
import { deviceNames } from "../../src/device/select.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { reference } from "../devices.js";
import { type OpenBrowser, openBrowser } from "./open.js";
import { trainMlp } from "./pages/train.js";

/** Of losses between devices: what DESIGN.md promises for curves. */
const curveTolerance = 1e-3;

const root = fileURLToPath(new URL("../..", import.meta.url));
const expected = await trainMlp(reference);

describe.each(["swiftshader", "firefox"] as const)("pages on %s", async (driver) => {
  const browser = await openBrowser(driver);
  if (typeof browser === "string") {
    it.skip(browser);
    return;
  }
  afterAll(() => browser.close());
  pageTests(browser);
});

function pageTests(browser: OpenBrowser): void {
  const places = {
    "on the page": (page: Page, name: "wasm" | "webgl") =>
      page.evaluate((device) => globalThis.wattgradPage.trainOnPage(device), name),
    "in a worker": (page: Page, name: "wasm" | "webgl") =>
      page.evaluate((device) => globalThis.wattgradPage.trainInWorker(device), name),
  };

  describe.each([true, false])("cross-origin isolated: %s", (isolated) => {
    for (const [place, train] of Object.entries(places)) {
      for (const name of ["wasm", "webgl"] as const) {
        it(`trains ${place} on ${name}`, async () => {
          const page = await browser.openPage((await browser.serveAs({ isolated })).url);
          expect(await page.evaluate(() => crossOriginIsolated)).toBe(isolated);
          const losses = await train(page, name);
          expect(losses.length).toBe(expected.length);
          losses.forEach((loss, step) => {
            expect(Math.abs(loss - expected[step]), `step ${step}`).toBeLessThan(curveTolerance);
          });
          expect(losses.at(-1)!).toBeLessThan(losses[0] / 2);
          await page.close();
        });
      }
    }
  });

  it("wasm-simd computes the same bits as in Node", async () => {
    const page = await browser.openPage();
    const losses = await page.evaluate(() => globalThis.wattgradPage.trainOnSimd());
    const device = await openWasm({ binary: "simd" });
    expect(losses).toEqual(await trainMlp(device));
    device.close();
    await page.close();
  });

  it('openDevice("auto") takes one device and says why not the others', async () => {
    const page = await browser.openPage();
    const { name, description, rejected } = await page.evaluate(() => globalThis.wattgradPage.chooseDevice());
    console.info(
      `auto took ${description}: ${rejected.map((other) => `not ${other.name}, ${other.reason}`).join("; ")}`,
    );
    expect([name, ...rejected.map((other) => other.name)].sort()).toEqual([...deviceNames].sort());
    expect(rejected.filter(({ reason }) => reason === "")).toEqual([]);
    expect(name).not.toBe("reference");
    await page.close();
  });

  it("the README's page, without a bundler, prints its first result", async () => {
    const directory = await mkdtemp(join(tmpdir(), "wattgrad-readme-page-"));
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const [, html] = /^```html\n(.*?)^```$/ms.exec(readme)!;
    await cp(join(root, "dist"), join(directory, "node_modules", "wattgrad", "dist"), { recursive: true });
    await writeFile(join(directory, "index.html"), `<link rel="icon" href="data:,">${html}`);
    const server = await serve(directory, { isolated: false });
    const page = await browser.launched.browser.newPage();
    try {
      const printed = new Promise<string>((resolve, reject) => {
        page.on("console", async (message) => {
          if (message.type() === "error") reject(new Error(message.text()));
          const values = await Promise.all(message.args().map((value) => value.jsonValue()));
          if (message.type() === "log") resolve(JSON.stringify(values));
        });
        page.on("pageerror", reject);
      });
      await page.goto(server.url);
      expect(await printed).toMatch(/^\[\[\[-?\d.*,-?\d.*\]\]\]$/);
    } finally {
      await page.close();
      await server.close();
      await rm(directory, { recursive: true });
    }
  });

  it("no page had an error that it did not catch", () => {
    expect(browser.problems).toEqual([]);
  });
}
