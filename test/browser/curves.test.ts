/** Loss curves in the browser: within 1e-3 of PyTorch's, step by step, for every storage of floats (curves.ts). */
import { afterAll, describe, expect, it } from "vitest";
import { type CurveFixture, curveTolerance, largestDeviation } from "../curves.js";
import fixture from "../fixtures/curves.json" with { type: "json" };
import { openBrowser } from "./open.js";
import type { CurveOutcome } from "./pages/curves.js";
import type { DeviceLabel } from "./pages/devices.js";

const { curves } = fixture as unknown as CurveFixture;
const labels: readonly DeviceLabel[] = ["webgl", "webgl-bits"];

/** Milliseconds for 100 steps of the full-size network on a software rasteriser that others use as well. */
const longest = 600_000;

const browser = await openBrowser("swiftshader");
if (typeof browser === "string") {
  it.skip(`loss curves in the browser: ${browser}`);
} else {
  afterAll(() => browser.close());
  const page = await browser.openPage();

  for (const label of labels) {
    describe(`loss curves on ${label}`, () => {
      for (const curve of curves) {
        const runs: CurveOutcome[] = [];
        // The full-size network once: its small sister has every kernel of it.
        const ways = curve.name === "cnn" ? [true] : [false, true];
        for (const captured of ways) {
          it(
            `${curve.name} with ${curve.optimizer} ${captured ? "through jit" : "by a plain loop"}`,
            async () => {
              const outcome = await page.evaluate(
                (...request) => globalThis.wattgradPage.followCurve(...request),
                label,
                curve.name,
                captured,
              );
              expect(outcome.losses.length).toBe(curve.losses.length);
              expect(largestDeviation(outcome.losses, curve)).toBeLessThanOrEqual(curveTolerance.float32);
              expect(outcome.bufferDeviation).toBeLessThanOrEqual(curveTolerance.float32);
              runs.push(outcome);
            },
            longest,
          );
        }

        if (ways.length < 2) continue;
        it(`${curve.name}: the same bits either way`, () => {
          expect(runs.length).toBe(2);
          expect(runs[1]).toEqual(runs[0]);
        });
      }
    });
  }

  it("curves: no error but those of the tests", () => {
    expect(browser.problems).toEqual([]);
  });
}
