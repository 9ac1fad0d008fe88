/** wattgrad tour in Node: its files and output, without a browser, and after an interruption. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { TourFile } from "../../src/tour/data.js";
import { writeImages } from "./images.js";
import { type Outcome, run, start } from "./wattgrad.js";

let directory = "";
let outcome: Outcome;
let file: TourFile;

const tour = ["tour", "--model", "mlp", "--data", "data", "--epochs", "2"];
const names = ["mnist-mlp", "mnist-mlp-int8-dynamic", "mnist-mlp-int8-static"];
const files = names.map((name) => `${name}.safetensors`);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-tour-"));
  await writeImages(join(directory, "data"));
  vi.stubEnv("CHROME_PATH", join(directory, "no-browser"));
  outcome = await run([...tour, "--out", "out", "--json", "tour.json"], directory);
  vi.unstubAllEnvs();
  file = JSON.parse(await readFile(join(directory, "tour.json"), "utf8"));
}, 180_000);

afterEach(() => vi.unstubAllEnvs());
afterAll(() => rm(directory, { recursive: true }));

describe("without a browser", () => {
  test("it ends well, with the models, the report and what was not there", async () => {
    expect(outcome).toMatchObject({ code: 0, signal: null });
    expect((await readdir(join(directory, "out"))).sort()).toEqual([...files, "tour.html"].sort());
    expect(outcome.stdout).toContain(`report: ${join(directory, "out", "tour.html")}\n`);
    expect(outcome.stdout).toMatch(
      /not there: all in chromium: chromium cannot be started: CHROME_PATH names/,
    );
    expect(outcome.stdout + outcome.stderr).not.toContain("\u001b");
    expect(outcome.stdout).not.toMatch(/NaN|undefined|Infinity/);
    expect(file.unavailable).toEqual([
      { device: "webgl", where: "node", reason: expect.stringContaining("WebGL2") },
      { device: "all", where: "chromium", reason: expect.stringContaining("no such file") },
    ]);
    expect(file.places).toMatchObject([{ where: "node", version: `Node.js ${process.version}` }]);
  });

  test("every model on every device, with labelled joules", () => {
    const keys = file.rows.map(({ device, model }) => `${device}, ${model}`);
    const models = ["float32", "int8 static", "int8 dynamic"];
    expect(keys).toEqual(
      ["wasm", "reference"].flatMap((device) => models.map((model) => `${device}, ${model}`)),
    );
    for (const row of file.rows) {
      const label = `${row.device}, ${row.model}`;
      for (const name of [
        "singleMs",
        "batchMs",
        "imagesPerSecond",
        "flopsPerImage",
        "bytesPerImage",
      ] as const) {
        expect(row[name], label).toBeGreaterThan(0);
      }
      expect(row.imagesPerSecond * row.batchMs, label).toBeCloseTo(1000, 6);
      expect(row.joulesPerImage, label).toBeGreaterThan(0);
      expect(row.joulesPerImage! * row.meteredImages, label).toBeCloseTo(row.energy.joules!, 9);
      expect(row.energy.kind, label).toMatch(/^(measured|modelled|assumed)$/);
      expect(row.energy.method, label).toMatch(/./);
      expect(row.images, label).toBe(96);
    }
    const [float, integer] = file.rows;
    // 784·256 + 256·128 + 128·10 products of two FLOPs, and less than a tenth more for the rest.
    expect(float.flopsPerImage).toBeGreaterThanOrEqual(2 * (784 * 256 + 256 * 128 + 128 * 10));
    expect(float.flopsPerImage).toBeLessThan(2.2 * (784 * 256 + 256 * 128 + 128 * 10));
    expect(integer.modelBytes / float.modelBytes).toBeLessThan(0.27);
  });

  test("devices agree with each other, and with wattgrad eval", async () => {
    const accuracies = (model: string) =>
      new Set(file.rows.filter((row) => row.model === model).map(({ accuracy }) => accuracy));
    for (const model of new Set(file.rows.map((row) => row.model))) expect(accuracies(model).size).toBe(1);
    expect(file.rows[0].accuracy).toBe(file.training.testAccuracy);
    const path = join("out", "mnist-mlp-int8-static.safetensors");
    const tested = await run(["eval", path, "--data", "data", "--json", "-"], directory);
    expect(JSON.parse(tested.stdout).testAccuracy).toBe(file.rows[1].accuracy);
  });

  test("the training has a curve, and its energy in the forms that people use", () => {
    const { curve, samples, efficiency, energy, seconds } = file.training;
    expect(samples).toBe(2 * 96);
    expect(curve.images).toEqual([64, 96, 160, 192]);
    expect(curve.loss).toHaveLength(4);
    expect(curve.accuracy).toHaveLength(4);
    expect(efficiency.samplesPerJoule).toBeCloseTo(samples / energy.joules!, 9);
    expect(efficiency.secondsPerJoule).toBeCloseTo(seconds / energy.joules!, 9);
    expect(outcome.stdout).toContain("samples per joule");
  });

  test("the report holds its data", async () => {
    const html = await readFile(join(directory, "out", "tour.html"), "utf8");
    const [, data] = /<script id="data" type="application\/json">(.*)<\/script>/.exec(html)!;
    expect(JSON.parse(data)).toEqual(file);
  });
});

test("Ctrl-C after the training: exit code 130, the trained model is there", async () => {
  const { child, ended } = start([...tour, "--where", "node", "--out", "kept"], directory);
  child.stderr?.on("data", (text: string) => {
    if (text.includes("time and energy")) child.kill("SIGINT");
  });
  const { code, stderr } = await ended;
  expect(code).toBe(130);
  const kept = ["mnist-mlp", "mnist-mlp-int8-static", "mnist-mlp-int8-dynamic"];
  const paths = kept.map((name) => join("kept", `${name}.safetensors`));
  expect(stderr).toContain(`interrupted; what was made is in ${paths.join(", ")}`);
  expect((await readdir(join(directory, "kept"))).sort()).toEqual([...files].sort());
  expect((await run(["eval", paths[0], "--data", "data", "--json", "-"], directory)).code).toBe(0);
});

test("an external meter measures training and models alike", async () => {
  const meter = `"${process.execPath}" -e "console.log(Date.now() / 10)"`;
  const args = [...tour, "--where", "node", "--out", "metered", "--energy-command", meter, "--json", "-"];
  const { code, stdout } = await run(args, directory);
  expect(code).toBe(0);
  const { rows, training }: TourFile = JSON.parse(stdout);
  expect(training.energy.kind).toBe("measured");
  for (const { energy } of rows) {
    expect(energy.kind).toBe("measured");
    // 100 W by this meter, which itself takes a while to start.
    expect(energy.joules! / energy.seconds).toBeGreaterThan(50);
  }
}, 120_000);

test("nothing is begun if a file cannot be written", async () => {
  const over = join("clash", "tour.html");
  const usage = await run([...tour, "--out", "clash", "--json", over], directory);
  expect(usage).toMatchObject({ code: 2, stdout: "" });
  expect(usage.stderr).toMatch(/^wattgrad: --json \S+ would overwrite \S+tour\.html\n$/);
  const below = await run([...tour, "--out", "tour.json"], directory);
  expect(below).toMatchObject({ code: 1, stdout: "" });
});
