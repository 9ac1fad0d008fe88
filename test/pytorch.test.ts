/**
 * The float64 reference against PyTorch 2.15: every case that PyTorch knows, value and gradients.
 *
 * The fixtures are made by fixtures/make_cases.py from the list that this file exports (see there). They name the
 * description of each case they were made from: a changed case fails until the fixtures are made anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { Case } from "./cases/case.js";
import { allCases, themes } from "./cases/index.js";
import { sample } from "./cases/sample.js";
import { reference } from "./devices.js";
import { evaluate } from "./evaluate.js";
import { described, keyOf } from "./fixtures/describe.js";
import { readFixture } from "./fixtures/read.js";
import { expectClose } from "./tolerance.js";

/** Two float64 evaluations by different algorithms; the longest sums here have about 10^4 terms. */
const relativeTolerance = 1e-10;

/** Whether the fixtures hold every element: each special value is a case of its own. */
function isWhole({ name }: Case): boolean {
  return name.endsWith("special values");
}

const compared = allCases.filter(({ torch }) => typeof torch === "string");

const { EXPORT_CASES } = process.env;
if (EXPORT_CASES) {
  writeFileSync(
    EXPORT_CASES,
    JSON.stringify(
      compared.map((entry) => ({
        ...described(entry, isWhole(entry)),
        key: keyOf(entry, isWhole(entry)),
      })),
    ),
  );
}

const fixture = readFixture(
  gunzipSync(readFileSync(new URL("fixtures/cases.safetensors.gz", import.meta.url))),
);
const made: Record<string, string> = JSON.parse(fixture.metadata.cases);

describe("the PyTorch fixtures", () => {
  it("were made from the cases as they are", () => {
    const current = compared.map((entry) => `${entry.name}: ${keyOf(entry, isWhole(entry))}`).sort();
    const found = Object.entries(made).map(([name, text]) => `${name}: ${text.split(" ")[0]}`);
    expect(found.sort()).toEqual(current);
  });
});

for (const [theme, entries] of Object.entries(themes)) {
  const cases = entries.filter(({ torch }) => typeof torch === "string");
  if (cases.length === 0) continue;
  describe(`PyTorch: ${theme}`, () => {
    for (const entry of cases) {
      it(entry.name, async () => {
        const got = await evaluate(entry, reference);
        expect(`[${got.shape.join(", ")}]`, "shape").toBe(
          made[entry.name].slice(made[entry.name].indexOf("[")),
        );
        const expected = fixture.tensors.get(entry.name)!;
        let from = 0;
        const next = (what: string, values: number[], signedZero = false) => {
          const part = expected.subarray(from, from + values.length);
          from += values.length;
          const largest = part.reduce((m, x) => (Number.isFinite(x) ? Math.max(m, Math.abs(x)) : m), 1);
          const absolute = relativeTolerance * largest * (entry.scale ?? 1);
          expectClose(what, Float64Array.from(values), part, { absolute, signedZero, rounded: false });
        };
        next("value", sample(got.output, isWhole(entry)), entry.signedZero);
        got.gradients.forEach((gradient, i) => {
          if (gradient) next(`gradient ${i}`, sample(gradient.values, isWhole(entry)));
        });
        expect(from).toBe(expected.length);
      });
    }
  });
}
