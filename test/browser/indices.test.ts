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

  const [floats, bits] = [{}, { storage: "rgba32ui", textureLimit: 64 } as const];
  for (const [name, theme, options] of [
    ["are told by what depends on them alone: floats", "index", floats],
    ["are told by what depends on them alone: bits, in narrow textures", "index", bits],
    ["parts are written where they are: floats", "write", floats],
    ["parts are written where they are: bits, in narrow textures", "write", bits],
    ["parts are written where they are: halves", "write", { storage: "rgba16f" }],
    ["tokens are decoded with a cache: floats", "decode", floats],
    ["tokens are decoded with a cache: bits, in narrow textures", "decode", bits],
    ["tokens are decoded with a cache: halves", "decode", { storage: "rgba16f" }],
  ] as const) {
    it(name, async () => {
      const found = await (await page).evaluate(
        (...given) => globalThis.wattgradPage.runIndexPrograms(...given),
        theme,
        options,
      );
      for (const [program, wrong] of Object.entries(found)) expect(wrong, program).toEqual([]);
      expect(Object.keys(found).length).toBeGreaterThan(2);
    });
  }
});
