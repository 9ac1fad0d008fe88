/** The sweep against PyTorch on the WebGL device (in Node: ../sweep.test.ts). */
import { afterAll, describe, expect, it } from "vitest";
import { sweep } from "../sweep/index.js";
import { Sweep } from "../sweep/report.js";
import { openBrowser } from "./open.js";
import type { DeviceLabel } from "./pages/devices.js";

/** Milliseconds of work per round trip to the page. */
const batch = 1000;
/** Milliseconds for a theme on a busy machine. */
const longestTheme = 300_000;

/** SwiftShader, which takes several times as long, gets the themes whose shaders differ most. */
const themes = { llvmpipe: Object.keys(sweep), swiftshader: ["elementwise", "kernels"] } as const;

const label: DeviceLabel = "webgl";
const found = new Sweep();
const drivers: string[] = [];
for (const driver of ["llvmpipe", "swiftshader"] as const) {
  const browser = await openBrowser(driver);
  if (typeof browser === "string") {
    it.skip(`the sweep on ${driver}: ${browser}`);
    continue;
  }
  drivers.push(driver);
  describe(`${driver} against PyTorch`, () => {
    afterAll(() => browser.close());
    const page = browser.openPage();

    async function computeAll(theme: string): Promise<void> {
      const probes = sweep[theme];
      for (let done = 0; done < probes.length; ) {
        const computed = await (await page).evaluate(
          (...request) => globalThis.wattgradPage.runSweep(...request),
          label,
          theme,
          done,
          batch,
        );
        for (const [i, { dtype, numbers }] of computed.entries()) {
          const bytes = Uint8Array.from(Buffer.from(numbers, "base64"));
          found.add(probes[done + i], driver, "webgl", { dtype, numbers: new Float64Array(bytes.buffer) });
        }
        done += computed.length;
      }
    }

    for (const theme of themes[driver]) {
      it(
        theme,
        async () => {
          await computeAll(theme);
          expect(found.takeUnexplained()).toEqual([]);
        },
        longestTheme,
      );
    }

    it("differs for the listed reasons only", () => {
      console.info(found.summary(driver));
    });
  });
}

it("every difference that is listed for WebGL occurs", () => {
  if (drivers.includes("llvmpipe")) expect(found.unused("webgl")).toEqual([]);
});
