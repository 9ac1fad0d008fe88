/** `Device.write` and `Device.read` of ranges of a buffer, for every storage of WebGL2 and every installed driver. */
import { afterAll, describe, expect, it } from "vitest";
import { openBrowser } from "./open.js";

for (const driver of ["swiftshader", "llvmpipe", "firefox"] as const) {
  const browser = await openBrowser(driver);
  describe.skipIf(typeof browser === "string")(driver, () => {
    if (typeof browser === "string") return;
    const page = browser.openPage();
    afterAll(() => browser.close());

    for (const label of ["webgl", "webgl-bits", "webgl-half", "webgl-narrow"] as const) {
      it(`write and read take ranges: ${label}`, async () => {
        const wrong = await (await page).evaluate((name) => globalThis.wattgradPage.rangesOn(name), label);
        expect(wrong).toEqual([]);
      });
    }
  });
}
