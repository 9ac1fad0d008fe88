/** Every family of language models on webgl in a browser, against the original library: results, greedy ids, gradients. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { gpt2Names } from "../../src/models/gpt2/names.js";
import { transposedValues } from "../../src/models/names.js";
import { expectedOf } from "../models/fixture.js";
import { openBrowser } from "./open.js";
import type { LanguageOutcome } from "./pages/language.js";

const decoders = ["gpt2", "gpt2_scaled", "llama", "smollm2", "mistral", "qwen2", "qwen3"];
const encoders = ["bert", "roberta", "distilbert"].flatMap((family) =>
  ["maskedLm", "sequence", "tokens", "question"].map((head) => `${family}_${head}`),
);
const root = fileURLToPath(new URL("../fixtures/models/", import.meta.url));

function filesOf(name: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const entry of readdirSync(`${root}${name}`, { withFileTypes: true, recursive: true })) {
    const path = `${entry.parentPath}/${entry.name}`;
    if (entry.isFile() && !entry.name.startsWith("expected")) {
      files[path.slice(`${root}${name}/`.length)] = readFileSync(path).toString("base64");
    }
  }
  return files;
}

const differenceOf = (actual: ArrayLike<number>, expected: ArrayLike<number>) => {
  expect(actual.length).toBe(expected.length);
  return Array.from(expected).reduce((worst, value, i) => {
    const difference = Math.abs(actual[i] - value);
    return difference > worst || Number.isNaN(difference) ? difference : worst;
  }, 0);
};

const browser = await openBrowser("swiftshader");
if (typeof browser === "string") {
  it.skip(`language models in the browser: ${browser}`);
} else {
  afterAll(() => browser.close());
  const page = await browser.openPage();
  const outcomes = new Map<string, LanguageOutcome>();

  describe("webgl", () => {
    it.each([...decoders, ...encoders, "minilm"])("%s", async (name) => {
      const { tensors, facts } = expectedOf(name);
      const { tokens, lengths, tokenTypes } = facts;
      /** Rows of tokens without those of padding; a head for whole texts has other rows. */
      const seen = (values: ArrayLike<number>) => {
        const width = values.length / tokens.flat().length;
        if (!Number.isInteger(width)) return Array.from(values);
        return Array.from(values).filter((_, i) => {
          const row = Math.floor(i / width);
          return row % tokens[0].length < lengths[Math.floor(row / tokens[0].length)];
        });
      };
      const isMinilm = name === "minilm";
      const isDecoder = decoders.includes(name);
      const classes = tensors.get("logits")?.shape[2] ?? 0;
      let counted = 0;
      const ofRows = tokens.flatMap((row, n) =>
        row.map((_, t) => {
          if (isDecoder) return t + 1 < lengths[n] ? row[t + 1] : -100;
          return t < lengths[n] ? (counted++ * 5) % classes : -100;
        }),
      );
      const outcome = await page.evaluate((request) => globalThis.wattgradPage.runLanguage(request), {
        files: filesOf(name),
        ...{ tokens, lengths, tokenTypes },
        targets: name.endsWith("sequence")
          ? [2, 0]
          : name.endsWith("question")
            ? [3, 2]
            : isMinilm
              ? undefined
              : ofRows,
        greedy: isDecoder ? { prompts: [tokens[0].slice(0, lengths[0])], maxNewTokens: 16 } : undefined,
      });
      outcomes.set(name, outcome);
      const wanted = ["embedding", "logits", "start", "end"].filter((key) => tensors.has(key)).slice(0, 2);
      wanted.forEach((key, i) => {
        const want = tensors.get(key)!.data;
        expect(differenceOf(seen(outcome.results[i]), seen(want)), key).toBeLessThanOrEqual(1e-4);
      });
      if (isDecoder) expect(outcome.ids[0]).toEqual(facts.greedy.ids[0][0]);
      if (!isMinilm) {
        const keys = [...tensors.keys()].filter((key) => key.startsWith("grad."));
        expect(keys.length).toBeGreaterThan(0);
        for (const key of keys) {
          const { data, shape, dtype } = tensors.get(key)!;
          const parameter = key.slice("grad.".length);
          const isTurned = name.startsWith("gpt2") && gpt2Names.transpose!.some((p) => p.test(parameter));
          const want = isTurned ? transposedValues(data, shape[0], shape[1], dtype) : data;
          const largest = Math.max(...Array.from(want, Math.abs));
          const difference = differenceOf(outcome.gradients[parameter], want);
          expect(difference, parameter).toBeLessThanOrEqual(1e-3 * largest);
        }
      }
    });

    it("times and shaders", () => {
      let before = 0;
      const rows = [...outcomes].map(([name, { shaders, milliseconds }]) => {
        const row = { name, shaders: shaders - before, ...milliseconds };
        before = shaders;
        return row;
      });
      console.table(rows);
      expect(browser.problems).toEqual([]);
    });
  });
}
