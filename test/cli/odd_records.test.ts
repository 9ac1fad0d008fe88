/** `wattgrad bench compare` rejects malformed records; repeated options, and options that require others. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parseBenchFile } from "../../src/cli/bench/file.js";
import { listOf } from "../../src/cli/options.js";
import { DeviceError, FormatError } from "../../src/core/errors.js";
import { setDefaultDevice } from "../../src/device/default.js";
import { openDevice } from "../../src/device/select.js";
import { loadKernels } from "../../src/device/wasm/binaries.js";
import { compileCount } from "../../src/runtime/counters.js";
import { run } from "./wattgrad.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wattgrad-odd-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const row = {
  suite: "s",
  case: "c",
  device: "d",
  where: "node",
  threads: 1,
  peer: null,
  times: [1, 2, 3],
  cpuTimes: [1, 2, 3],
};
const format = "wattgrad-bench-1";
const file = (rows: unknown) => JSON.stringify({ format, rows });

test.each<[string, string, RegExp]>([
  ["no JSON", "{", /is not JSON/],
  ["a list", "[]", /no file of wattgrad bench/],
  ["another version", '{"format":"wattgrad-bench-2","rows":[]}', /in the format "wattgrad-bench-2"/],
  ["rows that are none", file({ length: 1 }), /rows is a list, got an object/],
  ["a row that is none", file([null]), /rows\.0 is an object, got null/],
  ["a name missing", file([{ ...row, where: undefined }]), /rows\.0\.where is a name, got undefined/],
  ["threads", file([{ ...row, threads: 0 }]), /rows\.0\.threads is a whole number above 0, got 0/],
  ["a peer", file([{ ...row, peer: 3 }]), /rows\.0\.peer is a name or null, got 3/],
  ["NaN", file([{ ...row, times: [1, Number.NaN, 3] }]), /rows\.0\.times\.1 is a time above 0, got null/],
  [
    "an infinite time",
    file([row]).replace("[1,2,3]", "[1e999,2,3]"),
    /times\.0 is a time above 0, got Infinity/,
  ],
  ["a negative time", file([{ ...row, times: [1, 2, -3] }]), /times\.2 is a time above 0, got -3/],
  ["a huge time", file([{ ...row, times: [1, 2, 1e300] }]), /times\.2 is a time above 0, got 1e\+300/],
  [
    "fewer processor times",
    file([{ ...row, cpuTimes: [1] }]),
    /cpuTimes is null or a list of 3, got a list of 1/,
  ],
  ["a row twice", file([row, row]), /rows\.1 is there twice: "c"/],
  [
    "more times than can be compared",
    file([{ ...row, cpuTimes: null, times: new Array(100_001).fill(1) }]),
    /100001 times/,
  ],
])("%s", (_, text, message) => {
  expect(() => parseBenchFile(text)).toThrow(FormatError);
  expect(() => parseBenchFile(text)).toThrow(message);
});

describe("bench compare", () => {
  const compare = async (first: unknown[], second: unknown[]) => {
    writeFileSync(join(directory, "a.json"), file(first));
    writeFileSync(join(directory, "b.json"), file(second));
    return run(["bench", "compare", "a.json", "b.json"], directory);
  };
  const slow = { ...row, times: [10, 20, 30] };

  test("of no common case is an error, not an equality", async () => {
    for (const other of [[], [{ ...row, case: "other" }]]) {
      const { code, stderr } = await compare([row], other);
      expect([code, stderr]).toEqual([
        1,
        "wattgrad: a.json and b.json have no case in common, nothing is compared\n",
      ]);
    }
  });

  test("a case that failed in the second run is a difference", async () => {
    const failed = { ...row, case: "fails", times: [], cpuTimes: null, error: "out of memory" };
    const { code, stderr } = await compare([row, { ...row, case: "fails" }], [row, failed]);
    expect([code, stderr]).toEqual([3, expect.stringContaining("1 cases have no times in b.json: s, fails")]);
  });

  test("processor times of 0 do not hide that it became slower", async () => {
    const zero = { cpuTimes: [0, 0, 0] };
    const { code } = await compare(
      [{ ...row, ...zero, times: [1, 1, 1] }],
      [{ ...slow, ...zero, times: [9, 9, 9] }],
    );
    expect(code).toBe(3);
  });
});

test("a list that is given twice is one list", () => {
  const parse = listOf(["a", "b", "c"] as const);
  const standard = ["c"] as const;
  expect(parse("b", standard)).toEqual(["b"]);
  expect(parse("a,b", parse("b", standard))).toEqual(["b", "a"]);
});

test("a browser without puppeteer is told of before any work", async () => {
  const packages = join(directory, "node_modules");
  mkdirSync(join(packages, "wattgrad"), { recursive: true });
  for (const name of ["dist", "package.json"])
    cpSync(join(root, name), join(packages, "wattgrad", name), { recursive: true });
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(join(packages, name)), { recursive: true });
    symlinkSync(join(root, "node_modules", name), join(packages, name));
  }
  const program = join(packages, "wattgrad", "dist", "cli.js");
  for (const args of [["bench"], ["eval", "nothing.safetensors"], ["tour", "--out", "made"]]) {
    const outcome = await run([...args, "--where", "node,chromium"], directory, program);
    expect(outcome).toEqual({
      code: 2,
      signal: null,
      stdout: "",
      stderr:
        "wattgrad: --where chromium needs puppeteer, which wattgrad does not install by itself: npm install puppeteer\n",
    });
  }
});

test("HTML in the place of a wasm binary is called that", async () => {
  const { getBuiltinModule } = process;
  vi.stubGlobal("fetch", async () => new Response("\n<!doctype html><title>app</title>"));
  try {
    process.getBuiltinModule = undefined as unknown as typeof getBuiltinModule;
    await expect(loadKernels("simd")).rejects.toThrow(/simd\.wasm: it is HTML, the server has no such file/);
  } finally {
    process.getBuiltinModule = getBuiltinModule;
    vi.unstubAllGlobals();
  }
});

test("compileCount without a device is the default one's, or a typed error", async () => {
  expect(() => compileCount()).toThrow(DeviceError);
  const device = await openDevice("reference");
  setDefaultDevice(device);
  expect(compileCount()).toBe(compileCount(device));
  setDefaultDevice(undefined);
});
