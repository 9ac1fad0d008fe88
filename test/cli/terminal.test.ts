/** Output of the commands: tables and progress fit the terminal, and control characters from files are escaped. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { showProgress } from "../../src/cli/progress.js";
import { columnsOf, formatTable } from "../../src/cli/terminal.js";
import { printRows } from "../../src/cli/tour/table.js";
import { FormatError } from "../../src/core/errors.js";
import { writeSafetensors } from "../../src/formats/index.js";
import type { TourFile } from "../../src/tour/data.js";
import { program, run } from "./wattgrad.js";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wattgrad-terminal-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const widest = (text: string) => Math.max(...text.split("\n").map((line) => [...line].length));

function terminal(columns: number | undefined) {
  const stream = new PassThrough();
  Object.assign(stream, {
    isTTY: columns !== undefined,
    columns,
    cursorTo() {},
    clearLine() {},
    moveCursor() {},
  });
  const parts: string[] = [];
  stream.on("data", (part) => parts.push(String(part)));
  return { stream: stream as unknown as NodeJS.WriteStream, shown: () => parts.join("") };
}

const head = ["suite", "case", "device", "where", "median", "fastest", "rate", "energy"];
const row = ["gemm", "matmul 512 × 512 × 512 transposed", "onnxruntime-web, wasm", "chromium"];
const figures = ["12.34 ms", "11.98 ms", "23.45 GFLOP/s", "123.4 mJ modelled"];

describe("tables", () => {
  test.each([200, 120, 100, 80, 60, 40, 20])("of %i columns have all there is to say", (columns) => {
    const text = formatTable(
      [
        [...row, ...figures],
        ["train", "an error", "wasm", { colSpan: 5, content: "it is not there" }],
      ],
      { head },
      columns,
    );
    expect(widest(text)).toBeLessThanOrEqual(columns);
    const words = text.replace(/[│─┌┐└┘├┤┬┴┼\s]+/g, " ");
    for (const word of ["12.34", "modelled", "transposed", "chromium", "not there"])
      expect(words).toContain(word);
  });

  test("figures are not broken from their units", () => {
    const text = formatTable(
      [["a name of many words", "12.34 ms"]],
      { head: ["name", "time"], figuresFrom: 1 },
      24,
    );
    expect(text).toContain("12.34 ms");
  });

  test("a row of Chinese names and one of a long path", () => {
    const text = formatTable([["模型".repeat(20), `/${"path/".repeat(30)}`]], {}, 50);
    for (const line of text.split("\n")) {
      const wide = line.match(/[模型]/g)?.length ?? 0;
      expect([...line].length + wide).toBeLessThanOrEqual(50);
    }
  });

  test.each([80, 60])("the last one of wattgrad tour fits %i", (columns) => {
    const energy = {
      joules: 1,
      kind: "modelled",
      method: "m",
      scope: "s",
      seconds: 1,
      idleSubtracted: false,
    };
    const one = (where: string, device: string, model: string) => ({
      where,
      device,
      model,
      accuracy: 0.98765,
      images: 2000,
      singleMs: 0.12345,
      batchMs: 10.2345,
      imagesPerSecond: 123456,
      joulesPerImage: 0.0001234,
      modelBytes: 123_456,
      energy,
    });
    const rows = ["node", "chromium", "firefox"].flatMap((where) =>
      ["float32", "int8 static", "int8 dynamic"].map((model) => one(where, "reference", model)),
    );
    const { stream, shown } = terminal(columns);
    printRows(stream, { rows, places: [], unavailable: [] } as unknown as TourFile);
    const table = shown().split("energy in ")[0];
    expect(widest(table)).toBeLessThanOrEqual(columns);
    expect(table).toContain("reference in firefox: 2,000 images, energy modelled");
    expect(table).toContain("0.123");
  });

  test("the width is the terminal's, or COLUMNS, or 80", () => {
    expect(columnsOf(terminal(132).stream)).toBe(132);
    vi.stubEnv("COLUMNS", "61");
    expect(columnsOf(terminal(undefined).stream)).toBe(61);
    vi.stubEnv("COLUMNS", "many");
    expect(columnsOf(terminal(undefined).stream)).toBe(80);
    vi.unstubAllEnvs();
  });
});

test.each([200, 100, 80, 60, 40, 25])(
  "progress in %i columns ends with how long it takes",
  async (columns) => {
    const { stream, shown } = terminal(columns);
    const display = showProgress(stream);
    const state = { epoch: 1, step: 0, samples: 0, seconds: 0, history: [], epochEnded: false };
    await display.onStart!({ epochs: 12, stepsPerEpoch: 1000, state });
    const energy = {
      joules: 12.3,
      kind: "modelled",
      method: "",
      scope: "",
      seconds: 1,
      idleSubtracted: false,
    } as const;
    await display.onStep!({
      step: 5000,
      epoch: 5,
      samples: 8,
      loss: 0.5,
      metrics: { accuracy: 0.25 },
      energy,
    });
    await vi.waitFor(() => expect(shown()).toContain("41%"));
    display.end();
    const lines = shown()
      .split("\u001b[")
      .map((part) => part.replace(/^[?\d;]*[a-zA-Z]/, ""));
    const line = lines.findLast((each) => each.includes("41%"))!;
    expect([...line].length).toBeLessThan(columns);
    expect(line).toContain("ETA");
    if (columns >= 60) expect(line).toContain("samples/s");
    if (columns >= 80) expect(line).toContain("loss 0.5000");
    if (columns >= 100) expect(line).toContain("accuracy 25.0 %");
  },
);

describe("strings out of files", () => {
  const evil = "\u001b[2J\u001b]0;owned\u0007\u009b31m\u202ename\u0008";
  const controls = /[\p{Cc}\p{Cf}]/u;

  test("in errors: visible, on one line, of bounded length", () => {
    const { message } = new FormatError(`${evil}${"x".repeat(100_000)}`);
    expect(message.replaceAll("\n", "")).not.toMatch(controls);
    expect(message).toContain("\\u{1b}[2J");
    expect(message.length).toBeLessThan(2100);
  });

  test.each([
    ["a model's name", { model: evil, format: "pt" }],
    ["a tensor's name", { model: "mlp", normalization: '{"mean":0,"std":1}' }],
  ])("%s", async (name, metadata) => {
    const path = join(directory, `${name.replace(/\W/g, "")}.safetensors`);
    const tensor = { dtype: "float32", shape: [1], data: new Float32Array(1) } as const;
    writeFileSync(
      path,
      writeSafetensors([[evil + "y".repeat(5000), tensor]], metadata as Record<string, string>),
    );
    const { code, stderr, stdout } = await run(["eval", path], directory);
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr.trimEnd()).not.toMatch(controls);
    expect(stderr.length).toBeLessThan(2200);
  });

  test("a path", async () => {
    const { code, stderr } = await run(["eval", `${evil}\nnext`], directory);
    expect(code).toBe(1);
    expect(stderr.trimEnd()).not.toMatch(controls);
  });
});

describe.runIf(process.platform === "linux")("a stdout that does not take it", () => {
  const shell = (command: string) =>
    new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
      const child = spawn("bash", ["-c", command], { cwd: directory, env: { ...process.env, W: program } });
      let [stdout, stderr] = ["", ""];
      child.stdout.on("data", (text) => {
        stdout += text;
      });
      child.stderr.on("data", (text) => {
        stderr += text;
      });
      child.on("close", (code) => resolve({ code, stdout, stderr }));
    });

  test("a closed pipe ends nothing: files are still written", async () => {
    const { code, stdout, stderr } = await shell(
      'set -o pipefail; node "$W" plan --params 1e9 --json closed.json | head -c 1 > /dev/null',
    );
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(JSON.parse(readFileSync(join(directory, "closed.json"), "utf8"))).toHaveProperty("training");
    expect(await shell('set -o pipefail; node "$W" plan --params 1e9 | true')).toMatchObject({
      code: 0,
      stderr: "",
    });
  });

  test("a full disk is one line and exit code 1, and files are still written", async () => {
    const { code, stderr } = await shell('node "$W" plan --params 1e9 --json full.json > /dev/full');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "wattgrad: cannot write to stdout: the disk is full, ENOSPC\n",
    });
    expect(JSON.parse(readFileSync(join(directory, "full.json"), "utf8"))).toHaveProperty("training");
  });

  test("stderr that is full leaves the exit code", async () => {
    expect(await shell('node "$W" eval nothing 2> /dev/full')).toMatchObject({ code: 1, stdout: "" });
    expect(await shell('node "$W" plan --params 1e9 >&- 2>&-')).toMatchObject({ stdout: "", stderr: "" });
  });

  test("one that does not block gets everything (EAGAIN)", async () => {
    // A pipe that is read late, shared with a process that has made it non-blocking.
    const script = `
      const { spawn } = require("node:child_process");
      const rows = Array.from({ length: 200 }, (_, i) => ({ suite: "s", case: i + "x".repeat(3000), device: "d", where: "node", threads: 1, peer: null,
        times: [1, 1, 1], cpuTimes: null, medianMs: 1, minMs: 1, rate: 1, unit: "u", joules: null, joulesKind: null }));
      require("node:fs").writeFileSync("run.json", JSON.stringify({ format: "wattgrad-bench-1", rows }));
      const child = spawn(process.execPath, [process.env.W, "bench", "compare", "run.json", "run.json", "--json", "-"], { stdio: ["ignore", "pipe", "inherit"] });
      let length = 0;
      child.stdout.pause();
      setTimeout(() => child.stdout.on("data", (part) => { length += part.length; }).resume(), 1500);
      child.on("close", (code) => console.log(code, length > 500000));`;
    writeFileSync(join(directory, "late.cjs"), script);
    expect(await shell("node late.cjs")).toMatchObject({ code: 0, stdout: "0 true\n", stderr: "" });
  });
});
