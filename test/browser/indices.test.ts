/** Bad labels and indices on WebGL2, where a run fails long after it was enqueued: the same programs as in Node. */
import { afterAll, describe, expect, it } from "vitest";
import { openBrowser } from "./open.js";

const browser = await openBrowser("swiftshader");
describe.skipIf(typeof browser === "string")("swiftshader", () => {
  if (typeof browser === "string") return;
  const page = browser.openPage();
  afterAll(() => browser.close());

  it("kernels over nothing fill their outputs", async () => {
    const { count, wrong } = await (await page).evaluate(() => globalThis.wattgradPage.runEmptyCalls());
    expect(wrong).toEqual([]);
    expect(count).toBeGreaterThan(100);
  });

  for (const [name, options] of Object.entries({
    floats: {},
    "bits, in narrow textures": { storage: "rgba32ui", textureLimit: 64 },
  } as const)) {
    it(`are told by what depends on them alone: ${name}`, async () => {
      const found = await (await page).evaluate((o) => globalThis.wattgradPage.runIndexPrograms(o), options);
      for (const [program, wrong] of Object.entries(found)) expect(wrong, program).toEqual([]);
      expect(Object.keys(found).length).toBeGreaterThan(8);
    });
  }
});
