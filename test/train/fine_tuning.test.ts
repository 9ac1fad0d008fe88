/** Fine-tuning against PyTorch and peft: losses of twelve steps of a classifier as a whole, and of LoRA. */
import { describe, expect, test } from "vitest";
import { fineTune } from "../browser/pages/fine_tuning.js";
import { devices } from "../devices.js";
import { fineTuningOptions, lossBound } from "./fine_tuning.js";

describe.each(devices)("on $label", ({ device }) => {
  test.each(["classifier", "lora"] as const)("%s", async (kind) => {
    const options = fineTuningOptions(kind);
    const losses = await fineTune(device, options);
    const expected = options.facts[kind].losses;
    expect(losses.length).toBe(expected.length);
    losses.forEach(
      (loss, step) =>
        void expect(Math.abs(loss - expected[step]), `step ${step + 1}`).toBeLessThan(lossBound),
    );
  });
});
