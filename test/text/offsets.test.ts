/** Places of tokens in their texts against those of the original library (test/fixtures/make_pipelines.py). */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { folder } from "../../src/hub/index.js";
import { loadTokenizer } from "../../src/text/index.js";

const here = (path: string) => fileURLToPath(new URL(`../fixtures/pipelines/${path}`, import.meta.url));

interface Expected {
  readonly model: string;
  readonly text: string;
  readonly tokens: readonly string[];
  readonly offsets: readonly (readonly [number, number])[];
  readonly words: readonly number[];
}

const cases: readonly Expected[] = JSON.parse(readFileSync(here("offsets.json"), "utf8"));

describe("spans", () => {
  test.each(cases)("$model: $text", async ({ model, text, tokens, offsets, words }) => {
    const tokenizer = await loadTokenizer(folder(here(`../models/${model}`)));
    const spans = tokenizer.spans(text);
    expect(spans.map(({ token }) => token)).toEqual(tokens);
    expect(spans.map(({ start, end }) => [start, end])).toEqual(offsets);
    // Added tokens have no number in the original.
    const numbers = [...new Set(spans.map(({ word }) => word))];
    if (!words.includes(null as never)) expect(spans.map(({ word }) => numbers.indexOf(word))).toEqual(words);
    expect(spans.map(({ id }) => id)).toEqual([...tokenizer.encode(text, { addSpecialTokens: false })]);
  });

  test("texts are assembled as they are encoded", async () => {
    for (const model of ["bert_tokens", "roberta_tokens"]) {
      const tokenizer = await loadTokenizer(folder(here(`../models/${model}`)));
      const [first, second] = ["the cat", "in a dog"];
      const plain = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
      const single = tokenizer.encoding(first);
      const pair = tokenizer.encoding(first, { pair: second });
      expect(tokenizer.assemble(plain(first))).toMatchObject({
        ids: single.ids,
        tokenTypes: single.tokenTypes,
      });
      const both = tokenizer.assemble(plain(first), plain(second));
      expect(both).toMatchObject({ ids: pair.ids, tokenTypes: pair.tokenTypes });
      expect([...both.ids].filter((_, i) => both.parts[i] === 1)).toEqual([...plain(second)]);
    }
  });
});
