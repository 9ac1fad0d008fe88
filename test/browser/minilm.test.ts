/** all-MiniLM-L6-v2 in a page, downloaded by URL: the similarities that were recorded (test/minilm.ts). */
import { afterAll, expect, inject, it } from "vitest";
import { startLocalServer } from "../../src/playground/local_server.js";
import { minilm } from "../minilm.js";
import { realModel } from "../real_models.js";
import { openBrowser } from "./open.js";

const { path, missing } = realModel("minilm");
const browser = missing ?? (await openBrowser("swiftshader"));
if (typeof browser === "string") {
  it.skip(`all-MiniLM-L6-v2 in the browser: ${browser}`);
} else {
  const server = await startLocalServer({
    routes: [
      ["/minilm/", { directory: path }],
      ["/", { directory: inject("pages") }],
    ],
    index: "/index.html",
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
  });

  it.each(["wasm", "webgl"] as const)("%s", async (device) => {
    const page = await browser.openPage(server.url);
    const { ids, vectors, left } = await page.evaluate(
      (place, name, texts) => globalThis.wattgradPage.runEmbedding(place, name, texts),
      `${server.url}minilm`,
      device,
      minilm.texts,
    );
    expect(ids).toEqual(minilm.ids);
    for (const [i, value] of minilm.components.entries()) expect(vectors[0][i]).toBeCloseTo(value, 5);
    const similarities = vectors
      .slice(1)
      .map((other) => other.reduce((sum, x, i) => sum + x * vectors[0][i], 0));
    for (const [i, value] of minilm.similarities.entries()) expect(similarities[i]).toBeCloseTo(value, 4);
    expect(left).toBe(0);
    expect(browser.problems).toEqual([]);
    await page.close();
  });
}
