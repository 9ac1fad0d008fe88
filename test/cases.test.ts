/**
 * Every case on every device against the float64 reference: values, gradients and their shapes. The reference itself is
 * compared with PyTorch (pytorch.test.ts) and finite differences (gradcheck.test.ts).
 */
import { beforeAll, describe, expect, it } from "vitest";
import * as ops from "../src/ops/index.js";
import { allCases, themes } from "./cases/index.js";
import { compare } from "./compare.js";
import { devices, reference } from "./devices.js";
import { type Evaluated, evaluate } from "./evaluate.js";

/** Exported by the ops, but not functions with a value of their own. */
const notOps = ["Generator", "defaultGenerator", "manualSeed", "backward", "grad"];

const known = new Map<string, Promise<Evaluated>>();

function expected(index: number): Promise<Evaluated> {
  const entry = allCases[index];
  let result = known.get(entry.name);
  if (result === undefined) {
    result = evaluate(entry, reference);
    known.set(entry.name, result);
  }
  return result;
}

describe("the list of cases", () => {
  it("has unique names", () => {
    const seen = new Set<string>();
    const twice = allCases.filter(({ name }) => seen.size === seen.add(name).size).map(({ name }) => name);
    expect(twice).toEqual([]);
  });

  it("covers every op", () => {
    const covered = new Set(allCases.map(({ op }) => op));
    expect(Object.keys(ops).filter((name) => !covered.has(name) && !notOps.includes(name))).toEqual([]);
    expect([...covered].filter((name) => !(name in ops))).toEqual([]);
  });
});

for (const { label, device } of devices) {
  if (device === reference) continue;
  for (const [theme, cases] of Object.entries(themes)) {
    describe(`${label}: ${theme}`, () => {
      const first = allCases.indexOf(cases[0]);
      beforeAll(() => known.clear());

      cases.forEach((entry, i) => {
        it(entry.name, async () => {
          const want = await expected(first + i);
          compare(entry, await evaluate(entry, device), want, "float32");
        });
      });
    });
  }
}
