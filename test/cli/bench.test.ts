/** wattgrad bench in Node: the rows of its output, and the verdict and exit code of bench compare. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BenchFile } from "../../src/cli/bench/file.js";
import { run } from "./wattgrad.js";

let directory = "";
let file: BenchFile;
let printed = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-bench-"));
  const suites = "dispatch,coldstart,train";
  const args = ["bench", "--suite", suites, "--device", "wasm,reference,webgl", "--repeat", "5"];
  const outcome = await run([...args, "--json", "run.json"], directory);
  expect(outcome).toMatchObject({ code: 0 });
  printed = outcome.stdout;
  file = JSON.parse(await readFile(join(directory, "run.json"), "utf8"));
}, 120_000);

afterAll(() => rm(directory, { recursive: true }));

describe("rows", () => {
  test("every case on every device that is there", () => {
    const keys = file.rows.map(({ suite, device }) => `${suite} ${device}`);
    expect(new Set(keys)).toEqual(
      new Set(["dispatch", "train", "coldstart"].flatMap((suite) => [`${suite} wasm`, `${suite} reference`])),
    );
    expect(file.unavailable).toEqual([
      { device: "webgl", where: "node", reason: expect.stringContaining("WebGL2") },
    ]);
    expect(file.places).toMatchObject([
      { where: "node", version: `Node.js ${process.version}`, renderer: null },
    ]);
    expect(file.environment).toMatchObject({ cpu: expect.any(String), cores: expect.any(Number) });
  });

  test("have times, rates, costs and labelled joules, or say why not", () => {
    for (const row of file.rows) {
      if (row.error !== undefined) {
        expect(row).toMatchObject({ medianMs: null, rate: null, joules: null });
        expect(row.error).toMatch(/GFLOP are left out on the reference device/);
        continue;
      }
      const label = `${row.suite} ${row.case} ${row.device}`;
      expect(row.medianMs, label).toBeGreaterThanOrEqual(row.minMs!);
      expect(row.minMs, label).toBeGreaterThan(0);
      expect(row.times.length, label).toBe(row.suite === "coldstart" ? 9 : 5);
      expect(row.cpuTimes, label).toHaveLength(row.times.length);
      expect(row.joules === 0, label).toBe(false);
      if (row.joules === null) expect(row.joulesReason, label).toMatch(/./);
      else expect(row.joulesKind, label).toMatch(/^(measured|modelled|assumed)$/);
    }
    const mlp = file.rows.find((row) => row.case === "MLP" && row.device === "wasm")!;
    expect(mlp).toMatchObject({ unit: "steps/s", flops: 67_617_540, simd: expect.any(String), peer: null });
    expect(mlp.rate).toBeCloseTo(1000 / mlp.medianMs!, 6);
    const dispatch = file.rows.find((row) => row.suite === "dispatch" && row.device === "wasm")!;
    expect(dispatch.rate).toBeCloseTo(64_000 / dispatch.medianMs!, 3);
  });

  test("are printed as a table with what is not there", () => {
    for (const word of ["char-GPT", "steps/s", "ops/s", "starts/s", "not there: webgl in node"]) {
      expect(printed).toContain(word);
    }
    expect(printed).not.toMatch(/NaN|undefined|Infinity/);
  });
});

describe("compare", () => {
  const slowed = (factor: number, suite?: string): BenchFile => ({
    ...file,
    rows: file.rows.map((row) => {
      if (suite !== undefined && row.suite !== suite) return row;
      const slower = (times: readonly number[]) => times.map((time) => factor * time);
      return { ...row, times: slower(row.times), cpuTimes: row.cpuTimes && slower(row.cpuTimes) };
    }),
  });
  const write = (name: string, content: BenchFile) =>
    writeFile(join(directory, name), JSON.stringify(content));

  test("a run and itself: no significant difference, exit code 0", async () => {
    const { code, stdout, stderr } = await run(["bench", "compare", "run.json", "run.json"], directory);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("no significant difference; all together +0.0 %");
  });

  test("a much slower suite: exit code 3, and JSON that says which", async () => {
    await write("slow.json", slowed(3, "train"));
    const args = ["bench", "compare", "run.json", "slow.json", "--json", "comparison.json"];
    const { code, stdout, stderr } = await run(args, directory);
    expect(code).toBe(3);
    expect(stderr).toMatch(/^wattgrad: \d of \d+ cases are slower in slow\.json\n$/);
    expect(stdout).toContain("slower");
    const { cases } = JSON.parse(await readFile(join(directory, "comparison.json"), "utf8"));
    const found = cases.filter(({ verdict }: { verdict: string }) => verdict === "slower");
    expect(new Set(found.map(({ suite }: { suite: string }) => suite))).toEqual(new Set(["train"]));
  });

  test("another library that became slower is told, and no failure of wattgrad's", async () => {
    const foreign = (slower: number): BenchFile => ({
      ...file,
      rows: [...file.rows, ...slowed(slower, "train").rows.map((row) => ({ ...row, peer: "tfjs" }))],
    });
    await write("with.json", foreign(1));
    await write("slower.json", foreign(3));
    const { code, stdout } = await run(["bench", "compare", "with.json", "slower.json"], directory);
    expect(code).toBe(0);
    expect(stdout).toMatch(/tfjs wasm .*slower/);
    expect(stdout).toContain("all together +0.0 %");
  });

  test("a faster run is a difference, but no failure; a wider margin hides it", async () => {
    await write("fast.json", slowed(1 / 3));
    const fast = await run(["bench", "compare", "run.json", "fast.json"], directory);
    expect(fast.code).toBe(0);
    expect(fast.stdout).toMatch(/\d of \d+ cases differ by more than 10 %/);
    const wide = await run(["bench", "compare", "run.json", "fast.json", "--margin", "900"], directory);
    expect(wide.stdout).toContain("no significant difference; all together");
  });
});

test.each<[string, string[], number, RegExp]>([
  ["an unknown suite", ["--suite", "gemm,speed"], 2, /'speed' is none of gemm, qgemm, gemv/],
  ["an unknown device", ["--device", "tpu"], 2, /'tpu' is none of webgl, wasm, reference/],
  ["an unknown place", ["--where", "moon"], 2, /'moon' is none of node, chromium/],
  ["too few rounds", ["--repeat", "2"], 2, /whole number from 3 on/],
  ["a file that is not there", ["compare", "run.json", "nowhere.json"], 1, /cannot read nowhere\.json/],
  [
    "another kind of file",
    ["compare", "run.json", "other.json"],
    1,
    /other\.json: it is no file of wattgrad bench/,
  ],
  ["one file only", ["compare", "run.json"], 2, /missing required argument 'second'/],
])("%s", async (_, args, code, message) => {
  await writeFile(join(directory, "other.json"), "{}");
  const outcome = await run(["bench", ...args], directory);
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(/^wattgrad: [^\n]+\n$/);
  expect(outcome.stderr).toMatch(message);
});
