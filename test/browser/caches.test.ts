/** Downloads of pages and workers from a faulty server: the browser's cache has a verified file, a resumable part, or nothing. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { ModelServer, sha256 } from "../hub/model_server.js";
import { openBrowser } from "./open.js";

const MB = 2 ** 20;
/** Above the size up to which files come as a whole, and more than a part of the Cache API. */
const weights = new Uint8Array(randomBytes(18 * MB + 12_345));
const path = "model.safetensors";
const small = new TextEncoder().encode('{"model_type":"gpt2"}');

for (const driver of ["swiftshader", "firefox"] as const) {
  const browser = await openBrowser(driver);
  describe.skipIf(typeof browser === "string")(driver, async () => {
    if (typeof browser === "string") return;
    const page = await browser.openPage();
    const server = await new ModelServer({ [path]: weights, "config.json": small }).start();
    const { endpoint } = server;
    afterAll(async () => {
      await browser.close();
      await server.stop();
    });
    beforeEach(async () => {
      server.fault = () => ({});
      server.announced = () => ({});
      server.reads.length = 0;
      server.bytesSent = 0;
      await page.evaluate(() => globalThis.wattgradPage.clearStored());
    });

    for (const place of ["a page", "a worker"] as const) {
      describe(place, () => {
        const fetchFile = (options: { path?: string; stopAt?: number; read?: boolean } = {}, where = page) =>
          where.evaluate(
            (given, inWorker) =>
              inWorker
                ? globalThis.wattgradPage.fetchInWorker(given)
                : globalThis.wattgradPage.fetchThrough(given),
            { endpoint, path, ...options },
            place === "a worker",
          );
        const whole = { digest: sha256(weights), error: null, warnings: [] };

        it("a file is downloaded once, small ones too", async () => {
          expect(await fetchFile()).toMatchObject(whole);
          expect(await fetchFile({ path: "config.json" })).toMatchObject({ digest: sha256(small) });
          expect(await fetchFile()).toMatchObject(whole);
          expect(await fetchFile({ path: "config.json" })).toMatchObject({ digest: sha256(small) });
          expect(server.reads).toEqual([
            [path, 0],
            ["config.json", 0],
          ]);
        });

        it("cut at 20 random places, the bytes are the same", async () => {
          const places = Array.from({ length: 20 }, () => Math.floor(Math.random() * weights.length)).sort(
            (a, b) => a - b,
          );
          server.fault = (_, count) => ({ cutAt: places[count] });
          expect(await fetchFile(), `cut at ${places}`).toMatchObject(whole);
          const starts = server.reads.map(([, start]) => start);
          expect(starts).toEqual(starts.toSorted((a, b) => a - b));
          expect(starts.length).toBeGreaterThan(5);
        });

        it("ended by its user, each download goes on where the one before it was", async () => {
          server.fault = () => ({ slow: 1 });
          let before = 0;
          for (let i = 1; i <= 6; i++) {
            const stopAt = Math.floor((i * weights.length) / 7);
            const { error, resumedAt } = await fetchFile({ stopAt });
            expect(error).toMatch("enough");
            expect(resumedAt).toBeGreaterThanOrEqual(before);
            before = stopAt;
          }
          expect(await fetchFile()).toMatchObject(whole);
          const starts = server.reads.map(([, start]) => start);
          expect(new Set(starts).size).toBe(7);
        });

        it("another digest or length than announced: an error, and nothing is kept", async () => {
          const damaged = Uint8Array.from(weights);
          damaged[5 * MB] ^= 1;
          server.fault = () => ({ contents: damaged });
          expect((await fetchFile()).error).toMatch(/^ChecksumError/);
          server.fault = () => ({ contents: small.map((byte) => byte ^ 1) });
          expect((await fetchFile({ path: "config.json" })).error).toMatch(/^ChecksumError/);
          server.fault = () => ({});
          server.announced = () => ({ size: weights.length - 5 });
          expect((await fetchFile()).error).toMatch(/sends more than/);
          server.announced = () => ({});
          expect(await fetchFile()).toMatchObject({ ...whole, resumedAt: 0 });
        });

        it("of two tabs, one downloads", async () => {
          server.fault = () => ({ slow: 1 });
          const other = await browser.openPage();
          const both = await Promise.all([fetchFile(), fetchFile({}, other)]);
          await other.close();
          for (const found of both) expect(found).toMatchObject(whole);
          expect(server.reads.length).toBe(1);
        });

        // The protocol of Chromium can set a quota.
        it.skipIf(driver === "firefox")("a full quota is a warning; the file is read by ranges", async () => {
          const session = await page.createCDPSession();
          const origin = new URL(page.url()).origin;
          await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 6 * MB });
          const { digest, error, warnings } = await fetchFile();
          await session.send("Storage.overrideQuotaForOrigin", { origin });
          await session.detach();
          expect({ digest, error }).toEqual({ digest: whole.digest, error: null });
          expect(warnings).toEqual([expect.stringMatching(/read without a cache: .*model.safetensors/)]);
          server.reads.length = 0;
          expect(await fetchFile()).toMatchObject({ ...whole, resumedAt: 0 });
        });
      });
    }

    it("what a worker has stored is there for a page", async () => {
      const options = { endpoint, path };
      await page.evaluate((given) => globalThis.wattgradPage.fetchInWorker(given), options);
      const found = await page.evaluate((given) => globalThis.wattgradPage.fetchThrough(given), options);
      expect(found.digest).toBe(sha256(weights));
      expect(server.reads.length).toBe(1);
    });

    it("a worker that is killed leaves a part that resumes", async () => {
      server.fault = () => ({ slow: 5 });
      const options = { endpoint, path };
      await page.evaluate((given) => globalThis.wattgradPage.startFetchingWorker(given), options);
      await expect.poll(() => server.bytesSent, { timeout: 20_000 }).toBeGreaterThan(6 * MB);
      await page.evaluate(() => globalThis.wattgradPage.killFetchingWorker());
      server.fault = () => ({});
      const found = await page.evaluate((given) => globalThis.wattgradPage.fetchInWorker(given), options);
      expect(found.digest).toBe(sha256(weights));
      expect(found.resumedAt).toBeGreaterThan(0);
    });
  });
}
