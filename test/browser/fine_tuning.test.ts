/** `fit` in a worker of a page: fine-tuning of a classifier and LoRA, with the losses of PyTorch and peft. */
import { afterAll, describe, expect, it } from "vitest";
import { fineTuningOptions, lossBound } from "../train/fine_tuning.js";
import { openBrowser } from "./open.js";

describe("fine-tuning in a worker", async () => {
  const browser = await openBrowser("swiftshader");
  if (typeof browser === "string") {
    it.skip(browser);
    return;
  }
  afterAll(() => browser.close());
  it.each([
    ["classifier", "wasm"],
    ["lora", "wasm"],
    ["classifier", "webgl"],
    ["lora", "webgl"],
  ] as const)("%s on %s", async (kind, device) => {
    const page = await browser.openPage();
    const options = fineTuningOptions(kind);
    const losses = await page.evaluate((input) => globalThis.wattgradPage.fineTuneInWorker(input), {
      ...options,
      device,
    });
    const expected = options.facts[kind].losses;
    expect(losses.length).toBe(expected.length);
    losses.forEach(
      (loss, step) =>
        void expect(Math.abs(loss - expected[step]), `step ${step + 1}`).toBeLessThan(lossBound),
    );
    await page.close();
  });
});
