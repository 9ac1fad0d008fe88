/** What `memoryPlan` tells against what loading and running take, counted by the device. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { DecodeSession } from "../../src/generation/session.js";
import { type FileSource, folder } from "../../src/hub/index.js";
import { noGrad, type Tensor, tensor } from "../../src/index.js";
import { chunkLengths } from "../../src/models/decoder.js";
import { type CausalModel, fromPretrained, memoryPlan } from "../../src/models/index.js";
import { int4WeightOnly, int8Dynamic, int8WeightOnly } from "../../src/quantization/index.js";
import { realModel } from "../real_models.js";
import { fixtureSource } from "./fixture.js";

/** Figures hold within this share. */
const tolerance = 0.05;

function expectNear(found: number, planned: number, what: string): void {
  expect(
    Math.abs(found - planned) / Math.max(planned, 1),
    `${what}: ${found}, planned ${planned}`,
  ).toBeLessThan(tolerance);
}

/** Loads and runs on a device of its own; everything that it counts against the plan. */
async function compare(source: FileSource, options: Parameters<typeof memoryPlan>[1] = {}) {
  const device = await openWasm();
  const plan = await memoryPlan(source, { ...options, device });
  expect(device.memory().liveBytes, "planning takes nothing").toBe(0);
  const { contextLength = 64, batch = 1, quantization } = options;
  const { model, head } = await fromPretrained(source, { device, ...(quantization && { quantization }) });
  const loaded = device.memory();
  expectNear(loaded.liveBytes, plan.weights, "weights");
  expect(loaded.peakBytes).toBeLessThan(plan.peakWhileLoading * (1 + tolerance));
  if (head === "causalLm") {
    const session = new DecodeSession(model as CausalModel, device, batch, contextLength);
    expectNear(device.memory().liveBytes - loaded.liveBytes, plan.cache, "cache");
    // Each Program twice: copies of weights are made when they are used again. Nothing is read, so that all chunks have room.
    for (const length of chunkLengths) {
      for (let i = 0; i < 2 && length <= contextLength; i++) {
        await session.step(new Int32Array(batch * length).fill(5), new Array(batch).fill(0), "best");
      }
    }
  } else {
    const ids = tensor(new Int32Array(batch * contextLength).fill(5), {
      shape: [batch, contextLength],
      device,
    });
    for (let i = 0; i < 3; i++) {
      const output: Tensor = noGrad(() => model.forward(ids));
      await output.data();
      output.dispose();
    }
  }
  const { peakBytes, panelBytes = 0 } = device.memory();
  expectNear(panelBytes, plan.packed, "packed");
  expectNear(peakBytes, plan.total, "total");
  device.close();
  return plan;
}

describe("the plan holds", () => {
  it.each([
    ["gpt2", 40, 1],
    ["llama", 32, 2],
    ["smollm2_bf16", 64, 1],
    ["qwen3", 33, 3],
  ])("%s: %i positions, %i sequences", async (name, contextLength, batch) => {
    const source = fixtureSource(name);
    for (const quantization of [undefined, int8WeightOnly(), int8Dynamic(), int4WeightOnly()]) {
      await compare(source, { contextLength, batch, ...(quantization && { quantization }) });
    }
  });

  it.each(["bert_maskedLm", "minilm", "distilbert_sequence"])("%s", async (name) => {
    await compare(fixtureSource(name), { contextLength: 24, batch: 4 });
    await compare(fixtureSource(name), { contextLength: 24, batch: 2, quantization: int8Dynamic() });
  });

  const minilm = realModel("minilm");
  it.skipIf(!existsSync(minilm.path))(`MiniLM ${minilm.missing ?? ""}`, async () => {
    const plan = await compare(folder(minilm.path), { contextLength: 128, batch: 8 });
    expect(plan.weights).toBeGreaterThan(90e6);
  });

  const smollm2 = realModel("smollm2");
  it.skipIf(!existsSync(smollm2.path))(`SmolLM2 ${smollm2.missing ?? ""}`, { timeout: 300_000 }, async () => {
    const plan = await compare(folder(smollm2.path), { contextLength: 512, quantization: int8WeightOnly() });
    expect(plan.download).toBeGreaterThan(98e6);
  });
});

it("reads headers only", async () => {
  const source = fixtureSource("llama");
  let bytes = 0;
  const watched: FileSource = {
    ...source,
    async read(path, range, signal) {
      const found = await source.read(path, range, signal);
      if (path.endsWith(".safetensors")) bytes += found.length;
      return found;
    },
  };
  const plan = await memoryPlan(watched, { device: "wasm" });
  expect(bytes).toBeLessThan(0.3 * (await source.size("model.safetensors")));
  expect(plan.download).toBeGreaterThan(await source.size("model.safetensors"));
});
