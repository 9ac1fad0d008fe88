/**
 * all-MiniLM-L6-v2 with the similarities, ids and components that were recorded from it by numpy. It is left out where the model is not on
 * this machine (test/real_models.ts).
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Device, openDevice } from "../../src/index.js";
import { type FeatureExtractionPipeline, pipeline } from "../../src/pipeline/index.js";
import { minilm } from "../minilm.js";
import { realModel } from "../real_models.js";

const { path, missing } = realModel("minilm");

describe.skipIf(missing)(`all-MiniLM-L6-v2 ${missing ?? ""}`, () => {
  let device: Device;
  let embed: FeatureExtractionPipeline;
  beforeAll(async () => {
    device = await openDevice("wasm");
    embed = await pipeline("feature-extraction", path, { device });
  });
  afterAll(() => {
    embed?.dispose();
    device?.close();
  });

  test("has the recorded ids, components and similarities", async () => {
    expect([...embed.tokenizer.encode(minilm.texts[0])]).toEqual(minilm.ids);
    const vectors = await embed(minilm.texts, { pooling: "model" });
    for (const [i, value] of minilm.components.entries()) expect(vectors[0][i]).toBeCloseTo(value, 5);
    const similarities = vectors
      .slice(1)
      .map((other) => other.reduce((sum, x, i) => sum + x * vectors[0][i], 0));
    for (const [i, value] of minilm.similarities.entries()) expect(similarities[i]).toBeCloseTo(value, 4);
    // The same by the options that models of sentence-transformers are used with elsewhere.
    const [alone] = await embed([minilm.texts[0]], { pooling: "mean", normalize: true });
    for (const [i, value] of alone.entries()) expect(value).toBeCloseTo(vectors[0][i], 5);
  });
});
