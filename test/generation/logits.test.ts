/** Processors against what the original library's do (fixtures/make_logits.py), and sampling against the probabilities. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ArgumentError } from "../../src/core/errors.js";
import { probabilitiesOf, processorsOf } from "../../src/generation/logits.js";
import { argmaxOf, tokenAt, uniformAt } from "../../src/generation/sampler.js";
import { resolveSettings } from "../../src/generation/settings.js";

interface Fixture {
  readonly promptLength: number;
  readonly contexts: readonly (readonly number[])[];
  readonly scores: readonly (readonly number[])[];
  readonly eos: readonly number[];
  readonly maxNewTokens: number;
  /** null for −∞. */
  readonly cases: readonly {
    readonly settings: Readonly<Record<string, unknown>>;
    readonly scores: readonly (readonly (number | null)[])[];
  }[];
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL("../fixtures/logits.json", import.meta.url), "utf8"),
);

test.each(fixture.cases)("$settings", ({ settings: given, scores }) => {
  const { promptLength, contexts, eos, maxNewTokens } = fixture;
  const { settings, unknown } = resolveSettings({ eosTokenId: eos, maxNewTokens }, given, promptLength);
  expect(unknown).toEqual([]);
  const processors = processorsOf(settings);
  contexts.forEach((ids, n) => {
    const actual = Float32Array.from(fixture.scores[n]);
    for (const process of processors) process(actual, { ids, promptLength });
    scores[n].forEach((expected, id) => {
      if (expected === null) expect(actual[id], `token ${id} of context ${n}`).toBe(Number.NEGATIVE_INFINITY);
      else expect(Math.abs(actual[id] - expected), `token ${id} of context ${n}`).toBeLessThan(2e-5);
    });
  });
});

test("invalid scores are replaced, a first token can be forced", () => {
  const settings = (file: object) => resolveSettings({}, { ...file }, 1).settings;
  const scores = Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, 1, Number.NEGATIVE_INFINITY);
  for (const process of processorsOf(settings({ remove_invalid_values: true }))) {
    process(scores, { ids: [1], promptLength: 1 });
  }
  expect(Array.from(scores)).toEqual([0, 3.4028234663852886e38, 1, -3.4028234663852886e38]);
  for (const process of processorsOf(settings({ forced_bos_token_id: 2 }))) {
    process(scores, { ids: [1], promptLength: 1 });
  }
  expect(argmaxOf(scores)).toBe(2);
  expect(scores.filter((score) => score > Number.NEGATIVE_INFINITY).length).toBe(1);
});

test("draws follow the processed probabilities: chi-square", () => {
  const { settings } = resolveSettings({ topK: 12, temperature: 1.3, topP: 0.95 }, {}, 1);
  const scores = Float32Array.from(fixture.scores[0]);
  for (const process of processorsOf(settings)) process(scores, { ids: [1], promptLength: 1 });
  const probabilities = probabilitiesOf(scores);
  const draws = 100_000;
  const counts = new Float64Array(scores.length);
  for (let step = 0; step < draws; step++) counts[tokenAt(scores, uniformAt(9, 0, step))]++;
  let chiSquare = 0;
  let classes = 0;
  probabilities.forEach((p, i) => {
    if (p === 0) {
      expect(counts[i]).toBe(0);
      return;
    }
    chiSquare += (counts[i] - draws * p) ** 2 / (draws * p);
    classes++;
  });
  expect(classes).toBeGreaterThan(5);
  // The 99.9 % quantile of χ² with at most 11 degrees of freedom.
  expect(chiSquare).toBeLessThan(31.3);
});

test("random numbers depend on seed, sequence and step only", () => {
  expect(uniformAt(1, 0, 0)).toBe(uniformAt(1, 0, 0));
  const values = [
    uniformAt(1, 0, 0),
    uniformAt(2, 0, 0),
    uniformAt(1, 1, 0),
    uniformAt(1, 0, 1),
    uniformAt(1 + 2 ** 32, 0, 0),
  ];
  expect(new Set(values).size).toBe(values.length);
  expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
  expect(tokenAt(Float32Array.of(0, Number.NEGATIVE_INFINITY, 0), 1 - 2 ** -53)).toBe(2);
});

test("settings: the call, then the file, then defaults", () => {
  const file = {
    top_k: 7,
    temperature: 0.5,
    max_length: 30,
    do_sample: true,
    guidance_scale: 2,
    eos_token_id: 4,
    bos_token_id: 1,
  };
  const { settings, unknown } = resolveSettings({ topK: 3 }, file, 10);
  expect(settings).toMatchObject({
    topK: 3,
    temperature: 0.5,
    maxNewTokens: 20,
    doSample: true,
    eosTokenId: [4],
    topP: 1,
  });
  expect(unknown).toEqual(["guidance_scale"]);
  expect(resolveSettings({}, {}, 1).settings).toMatchObject({
    doSample: false,
    maxNewTokens: 20,
    eosTokenId: [],
  });
  expect(resolveSettings({ topP: 0.5 }, {}, 1).settings).toMatchObject({ doSample: true, topK: 50 });
  expect(resolveSettings({ temperature: 0 }, file, 1).settings.doSample).toBe(false);
  expect(() => resolveSettings({ numBeams: 2, doSample: true }, {}, 1)).toThrow(ArgumentError);
  expect(() => resolveSettings({ numReturnSequences: 2 }, {}, 1)).toThrow(/beams/);
  expect(() => resolveSettings({}, { top_p: 3 }, 1)).toThrow(/topP/);
});
