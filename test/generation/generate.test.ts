/** Generation against the original library's ids, and what the loop promises about memory, batches, stops and cancellation. */
import { beforeAll, describe, expect, test } from "vitest";
import { ContextFullError, generate, type LogitsProcessor } from "../../src/generation/index.js";
import { chunkFor, prefillCapacity } from "../../src/generation/session.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import { type CausalModel, fromPretrained, Mlp } from "../../src/models/index.js";
import * as ops from "../../src/ops/index.js";
import { compileCount } from "../../src/runtime/counters.js";
import { devices } from "../devices.js";
import { expectedOf, fixtureSource, type Generated } from "../models/fixture.js";

const families = ["gpt2", "llama", "smollm2", "mistral", "qwen2", "qwen3"];

const load = async (name: string, device: (typeof devices)[number]["device"]) =>
  (
    await fromPretrained<CausalModel & import("../../src/nn/module.js").Module>(fixtureSource(name), {
      device,
    })
  ).model;

const prompts = (name: string) => {
  const { tokens, lengths } = expectedOf(name).facts;
  return tokens.map((row, n) => row.slice(0, lengths[n]));
};

/** Usage without drafts. */
const none = { draftTokens: 0, acceptedTokens: 0 };

/** Options of the original in ours. */
function optionsOf({ options }: Generated): object {
  const camel = (key: string) => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(options).map(([key, value]) => [camel(key), value]));
}

describe.each(devices)("$label", ({ device }) => {
  test.each(families)("%s: greedy ids, in a batch of two lengths and one by one", async (name) => {
    const model = await load(name, device);
    const { greedy } = expectedOf(name).facts;
    const options = { ...optionsOf(greedy), eosTokenId: 2 };
    const { sequences } = await generate(model, { inputIds: prompts(name), ...options }).finish();
    expect(sequences.map((list) => list.map(({ ids }) => ids))).toEqual(greedy.ids);
    for (const [n, prompt] of prompts(name).entries()) {
      const alone = await generate(model, { inputIds: prompt, ...options }).finish();
      expect(alone.sequences[0][0].ids).toEqual(greedy.ids[n][0]);
    }
    model.dispose();
  });

  test.each(families)("%s: beams, their order and scores", async (name) => {
    const model = await load(name, device);
    for (const expected of expectedOf(name).facts.beams) {
      const options = { ...optionsOf(expected), eosTokenId: 2 };
      const { sequences } = await generate(model, { inputIds: prompts(name), ...options }).finish();
      const what = JSON.stringify(expected.options);
      expect(
        sequences.map((list) => list.map(({ ids }) => ids)),
        what,
      ).toEqual(expected.ids);
      sequences.forEach((list, n) => {
        list.forEach(({ score }, i) => {
          expect(Math.abs(score! - expected.scores![n][i]), what).toBeLessThan(1e-4);
        });
      });
    }
    model.dispose();
  });

  test("step by step, in chunks and at once: the same logits", async () => {
    const model = await load("llama", device);
    const ids = Array.from({ length: 45 }, (_, i) => 4 + ((i * 17) % 50));
    const options = { maxNewTokens: 6, outputScores: true };
    const result = await generate(model, { inputIds: ids, ...options }).finish();
    const [{ ids: generated, scores }] = result.sequences[0];
    const all = [...ids, ...generated];
    const tokens = ops.tensor(Int32Array.from(all), { shape: [1, all.length], device });
    const logits: Tensor = noGrad(() => model.forward(tokens));
    const values = await logits.data();
    scores.forEach((row, step) => {
      const start = (ids.length - 1 + step) * 61;
      row.forEach((score, id) => {
        expect(Math.abs(score - values[start + id])).toBeLessThan(1e-4);
      });
    });
    // A longer neighbour changes chunks and padding, not the bits.
    const neighbour = Array.from({ length: 52 }, (_, i) => 4 + ((i * 5) % 50));
    const batch = await generate(model, { inputIds: [ids, neighbour], ...options }).finish();
    expect(batch.sequences[0][0].ids).toEqual(generated);
    model.dispose();
  });

  test("a seed gives the same tokens on every device, whatever else is in the batch", async () => {
    const model = await load("smollm2", device);
    const options = { maxNewTokens: 12, seed: 5, temperature: 1.2, topP: 0.9 };
    const { sequences, settings } = await generate(model, {
      inputIds: prompts("smollm2"),
      ...options,
    }).finish();
    expect(settings.doSample).toBe(true);
    expect(sequences.map(([{ ids }]) => ids)).toEqual(sampledOnce ?? sequences.map(([{ ids }]) => ids));
    sampledOnce = sequences.map(([{ ids }]) => ids);
    const alone = await generate(model, { inputIds: prompts("smollm2")[0], ...options }).finish();
    expect(alone.sequences[0][0].ids).toEqual(sequences[0][0].ids);
    const several = await generate(model, {
      inputIds: prompts("smollm2")[0],
      ...options,
      numReturnSequences: 3,
    }).finish();
    expect(several.sequences[0].length).toBe(3);
    expect(several.sequences[0][0].ids).toEqual(sequences[0][0].ids);
    expect(new Set(several.sequences[0].map(({ ids }) => ids.join())).size).toBe(3);
    const other = await generate(model, { inputIds: prompts("smollm2"), ...options, seed: 6 }).finish();
    expect(other.sequences.map(([{ ids }]) => ids)).not.toEqual(sampledOnce);
    model.dispose();
  });

  test("nothing compiles and nothing is allocated after the second token; a later generation compiles nothing", async () => {
    const model = await load("gpt2", device);
    const held = () => {
      const { liveBuffers, executables, reservedBytes } = device.memory();
      return { programs: compileCount(device), executables, liveBuffers, reservedBytes };
    };
    const before = device.memory().liveBuffers;
    for (const options of [{}, { seed: 3 }]) {
      const seen: ReturnType<typeof held>[] = [];
      for await (const _ of generate(model, { inputIds: [5, 6, 7], maxNewTokens: 40, ...options })) {
        seen.push(held());
      }
      expect(seen.length).toBe(40);
      // Panels of the weights are made at their second use; a collection in between may free buffers and give memory back.
      const [early, late] = [seen[2], seen[39]];
      expect({ ...late, liveBuffers: 0, reservedBytes: 0 }).toEqual({
        ...early,
        liveBuffers: 0,
        reservedBytes: 0,
      });
      expect(late.liveBuffers).toBeLessThanOrEqual(early.liveBuffers);
      expect(late.reservedBytes).toBeLessThanOrEqual(early.reservedBytes);
      const programs = compileCount(device);
      await generate(model, { inputIds: [9, 8], maxNewTokens: 40, ...options }).finish();
      expect(compileCount(device) - programs).toBeLessThanOrEqual(1);
    }
    expect(device.memory().liveBuffers - before).toBeLessThanOrEqual(panels(model));
    model.dispose();
  });

  test("caches double when they are full, and the tokens stay the same", async () => {
    const model = await load("llama", device);
    const options = {
      inputIds: [
        [4, 5, 6, 7],
        [9, 8],
      ],
      maxNewTokens: 40,
    };
    const whole = await generate(model, options).finish();
    expect(whole.usage).toEqual({ promptTokens: 6, tokens: 80, cacheCapacity: 64, cacheGrowths: 0, ...none });
    const grown = await generate(model, { ...options, cacheCapacity: 8 }).finish();
    expect(grown.usage).toEqual({ promptTokens: 6, tokens: 80, cacheCapacity: 64, cacheGrowths: 3, ...none });
    expect(grown.sequences).toEqual(whole.sequences);
    const beams = { ...options, maxNewTokens: 20, numBeams: 3 };
    const searched = await generate(model, { ...beams, cacheCapacity: 8 }).finish();
    expect(searched.usage.cacheGrowths).toBeGreaterThan(0);
    expect(searched.sequences).toEqual((await generate(model, beams).finish()).sequences);
    model.dispose();
  });
});

let sampledOnce: readonly (readonly number[])[] | undefined;

/** Buffers derived from weights may stay: at most one for each. */
const panels = (model: { parameters(): unknown[] }) => model.parameters().length;

describe("the loop", () => {
  const { device } = devices[0];
  let model: Awaited<ReturnType<typeof load>>;
  beforeAll(async () => {
    model = await load("smollm2", device);
  });

  const tokenizer = { decode: (ids: readonly number[]) => ids.map((id) => `<${id}>`).join("") };

  test("chunks have four lengths", () => {
    expect(chunkFor([3, 200])).toEqual({ length: 128, counts: [3, 128] });
    expect([1, 2, 8, 9, 33].map((count) => chunkFor([count]).length)).toEqual([1, 8, 8, 32, 128]);
    expect(prefillCapacity([200, 130])).toBe(256);
    expect(prefillCapacity([129, 1])).toBe(129);
  });

  test("a stop text across tokens ends the sequence, and is not in its text", async () => {
    const inputIds = prompts("smollm2")[0];
    const { ids } = (await generate(model, { inputIds, maxNewTokens: 10 }).finish()).sequences[0][0];
    const stop = `${ids[3]}><${ids[4]}`;
    const [[sequence]] = (await generate(model, { inputIds, maxNewTokens: 10, tokenizer, stop }).finish())
      .sequences;
    expect(sequence.reason).toBe("stop");
    expect(sequence.ids).toEqual(ids.slice(0, 5));
    expect(sequence.text).toBe(`${tokenizer.decode(ids.slice(0, 3))}<`);
  });

  test("an end token, the number of tokens, a full context", async () => {
    const inputIds = prompts("smollm2")[1];
    const reasonOf = async (options: object) =>
      (await generate(model, { inputIds, ...options }).finish()).sequences[0][0].reason;
    expect(await reasonOf({ eosTokenId: 2, maxNewTokens: 16 })).toBe("eos");
    expect(await reasonOf({ maxNewTokens: 3 })).toBe("length");
    expect(await reasonOf({ maxNewTokens: 500 })).toBe("context");
    const long = Array.from({ length: 65 }, () => 5);
    expect(() => generate(model, { inputIds: long })).toThrow(ContextFullError);
  });

  test("custom processors, before those of sampling", async () => {
    const only: LogitsProcessor = (scores) => {
      scores.fill(Number.NEGATIVE_INFINITY);
      scores[17] = 1;
    };
    const { sequences } = await generate(model, {
      inputIds: [5],
      maxNewTokens: 3,
      processors: [only],
    }).finish();
    expect(sequences[0][0].ids).toEqual([17, 17, 17]);
  });

  test("an abort, and leaving the loop, free everything", async () => {
    const before = device.memory().liveBuffers;
    const controller = new AbortController();
    const run = async () => {
      let count = 0;
      for await (const _ of generate(model, {
        inputIds: [5, 6],
        maxNewTokens: 30,
        signal: controller.signal,
      })) {
        if (++count === 4) controller.abort(new Error("enough"));
      }
    };
    await expect(run()).rejects.toThrow("enough");
    expect(device.memory().liveBuffers).toBe(before);
    for await (const _ of generate(model, { inputIds: [5, 6], maxNewTokens: 30 })) break;
    expect(device.memory().liveBuffers).toBe(before);
    const generation = generate(model, { inputIds: [5, 6], maxNewTokens: 30 });
    for await (const _ of generation) break;
    await expect(generation.finish()).rejects.toThrow(/left before its end/);
  });

  test("wrong arguments", () => {
    const wrong = (options: object) => () => generate(model, { inputIds: [1], ...options } as never);
    expect(wrong({ inputIds: [] })).toThrow(/none of them empty/);
    expect(wrong({ stop: "a" })).toThrow(/need a tokenizer/);
    expect(wrong({ maxTokens: 3 })).toThrow(/maxNewTokens/);
    expect(() => generate(new Mlp({ device }) as never, { inputIds: [1] })).toThrow(/predicts tokens/);
  });
});
