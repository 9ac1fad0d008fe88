/** wattgrad tour with a browser: every device and model is in the table and the report, which draws its plots without requests. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import type { TourFile } from "../../src/tour/data.js";
import { type Outcome, run } from "../cli/wattgrad.js";
import { openBrowser } from "./open.js";
import { openReport } from "./report.js";

const browser = await openBrowser("swiftshader");
const chromium = inject("chromium");
let directory = "";
let outcome: Outcome;
let file: TourFile;

afterAll(async () => {
  if (directory !== "") await rm(directory, { recursive: true });
  if (typeof browser !== "string") await browser.close();
});

describe.skipIf(typeof browser === "string")("a tour of Node and Chromium", () => {
  beforeAll(async () => {
    if (typeof chromium === "string") return;
    directory = await mkdtemp(join(tmpdir(), "wattgrad-tour-"));
    vi.stubEnv("CHROME_PATH", chromium.executablePath);
    // The shipped images: 2,000 to tell accuracies apart by.
    outcome = await run(["tour", "--epochs", "1", "--json", "tour.json"], directory);
    vi.unstubAllEnvs();
    expect(outcome).toMatchObject({ code: 0 });
    file = JSON.parse(await readFile(join(directory, "tour.json"), "utf8"));
  }, 400_000);

  const places = ["wasm, node", "reference, node", "wasm, chromium", "webgl, chromium"];
  const models = ["float32", "int8 static", "int8 dynamic"];

  test("has every model on every device, and says the same on each", () => {
    const keys = file.rows.map(({ device, where, model }) => `${device}, ${where}: ${model}`);
    expect(keys).toEqual(places.flatMap((place) => models.map((model) => `${place}: ${model}`)));
    const all = file.rows.filter(({ images }) => images === 2000);
    expect(all).toHaveLength(9);
    const float = all[0].accuracy;
    expect(float).toBe(file.training.testAccuracy);
    expect(float).toBeGreaterThan(0.9);
    for (const { device, where, model, accuracy } of all) {
      const same = all.find((row) => row.model === model)!;
      expect(accuracy, `${model} on ${device}, ${where}`).toBe(same.accuracy);
      expect(Math.abs(accuracy - float), model).toBeLessThanOrEqual(0.005);
    }
    for (const { device, model, modelBytes } of all) {
      if (model !== "float32") expect(modelBytes / all[0].modelBytes, device).toBeLessThan(0.27);
    }
    expect(outcome.stdout).toContain(join(directory, "models", "tour.html"));
  });

  test("tells which digits are taken for which, and shows them", () => {
    const { confusion, wrong } = file.predictions;
    const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
    const right = sum(confusion.map((row, digit) => row[digit]));
    expect(sum(confusion.map(sum))).toBe(2000);
    expect(right / 2000).toBe(file.training.testAccuracy);
    expect(wrong).toHaveLength(Math.min(48, 2000 - right));
    for (const { label, predicted, pixels } of wrong) {
      expect(confusion[label][predicted]).toBeGreaterThan(0);
      expect(Buffer.from(pixels, "base64")).toHaveLength(28 * 28);
    }
  });

  test("knows the energy of the browser's work by the processor time of its processes", () => {
    const inBrowser = file.rows.filter(({ where }) => where === "chromium");
    for (const { energy, joulesPerImage, device } of inBrowser) {
      expect(joulesPerImage, device).toBeGreaterThan(0);
      if (energy.kind === "assumed") expect(energy.scope).toContain("the processes that do the work");
      // One process is busy at least for most of the time; each busy core counts 7 W.
      if (energy.kind === "assumed") expect(energy.joules! / energy.seconds).toBeGreaterThan(1);
    }
  });

  test.each([
    ["a phone, light", 390, "light"],
    ["a desk, dark", 1200, "dark"],
  ])(
    "its report on %s: drawn, without a word in the console and without the network",
    async (_, width, theme) => {
      if (typeof browser === "string") return;
      const url = pathToFileURL(join(directory, "models", "tour.html")).href;
      const { page, problems } = await openReport(browser, url, width, theme);
      const found = await page.evaluate(() => ({
        headings: [...document.querySelectorAll("h2")].map(({ textContent }) => textContent),
        pictures: document.querySelectorAll("figure canvas").length,
        plots: [...document.querySelectorAll<HTMLCanvasElement>(".plot canvas")].map((canvas) => {
          const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
          return new Set(new Uint32Array(data.buffer)).size;
        }),
        tables: [...document.querySelectorAll("table")].map((table) =>
          [...table.rows].map((row) => [...row.cells].map(({ textContent }) => textContent)),
        ),
        text: document.body.innerText,
        scrollWidth: document.documentElement.scrollWidth,
        background: getComputedStyle(document.body).backgroundColor,
      }));
      await page.close();
      expect(problems).toEqual([]);
      expect(found.headings).toEqual([
        "Training",
        "Time and energy of an image",
        "Accuracy and size",
        "Where it errs",
        "What the training took",
        "All figures",
        "How energy was found",
        "Where it ran",
      ]);
      // Two curves, three quantities on each device, the sizes: each with more in it than an empty canvas.
      expect(found.plots).toHaveLength(2 + 3 * places.length + 1);
      expect(found.pictures).toBe(file.predictions.wrong.length);
      for (const colors of found.plots) expect(colors).toBeGreaterThan(10);
      const [accuracies, confusion, figures] = found.tables;
      expect(confusion.slice(1).map((row) => row.slice(1).map(Number))).toEqual(file.predictions.confusion);
      expect(accuracies.slice(1).map(([place]) => place)).toEqual(places);
      expect(figures.slice(1).map(([place, model]) => `${place}: ${model}`)).toEqual(
        places.flatMap((place) => models.map((model) => `${place}: ${model}`)),
      );
      expect(found.text).toMatch(/training time to energy\s+[\d.]+ s\/J/);
      expect(found.text).not.toMatch(/NaN|undefined|Infinity/);
      expect(found.scrollWidth).toBe(width);
      expect(found.background).toBe(theme === "dark" ? "rgb(15, 19, 24)" : "rgb(244, 246, 248)");
    },
  );

  test("wattgrad eval --where finds the same for a file", async () => {
    if (typeof chromium === "string") return;
    vi.stubEnv("CHROME_PATH", chromium.executablePath);
    const path = join("models", "mnist-cnn-int8-static.safetensors");
    const args = ["eval", path, "--where", "node,chromium", "--device", "wasm", "--json", "-"];
    const { code, stdout } = await run(args, directory);
    const damaged = await run(["eval", "tour.json", "--where", "chromium"], directory);
    vi.unstubAllEnvs();
    expect(code).toBe(0);
    const reports = JSON.parse(stdout);
    expect(reports.map(({ where }: { where: string }) => where)).toEqual(["node", "chromium"]);
    for (const report of reports) {
      expect(report).toMatchObject({ quantized: true, device: "wasm", testAccuracy: file.rows[1].accuracy });
    }
    expect(damaged.code).toBe(1);
    expect(damaged.stderr).toMatch(/^wattgrad: tour\.json: readSafetensors: [^\n]*\n$/);
    expect(damaged.stderr).not.toContain("http:");
  });
});
