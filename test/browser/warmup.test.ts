/** Warm-up compiles shaders before the first run without blocking the page, with and without parallel compilation. */
import { afterAll, describe, expect, it } from "vitest";
import { openBrowser } from "./open.js";

describe.each([
  ["swiftshader", false],
  ["llvmpipe", true],
] as const)("warm-up on %s", async (driver, isParallel) => {
  const browser = await openBrowser(driver);
  if (typeof browser === "string") {
    it.skip(browser);
    return;
  }
  afterAll(() => browser.close());
  const page = await browser.openPage();

  it("compiles all that a step and a read need, turn by turn, and changes no result", async () => {
    const cold = await page.evaluate(() => globalThis.wattgradPage.warmup.steps(false));
    const warm = await page.evaluate(() => globalThis.wattgradPage.warmup.steps(true));
    expect(warm.parallel).toBe(isParallel);
    expect([cold.told, cold.late > 5]).toEqual([[], true]);
    expect(warm.late).toBe(0);
    expect(warm.lateReading).toBe(0);
    expect(warm.turns).toBeGreaterThan(0);
    const [, all] = warm.told[0];
    expect(all).toBeGreaterThan(5);
    expect(warm.told[0]).toEqual([0, all]);
    expect(warm.told.at(-1)).toEqual([all, all]);
    const counts = warm.told.map(([done]) => done);
    expect(counts).toEqual([...new Set(counts)].sort((a, b) => a - b));
    expect(warm.losses).toEqual(cold.losses);
    expect(warm.sum).toEqual(cold.sum);
  });

  it("a context that is lost meanwhile comes back, and fit goes on to the same bits", async () => {
    const undisturbed = await page.evaluate(() => globalThis.wattgradPage.warmup.fitThroughLoss(false));
    const disturbed = await page.evaluate(() => globalThis.wattgradPage.warmup.fitThroughLoss(true));
    expect(undisturbed).toMatchObject({ warmups: 1, restored: 0 });
    expect(disturbed).toMatchObject({ warmups: 3, restored: 2 });
    expect(disturbed.losses).toEqual(undisturbed.losses);
  });

  it("no error but those of the tests", () => {
    expect(browser.problems).toEqual([]);
  });
});
