/** SmolLM2-135M-Instruct in a page, a GGUF file downloaded by URL: the answer that was recorded (test/smollm2.ts). */
import { afterAll, expect, inject, it } from "vitest";
import { startLocalServer } from "../../src/playground/local_server.js";
import { realModel } from "../real_models.js";
import { smollm2 } from "../smollm2.js";
import { openBrowser } from "./open.js";

const { path, missing } = realModel("smollm2");
const browser = missing ?? (await openBrowser("swiftshader"));
if (typeof browser === "string") {
  it.skip(`SmolLM2-135M-Instruct in the browser: ${browser}`);
} else {
  const server = await startLocalServer({
    routes: [
      ["/smollm2/", { directory: path }],
      ["/", { directory: inject("pages") }],
    ],
    index: "/index.html",
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
  });

  it.each(["wasm", "webgl"] as const)("%s", { timeout: 300_000 }, async (device) => {
    const page = await browser.openPage(server.url);
    const outcome = await page.evaluate((request) => globalThis.wattgradPage.runChat(request), {
      place: `${server.url}smollm2/SmolLM2-135M-Instruct.Q4_1.gguf`,
      device,
      messages: smollm2.messages,
      maxNewTokens: 16,
    });
    const { milliseconds, peakBytes, ...answer } = outcome;
    console.log(`${device}: ${JSON.stringify({ ...milliseconds, peakBytes })}`);
    const { promptLength, ids, text } = smollm2;
    expect(answer).toEqual({ promptLength, ids, text, reason: "eos", left: 0 });
    expect(browser.problems).toEqual([]);
    await page.close();
  });
}
