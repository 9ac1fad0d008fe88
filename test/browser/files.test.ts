/** Weight files in a page: by HTTP ranges, and from Files into devices. */
import { afterAll, describe, expect, it } from "vitest";
import { openBrowser } from "./open.js";

for (const driver of ["swiftshader", "firefox"] as const) {
  const browser = await openBrowser(driver);
  describe.skipIf(typeof browser === "string")(driver, () => {
    if (typeof browser === "string") return;
    const page = browser.openPage();
    afterAll(() => browser.close());

    it("a URL is read by ranges", async () => {
      const found = await (await page).evaluate(() => globalThis.wattgradPage.readByRanges("page.js"));
      expect(found.wrong).toEqual([]);
      expect(found.requests).toBeGreaterThan(0);
      expect(found.requests).toBeLessThanOrEqual(3);
    });

    for (const label of ["webgl", "webgl-half"] as const) {
      it(`a File goes onto ${label} as its user has it`, async () => {
        const found = await (await page).evaluate((l) => globalThis.wattgradPage.throughFile(l), label);
        expect(found).toEqual([
          { name: "weight", stored: "F16", values: Array.from({ length: 15 }, (_, i) => i / 4) },
          { name: "bias", stored: "F16", values: [-1, 0.5, 2] },
        ]);
      });
    }
  });
}
