/** Output, files and exit codes of the commands on success and after an interruption. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSafetensors } from "../../src/formats/index.js";
import { writeImages } from "./images.js";
import { program, run, start } from "./wattgrad.js";

let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-cli-"));
  await writeImages(join(directory, "data"));
});

afterAll(() => rm(directory, { recursive: true }));

const train = ["train", "--model", "mlp", "--data", "data", "--batch-size", "16"];

test.each([
  [[]],
  [["--help"]],
  [["help"]],
  [["tour", "--help"]],
  [["train", "--help"]],
  [["eval", "--help"]],
  [["info", "--help"]],
  [["plan", "--help"]],
  [["bench", "--help"]],
])("help: wattgrad %j", async (args) => {
  const { code, stdout, stderr } = await run(args, directory);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("Usage: wattgrad");
  expect(stdout).toContain("Exit codes:");
  for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(110);
});

describe("train", () => {
  test("writes the model and a table, or JSON with the documented fields", async () => {
    const args = [...train, "--epochs", "4", "--out", "out/mlp.safetensors"];
    const plain = await run(args, directory);
    expect(plain.code).toBe(0);
    expect(plain.stdout).toContain("test accuracy");
    expect(plain.stderr).toContain("step 24/24, epoch 4/4 | loss ");
    // No terminal: plain lines, no escape sequences.
    expect(plain.stdout + plain.stderr).not.toContain("\u001b");
    const model = await readFile(join(directory, "out/mlp.safetensors"));
    expect(readSafetensors(model).metadata).toMatchObject({ model: "mlp", format: "pt" });
    expect(await readdir(join(directory, "out"))).toEqual(["mlp.safetensors"]);

    const json = await run([...args, "--quiet", "--json", "-"], directory);
    expect({ code: json.code, stderr: json.stderr }).toEqual({ code: 0, stderr: "" });
    const report = JSON.parse(json.stdout);
    const positive = [
      "flopsPerSample",
      "parameters",
      "peakBytes",
      "samplesPerSecond",
      "samplesPerJoule",
      "seconds",
    ];
    const others = ["device", "energy", "epochs", "modelFile", "testAccuracy"];
    expect(Object.keys(report).sort()).toEqual([...others, ...positive].sort());
    for (const name of positive) expect(report[name], name).toBeGreaterThan(0);
    expect(report.testAccuracy).toBeGreaterThan(0.5);
    expect(report.testAccuracy).toBeLessThanOrEqual(1);
    expect(report).toMatchObject({ device: "wasm", modelFile: "out/mlp.safetensors" });
    expect(plain.stdout).toContain(`${(100 * report.testAccuracy).toFixed(2)} %`);
    expect(report.energy.joules).toBeGreaterThan(0);
    expect(report.energy.kind).toMatch(/^(measured|modelled|assumed)$/);
    expect(report.epochs).toHaveLength(4);
    for (const { energy } of report.epochs) expect(energy.joules === 0, energy.reason).toBe(false);
    expect(plain.stdout).toMatch(/energy +│ [\d.]+ [kM]?J \((measured|modelled|assumed)\)/);
    expect(plain.stderr).toMatch(/samples\/s \| [\d.]+ [kM]?J \(/);
    // The same seed gives the same bits.
    expect(await readFile(join(directory, "out/mlp.safetensors"))).toEqual(model);

    const tested = await run(
      ["eval", "out/mlp.safetensors", "--data", "data", "--json", "eval.json"],
      directory,
    );
    expect(tested.code).toBe(0);
    expect(tested.stdout).toContain("test accuracy");
    const evaluated = JSON.parse(await readFile(join(directory, "eval.json"), "utf8"));
    expect(evaluated).toMatchObject({
      testAccuracy: report.testAccuracy,
      parameters: report.parameters,
      samples: 96,
      model: "mlp",
      modelFile: "out/mlp.safetensors",
    });
  });

  test.each([
    ["int8-dynamic"],
    ["int8-static", "--weight-bits", "7", "--observer", "min-max", "--batches", "2"],
    ["int8-weight-only", "--skip", "layers.0"],
    ["int4-weight-only", "--min-snr", "1", "--skip", "layers.0"],
  ])("quantize %s, then eval", async (scheme, ...more) => {
    const source = "quantize/mlp.safetensors";
    const made = await run([...train, "--epochs", "2", "--quiet", "--out", source], directory);
    expect(made.code).toBe(0);
    const out = `quantize/${scheme}.safetensors`;
    const args = ["--data", "data", "--out", out, "--json", "quantize.json", ...more];
    const { code, stdout } = await run(["quantize", source, "--scheme", scheme, ...args], directory);
    expect(code).toBe(0);
    expect(stdout).toContain("accuracy, 96 images");
    const report = JSON.parse(await readFile(join(directory, "quantize.json"), "utf8"));
    expect(report).toMatchObject({ scheme, modelFile: out, comparison: { samples: 96 } });
    const { float, quantized } = report.comparison;
    expect(quantized.bytes).toBeLessThan(float.bytes);
    expect(quantized.metrics.accuracy).toBeGreaterThan(float.metrics.accuracy - 0.1);
    const tested = await run(["eval", out, "--data", "data", "--json", "-"], directory);
    expect(tested.code).toBe(0);
    const evaluated = JSON.parse(tested.stdout);
    expect(evaluated).toMatchObject({
      quantized: true,
      testAccuracy: quantized.metrics.accuracy,
      bytes: quantized.bytes,
    });
  });

  test("an energy budget ends it, measured by the user's own meter", async () => {
    const script = join(directory, "meter.mjs");
    await writeFile(script, "console.log(Date.now() / 10)");
    const meter = ["--energy-command", `"${process.execPath}" "${script}"`];
    const args = [
      ...train,
      "--epochs",
      "1000000",
      "--joules",
      "250",
      "--out",
      "budget.safetensors",
      ...meter,
    ];
    const { code, stdout } = await run([...args, "--json", "budget.json"], directory);
    expect(code).toBe(0);
    expect(stdout).toContain("the budget of 250 J is spent (measured)");
    const report = JSON.parse(await readFile(join(directory, "budget.json"), "utf8"));
    expect(report.energy).toMatchObject({ kind: "measured", method: expect.stringContaining("meter.mjs") });
    // 100 W by this meter.
    expect(report.energy.joules / report.energy.seconds).toBeGreaterThan(50);
    expect(report.energy.joules).toBeGreaterThanOrEqual(250);
  });

  test("on the reference device too", async () => {
    const args = [...train, "--epochs", "1", "--device", "reference", "--out", "reference.safetensors"];
    const { code, stdout } = await run([...args, "--json", "-"], directory);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ device: "reference", modelFile: "reference.safetensors" });
  });

  /** Starts a training without end and interrupts it once it has said that it trains. */
  async function interrupted(args: readonly string[]) {
    const { child, ended } = start([...train, "--epochs", "1000000", ...args], directory);
    child.stderr?.on("data", (text: string) => {
      if (text.includes("training mlp")) child.kill("SIGINT");
    });
    return ended;
  }

  test("Ctrl-C saves a checkpoint that --resume goes on from", async () => {
    const args = ["--checkpoint", "run", "--out", "interrupted/a.safetensors"];
    const first = await interrupted(args);
    expect(first).toMatchObject({ code: 130, signal: null, stdout: "" });
    expect(first.stderr).toMatch(
      /interrupted after step \d+; the same command with --resume goes on from run\n$/,
    );
    const [newest] = (await readdir(join(directory, "run"))).reverse();
    const second = await interrupted([...args, "--resume"]);
    expect(second.code).toBe(130);
    expect(second.stderr).toContain(join("run", newest));
    expect(existsSync(join(directory, "interrupted"))).toBe(false);
  });

  test("Ctrl-C without checkpoints saves the weights so far, not over a finished model", async () => {
    const { code, stderr } = await interrupted(["--out", "kept/b.safetensors"]);
    expect(code).toBe(130);
    const path = join("kept", "b.interrupted.safetensors");
    expect(stderr).toContain(`the weights so far are in ${path}`);
    expect(await readdir(join(directory, "kept"))).toEqual(["b.interrupted.safetensors"]);
    expect((await run(["eval", path, "--data", "data", "--json", "-"], directory)).code).toBe(0);
  });
});

/** util-linux's `script` runs a command in a pseudo-terminal. */
const hasTerminal =
  process.platform === "linux" && spawnSync("script", ["--version"], { encoding: "utf8" }).status === 0;

test.runIf(hasTerminal)(
  "in a terminal there is a bar, and ^C stops it and gives the cursor back",
  async () => {
    const command = [
      process.execPath,
      program,
      ...train,
      "--epochs",
      "1000000",
      "--out",
      "tty/c.safetensors",
    ];
    const quoted = command.map((word) => `'${word}'`).join(" ");
    const terminal = spawn("script", ["-qec", quoted, "/dev/null"], { cwd: directory });
    let screen = "";
    terminal.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (!screen.includes("samples/s") && `${screen}${text}`.includes("samples/s")) {
        terminal.stdin.write("\u0003");
      }
      screen += text;
    });
    const code = await new Promise((resolve) => terminal.on("close", resolve));
    expect(code).toBe(130);
    const [hide, show] = ["\u001b[?25l", "\u001b[?25h"];
    expect(screen.split(hide).length - 1).toBe(1);
    const afterBar = screen.slice(screen.lastIndexOf(show) + show.length);
    expect(screen.slice(0, screen.length - afterBar.length)).toMatch(/epoch \d+\/1000000 .* \| loss \d/);
    expect(afterBar).toContain("stopping after this step");
    expect(afterBar).toMatch(/interrupted after step \d+; the weights so far are in/);
  },
);

test("info names every device, what it supports and why one is not available", async () => {
  const table = await run(["info"], directory);
  const json = await run(["info", "--json", "-"], directory);
  expect([table.code, json.code, table.stderr, json.stderr]).toEqual([0, 0, "", ""]);
  const { devices } = JSON.parse(json.stdout);
  expect(devices.map(({ name }: { name: string }) => name)).toEqual(["webgl", "wasm", "reference"]);
  // Long sentences are wrapped within their column.
  const cells = table.stdout
    .split("\n")
    .map((line) => line.split("│").at(-2)?.trim() ?? "")
    .join(" ");
  for (const { name, available, description, reason } of devices) {
    expect(table.stdout).toContain(name);
    expect(cells).toContain(available ? description : reason);
  }
});
