/** Recurrent networks on webgl in a browser, against torch.nn; and phonemes by a real one, on wasm and webgl. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, expect, inject, it } from "vitest";
import { startLocalServer } from "../../src/playground/local_server.js";
import { type RecurrentCase, recurrentDifference, recurrentExpected } from "../nn/recurrent_case.js";
import { openBrowser } from "./open.js";

const cases: readonly RecurrentCase[] = JSON.parse(
  readFileSync(new URL("../fixtures/recurrent.json", import.meta.url), "utf8"),
);
const folder = fileURLToPath(new URL("../../../shared/data/models/g2p/", import.meta.url));
const browser = await openBrowser("swiftshader");
if (typeof browser === "string") {
  it.skip(`recurrent networks in the browser: ${browser}`);
} else {
  const server = await startLocalServer({
    routes: [
      ["/g2p/", { directory: folder }],
      ["/", { directory: inject("pages") }],
    ],
    index: "/index.html",
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
  });
  const page = await browser.openPage(server.url);

  it("every layer of the fixtures on webgl", async () => {
    const results = await page.evaluate(
      (list) => globalThis.wattgradPage.runRecurrentCases(list, "webgl"),
      cases,
    );
    for (const [i, each] of cases.entries()) {
      const difference = recurrentDifference(results[i], recurrentExpected(each));
      expect(difference, `${each.layer} ${JSON.stringify(each.options)}`).toBeLessThan(1e-5);
    }
    expect(browser.problems).toEqual([]);
  });

  it.skipIf(!existsSync(folder)).each(["wasm", "webgl"] as const)("phonemes on %s", async (device) => {
    const { outputs, ...alphabet } = JSON.parse(readFileSync(`${folder}ref.json`, "utf8"));
    const spoken = await page.evaluate(
      (place, letters, words, name) => globalThis.wattgradPage.runPhonemes(place, letters, words, name),
      `${server.url}g2p/checkpoint20.npz`,
      alphabet,
      Object.keys(outputs),
      device,
    );
    expect(spoken).toEqual(Object.values(outputs));
    expect(browser.problems).toEqual([]);
  });
}
