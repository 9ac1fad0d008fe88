/** WebGL devices from opening to closing: no leaks, constant memory, and typed errors for unsupported contexts. */
import { afterAll, describe, expect, it } from "vitest";
import { openDevice } from "../../src/device/select.js";
import { openBrowser } from "./open.js";

/** Milliseconds for a hundred devices, each of which compiles its shaders anew, or a thousand steps. */
const longest = 300_000;

const browser = await openBrowser("swiftshader");
if (typeof browser === "string") {
  it.skip(`devices in the browser: ${browser}`);
} else {
  afterAll(() => browser.close());
  const page = await browser.openPage();

  it(
    "a hundred devices leave no texture, byte or program",
    async () => {
      const { left, used } = await page.evaluate(() => globalThis.wattgradPage.lifecycle.openAndClose(100));
      expect(left).toEqual([]);
      expect(used.textures).toBeGreaterThan(2);
      expect(used.programs).toBeGreaterThan(1);
    },
    longest,
  );

  it("on a context of the caller no object of any kind is left, and the context stays", async () => {
    const { left, most, isLost, error } = await page.evaluate(() =>
      globalThis.wattgradPage.lifecycle.openAndCloseOn(10),
    );
    expect(most).toBeGreaterThan(10);
    for (const objects of left) expect(Object.values(objects).filter((count) => count !== 0)).toEqual([]);
    expect(left.length).toBe(10);
    expect(isLost).toBe(false);
    expect(error).toBe(0);
  });

  for (const way of ["fit", "loop", "jit"] as const) {
    it(
      `memory after 1,000 steps is what it was after 24: ${way}`,
      async () => {
        const { seen, framebuffers, packBuffers, fences } = await page.evaluate(
          (kind) => globalThis.wattgradPage.lifecycle.trainLong(1000, kind),
          way,
        );
        expect(seen.length).toBe(2);
        expect(seen[1]).toEqual(seen[0]);
        expect(framebuffers).toBeLessThanOrEqual(256);
        expect({ packBuffers, fences }).toEqual({ packBuffers: 0, fences: 0 });
      },
      longest,
    );
  }

  it("on wasm timers fire during a loop, and garbage gives its memory back", async () => {
    const { ticks, sums } = await page.evaluate(() => globalThis.wattgradPage.lifecycle.loopOnThisThread());
    expect(ticks).toBeGreaterThan(0);
    expect(sums).toEqual([2]);
  });

  it("a jitted function runs on when its executable was evicted", async () => {
    const { before, executables, after } = await page.evaluate(() =>
      globalThis.wattgradPage.lifecycle.evict(),
    );
    expect(executables).toBe(0);
    expect(before).toEqual([2, 4]);
    expect(after).toEqual([2, 4]);
  });

  describe("where WebGL2 cannot be had there is a typed error with a way out, and auto takes another device", () => {
    const hindrances = [
      ["no context", "DEVICE", /no WebGL2 context/],
      ["a lost context", "DEVICE", /lost/],
      ["no canvas", "DEVICE", /WebGL2 context/],
      ["inexact textures", "DEVICE", /exact/],
      ["no compiler", "DEVICE", /does not compile/],
    ] as const;
    for (const [hindrance, code, message] of hindrances) {
      it(hindrance, async () => {
        const own = await browser.openPage();
        const { error, auto } = await own.evaluate(
          (kind) => globalThis.wattgradPage.lifecycle.openHindered(kind),
          hindrance,
        );
        await own.close();
        expect(error.code).toBe(code);
        expect(error.message).toMatch(message);
        expect(error.hint).toMatch(/wasm|what works/);
        expect(auto).toEqual({ name: "wasm", sum: [2, 3], reason: expect.stringMatching(message) });
      });
    }

    it("no compiler, and no WebAssembly either: what is left is the reference", async () => {
      const own = await browser.openPage();
      const { auto } = await own.evaluate(() => {
        WebAssembly.validate = () => false;
        return globalThis.wattgradPage.lifecycle.openHindered("no compiler");
      });
      await own.close();
      expect(auto).toEqual({
        name: "reference",
        sum: [2, 3],
        reason: expect.stringMatching(/failed a test product.*does not compile/),
      });
    });
  });

  it("in Node without a context of the caller", async () => {
    await expect(openDevice("webgl")).rejects.toThrow(/no canvas.*`gl`/);
  });

  it("tensors beyond the device are typed errors, and what was there before stays", async () => {
    const found = await page.evaluate(() => globalThis.wattgradPage.lifecycle.outgrow());
    for (const { code, hint } of [found.tooLarge, found.beyond, found.driver]) {
      expect(code).toBe("OUT_OF_MEMORY");
      expect(hint).toMatch(/smaller batches/);
    }
    expect(found.stillThere).toEqual([2, 3, 4]);
    expect(found.afterFree.code).toBe("none");
    expect(found.leaked).toBe(0);
    expect(found.works).toEqual([2]);
  });

  it("a context whose owner draws on it as well computes the same, and is his again", async () => {
    const { results, isLost, error, pixel } = await page.evaluate(() =>
      globalThis.wattgradPage.lifecycle.shareContext(),
    );
    const values = Array.from({ length: 70 }, (_, i) => i - 20);
    const sums = Array.from({ length: 7 }, (_, row) =>
      values.slice(row * 10, row * 10 + 10).reduce((sum, value) => sum + value, 0),
    );
    expect(results).toEqual([sums.map((sum) => 2 * sum), values, [sums[1], sums[3], sums[1]]]);
    expect({ isLost, error, pixel }).toEqual({ isLost: false, error: 0, pixel: [64, 128, 191, 255] });
  });

  it("devices in the browser: no error but those of the tests", () => {
    expect(browser.problems).toEqual([]);
  });
}
