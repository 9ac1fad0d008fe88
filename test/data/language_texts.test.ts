/** Collators for language modelling against the original library's, and what random masks have in common. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { causalTexts, DataLoader, type HostTensor, MaskedTexts } from "../../src/data/index.js";
import { openDevice } from "../../src/device/select.js";

const recorded = JSON.parse(readFileSync(new URL("../fixtures/collators.json", import.meta.url), "utf8"));
const texts: number[][] = recorded.texts;
const all = ({ length }: { readonly length: number }) => Int32Array.from({ length }, (_, i) => i);
const rowsOf = ({ shape: [n, width], data }: HostTensor) =>
  Array.from({ length: n }, (_, i) => Array.from(data as Int32Array).slice(i * width, (i + 1) * width));

describe("causalTexts", () => {
  test("one text a row is DataCollatorForLanguageModeling", () => {
    const contextLength = Math.max(...texts.map((text) => text.length));
    const set = causalTexts(texts, { contextLength, packing: "none" });
    const { tokens, labels } = set.batch(all(set));
    expect(rowsOf(tokens)).toEqual(recorded.padded.input_ids);
    // The original shifts in the model.
    expect(rowsOf(labels)).toEqual(recorded.padded.labels.map((row: number[]) => [...row.slice(1), -100]));
  });

  test("concatenated rows are those of run_clm", () => {
    const set = causalTexts(texts, { contextLength: 16, packing: "concatenate" });
    const { tokens, labels, documents } = set.batch(all(set));
    expect(rowsOf(tokens)).toEqual(recorded.grouped);
    const joined = texts.flat();
    expect(rowsOf(labels).flat()).toEqual([...joined.slice(1), -100].slice(0, set.length * 16));
    expect(new Set(documents.data as Int32Array)).toEqual(new Set([0]));
  });

  test("documents in one row are DataCollatorWithFlattening", () => {
    const { input_ids, labels: expected, position_ids } = recorded.flattened;
    const set = causalTexts(texts, { contextLength: input_ids.length });
    const { tokens, labels, documents } = set.batch(all(set));
    expect(rowsOf(tokens)).toEqual([input_ids]);
    expect(rowsOf(labels)).toEqual([[...expected.slice(1), -100]]);
    const numbers = rowsOf(documents)[0];
    expect(numbers.map((number, i) => i - numbers.indexOf(number))).toEqual(position_ids);
  });

  test("rows hold whole texts while there is room, and long ones in pieces", () => {
    const set = causalTexts([[1, 2], [3, 4, 5], [6], [7, 8, 9, 10, 11, 12, 13]], {
      contextLength: 5,
      padding: 99,
    });
    const { tokens, labels, documents } = set.batch(all(set));
    expect(rowsOf(tokens)).toEqual([
      [1, 2, 3, 4, 5],
      [6, 99, 99, 99, 99],
      [7, 8, 9, 10, 11],
      [12, 13, 99, 99, 99],
    ]);
    expect(rowsOf(labels)[2]).toEqual([8, 9, 10, 11, 12]);
    expect(rowsOf(labels)[3]).toEqual([13, -100, -100, -100, -100]);
    expect(rowsOf(documents)).toEqual([
      [0, 0, 1, 1, 1],
      [0, 1, 1, 1, 1],
      [0, 0, 0, 0, 0],
      [0, 0, 1, 1, 1],
    ]);
  });

  test("refuses what is no text", () => {
    const options = { contextLength: 4 };
    expect(() => causalTexts([[]], options)).toThrow("a text has no tokens");
    expect(() => causalTexts([{ tokens: [1], promptLength: 2 }], options)).toThrow("promptLength is in 0..1");
    expect(() => causalTexts([[1]], { contextLength: 4, packing: "concatenate" })).toThrow("too few");
    expect(() => causalTexts([[1]], { contextLength: 0 })).toThrow("positive integer");
    expect(() => causalTexts([[1]], { ...options, packing: "all" as never })).toThrow("documents");
  });
});

describe("MaskedTexts", () => {
  const [mask, vocabulary, length] = [3, 1000, 400];
  const special = [1, 2];
  const long = Array.from({ length: 200 }, (_, n) => [
    1,
    ...Array.from({ length: length - 2 }, (_, i) => 10 + ((n * 37 + i * 11) % 900)),
    2,
  ]);
  const options = { contextLength: length, mask, vocabulary, special };

  test("hides 15 in 100: 80 as the mask, 10 as another token, 10 as they are", () => {
    const set = new MaskedTexts(long, options);
    const { tokens, labels } = set.batch(all(set), 3);
    const counts = { hidden: 0, masked: 0, same: 0, random: 0 };
    const original = long.flat();
    (labels.data as Int32Array).forEach((label, i) => {
      const token = (tokens.data as Int32Array)[i];
      if (label === -100) {
        expect(token).toBe(original[i]);
        return;
      }
      expect(label).toBe(original[i]);
      expect(special).not.toContain(label);
      counts.hidden++;
      counts[token === mask ? "masked" : token === label ? "same" : "random"]++;
    });
    const total = 200 * (length - 2);
    // Five standard deviations of a binomial variable.
    const near = (count: number, n: number, p: number) =>
      expect(Math.abs(count - n * p)).toBeLessThan(5 * Math.sqrt(n * p * (1 - p)));
    near(counts.hidden, total, 0.15);
    near(counts.masked, counts.hidden, 0.8);
    near(counts.random, counts.hidden, 0.1 * (1 - 1 / vocabulary));
    near(counts.same, counts.hidden, 0.1 * (1 + 1 / vocabulary));
  });

  test("hides other tokens in each epoch, the same for a seed in any batch", () => {
    const set = new MaskedTexts(long, { ...options, seed: 7 });
    const first = set.batch(Int32Array.of(4, 9), 0);
    expect(set.batch(Int32Array.of(4, 9), 0)).toEqual(first);
    expect(rowsOf(set.batch(Int32Array.of(9), 0).labels)[0]).toEqual(rowsOf(first.labels)[1]);
    expect(set.batch(Int32Array.of(4, 9), 1).labels).not.toEqual(first.labels);
    expect(new MaskedTexts(long, { ...options, seed: 8 }).batch(Int32Array.of(4, 9), 0)).not.toEqual(first);
  });

  test("hides whole words", () => {
    const continues = (token: number) => token % 3 === 0;
    const set = new MaskedTexts(long, { ...options, continues });
    const { labels } = set.batch(all(set));
    let words = 0;
    rowsOf(labels).forEach((row, n) => {
      for (let i = 2; i < length - 1; i++) {
        if (!continues(long[n][i])) continue;
        words++;
        expect(row[i] === -100).toBe(row[i - 1] === -100);
      }
    });
    expect(words).toBeGreaterThan(1000);
  });

  test("feeds a loader with lengths, and pads", async () => {
    const device = await openDevice("wasm");
    const set = new MaskedTexts(
      [
        [1, 5, 2],
        [1, 5, 6, 7, 8, 9],
      ],
      { contextLength: 5, mask, vocabulary: 10, padding: 0 },
    );
    for await (const { tokens, lengths } of new DataLoader(set, { device, batchSize: 2 })) {
      expect(tokens.shape).toEqual([2, 5]);
      expect(await lengths.tolist()).toEqual([3, 5]);
    }
    device.close();
  });

  test("refuses what it cannot hide", () => {
    expect(() => new MaskedTexts([[1000]], options)).toThrow("token 1000 of 1000");
    expect(() => new MaskedTexts([[]], options)).toThrow("no tokens");
    expect(() => new MaskedTexts([[5]], { ...options, probability: 2 })).toThrow("0..1");
    expect(() => new MaskedTexts([[5]], { ...options, shares: [0.8, 0.4] })).toThrow("0..1");
  });
});
