/** The significance test of two runs: no false alarms for equal runs; a slowdown of 20 % is detected. */
import { describe, expect, test } from "vitest";
import { type BenchRow, median, ratioInterval, trimmedMean } from "../../src/bench/index.js";
import { compareRuns } from "../../src/cli/bench/compare.js";
import { parseBenchFile } from "../../src/cli/bench/file.js";
import { FormatError } from "../../src/core/errors.js";
import { generator } from "../../src/core/mulberry.js";

/** Times of a noisy machine: a few percent of scatter, and now and then a burst that doubles them. */
function noisyTimes(random: () => number, level: number, count = 15): number[] {
  return Array.from({ length: count }, () => {
    const scatter = 1 + 0.08 * (random() + random() - 1);
    return level * scatter * (random() < 0.1 ? 1 + random() : 1);
  });
}

function row(name: string, times: readonly number[], cpuTimes: readonly number[] | null = null): BenchRow {
  return {
    suite: "gemm",
    case: name,
    dtype: "float32",
    device: "wasm",
    where: "node",
    threads: 1,
    simd: "simd",
    medianMs: median(times),
    minMs: Math.min(...times),
    times,
    cpuTimes,
    runs: times.length,
    rate: 1,
    unit: "GFLOP/s",
    flops: 1,
    bytes: 1,
    joules: null,
    joulesKind: null,
    peer: null,
  };
}

const names = Array.from({ length: 9 }, (_, i) => `case ${i}`);
const runOf = (random: () => number, factor = (_: string) => 1) =>
  names.map((name, i) => row(name, noisyTimes(random, (1 + i) * factor(name))));

test("medians, and means without the ends", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(trimmedMean([1, 2, 3, 4, 100])).toBe(3);
  expect(trimmedMean([5])).toBe(5);
});

test("an interval of a ratio holds it about as often as it says, and is the same every time", () => {
  const random = generator(7);
  let held = 0;
  const trials = 100;
  for (let i = 0; i < trials; i++) {
    const [a, b] = [noisyTimes(random, 1), noisyTimes(random, 1.3)];
    const { low, high } = ratioInterval(a, b, 0.95);
    expect(ratioInterval(a, b, 0.95)).toEqual({ low, high });
    if (low <= 1.3 && 1.3 <= high) held++;
  }
  expect(held / trials).toBeGreaterThan(0.88);
  expect(held / trials).toBeLessThan(1);
});

describe("comparing runs of nine cases", () => {
  test("two runs of the same build: no significant difference in at least nine of ten tries", () => {
    const random = generator(1);
    let alarms = 0;
    for (let i = 0; i < 20; i++) {
      const { cases } = compareRuns(runOf(random), runOf(random), 0.1);
      if (cases.some(({ verdict }) => verdict !== "no significant difference")) alarms++;
    }
    expect(alarms).toBeLessThanOrEqual(2);
  });

  test("a slow-down of 20 % in one case is found, and only there", () => {
    const random = generator(2);
    let found = 0;
    const trials = 20;
    for (let i = 0; i < trials; i++) {
      const slower = names[i % names.length];
      const { cases } = compareRuns(
        runOf(random),
        runOf(random, (name) => (name === slower ? 1.2 : 1)),
        0.1,
      );
      const verdicts = cases.filter(({ verdict }) => verdict === "slower").map(({ case: name }) => name);
      if (verdicts.length === 1 && verdicts[0] === slower) found++;
    }
    expect(found).toBeGreaterThanOrEqual(0.9 * trials);
  });

  test("a gain is told as such, and all together", () => {
    const random = generator(3);
    const { cases, ratio } = compareRuns(
      runOf(random),
      runOf(random, () => 0.7),
      0.1,
    );
    for (const { verdict } of cases) expect(verdict).toBe("faster");
    expect(ratio).toBeGreaterThan(0.63);
    expect(ratio).toBeLessThan(0.77);
  });

  test("processor time is taken where both have it", () => {
    const random = generator(4);
    const [quiet, busy] = [noisyTimes(random, 1), noisyTimes(random, 3)];
    const alike = compareRuns([row("a", quiet, quiet)], [row("a", busy, quiet)], 0.1).cases[0];
    expect(alike).toMatchObject({ by: "processor time", verdict: "no significant difference", ratio: 1 });
    const wall = compareRuns([row("a", quiet, quiet)], [row("a", busy, null)], 0.1).cases[0];
    expect(wall).toMatchObject({ by: "time", verdict: "slower" });
  });

  test("cases of one run only, and those without times, are named", () => {
    const random = generator(5);
    const [a, b] = [runOf(random), runOf(random)];
    const failed = { ...row("case 1", []), medianMs: null, minMs: null, error: "no" };
    const { cases, unmatched } = compareRuns([...a.slice(0, 1), failed], b.slice(0, 3), 0.1);
    expect(cases.map(({ case: name }) => name)).toEqual(["case 0"]);
    expect([...unmatched].sort()).toEqual([
      "gemm, case 1, wasm, node, 1 threads",
      "gemm, case 2, wasm, node, 1 threads",
    ]);
  });
});

describe("files that wattgrad bench did not write", () => {
  const good = { format: "wattgrad-bench-1", rows: [row("a", [1, 2, 3])] };

  test("one that it did is read", () => {
    expect(parseBenchFile(JSON.stringify(good)).rows).toEqual(good.rows);
  });

  test.each([
    ["no JSON", "{", /not JSON/],
    ["null", "null", /no file of wattgrad bench/],
    ["another format", '{"format":"x","rows":[]}', /it is in the format "x"/],
    ["no rows", '{"format":"wattgrad-bench-1"}', /rows is a list, got undefined/],
    ["a row that is null", '{"format":"wattgrad-bench-1","rows":[null]}', /rows\.0 is an object, got null/],
    [
      "a time of 0",
      JSON.stringify({ ...good, rows: [row("a", [0])] }),
      /rows\.0\.times\.0 is a time above 0, got 0/,
    ],
    [
      "times that are text",
      JSON.stringify({ ...good, rows: [{ ...row("a", []), times: "1" }] }),
      /rows\.0\.times is a list, got "1"/,
    ],
  ])("%s", (_, text, message) => {
    expect(() => parseBenchFile(text)).toThrow(FormatError);
    expect(() => parseBenchFile(text)).toThrow(message);
  });
});
