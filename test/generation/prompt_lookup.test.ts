/** Drafts from the text so far: the same tokens as without, in fewer steps. */
import { describe, expect, test } from "vitest";
import { generate } from "../../src/generation/index.js";
import { lookUp } from "../../src/generation/prompt_lookup.js";
import { type CausalModel, fromPretrained } from "../../src/models/index.js";
import { compileCount } from "../../src/runtime/counters.js";
import { devices } from "../devices.js";
import { expectedOf, fixtureSource } from "../models/fixture.js";
import "../../src/ops/methods.js";

const families = ["gpt2", "llama", "smollm2", "mistral", "qwen2", "qwen3"];

test("what followed the last tokens", () => {
  expect(lookUp([1, 2, 3, 4, 1, 2], 2, 3)).toEqual([3, 4, 1]);
  // The longest match, of those the latest with enough behind it.
  expect(lookUp([1, 2, 3, 9, 2, 4, 1, 2], 2, 2)).toEqual([3, 9]);
  expect(lookUp([1, 5, 6, 1, 7, 8, 1], 1, 2)).toEqual([7, 8]);
  expect(lookUp([1, 1, 1], 2, 4)).toEqual([1]);
  expect(lookUp([1, 2, 3], 2, 4)).toEqual([]);
  expect(lookUp([1, 1], 2, 0)).toEqual([]);
});

describe.each(devices)("$label", ({ device }) => {
  test.each(families)("%s: the same ids, greedily, with processors and sampled", async (name) => {
    const { model } = await fromPretrained<CausalModel>(fixtureSource(name), { device });
    const { tokens, lengths } = expectedOf(name).facts;
    const words = tokens[0].slice(0, lengths[0]);
    for (const options of [
      { maxNewTokens: 16, eosTokenId: 2 },
      { maxNewTokens: 100 },
      { maxNewTokens: 24, repetitionPenalty: 1.3, outputScores: true },
      { maxNewTokens: 24, doSample: true, temperature: 0.2, seed: 5 },
    ]) {
      const inputIds = [...words, ...words.slice(0, 5), ...words];
      const plain = await generate(model, { inputIds, ...options }).finish();
      for (const promptLookupNumTokens of [3, 7, 10]) {
        const drafted = await generate(model, { inputIds, promptLookupNumTokens, ...options }).finish();
        expect(drafted.sequences[0][0].ids, JSON.stringify(options)).toEqual(plain.sequences[0][0].ids);
        expect(drafted.sequences[0][0].reason).toBe(plain.sequences[0][0].reason);
        expect(drafted.sequences[0][0].scores.length).toBe(plain.sequences[0][0].scores.length);
        expect(drafted.usage.acceptedTokens).toBeLessThanOrEqual(drafted.usage.draftTokens);
        if (options.maxNewTokens === 100) expect(drafted.usage.acceptedTokens).toBeGreaterThan(0);
      }
    }
    const compiled = compileCount(device);
    await generate(model, { inputIds: words, maxNewTokens: 40, promptLookupNumTokens: 7 }).finish();
    await generate(model, {
      inputIds: words.toReversed(),
      maxNewTokens: 40,
      promptLookupNumTokens: 7,
    }).finish();
    expect(compileCount(device) - compiled).toBeLessThanOrEqual(1);
    model.dispose();
  });

  test("not for several sequences", async () => {
    const { model } = await fromPretrained<CausalModel>(fixtureSource("llama"), { device });
    const wrong = { inputIds: [[1], [2]], promptLookupNumTokens: 3 };
    expect(() => generate(model, wrong)).toThrow(/a single sequence/);
    model.dispose();
  });
});
