/** What a step of decoding costs, whatever the capacity of its caches. */
import { expect, test } from "vitest";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { DecodeSession } from "../../src/generation/session.js";
import type { CausalModel } from "../../src/models/index.js";
import { fromPretrained } from "../../src/models/index.js";
import { cost } from "../../src/profile/index.js";
import { fixtureSource } from "../models/fixture.js";
import "../../src/ops/methods.js";

test.each(["gpt2", "llama", "mistral", "qwen3"])("%s: caches are written in place", async (name) => {
  const device = await openWasm();
  const { model } = await fromPretrained<CausalModel>(fixtureSource(name), { device });
  const bytesOfStep = async (capacity: number, length: number) => {
    const session = new DecodeSession(model, device, 1, capacity);
    const tokens = new Int32Array(length).fill(3);
    const { bytes } = await cost(device, () => session.step(tokens, [Math.max(1, length - 1)], "best"));
    session.dispose();
    return bytes;
  };
  for (const length of [1, 8, 32]) {
    // The table of zeros that checks a position has an entry for each of them; a cache has 2 · 4 · width bytes.
    expect((await bytesOfStep(1024, length)) - (await bytesOfStep(64, length)), `${length}`).toBeLessThan(
      4 * 960 * 2,
    );
  }
  device.close();
});
