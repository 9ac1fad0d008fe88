/** The report of wattgrad bench: one file that draws its plots without requests or console errors, also on a phone. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BenchRow } from "../../src/bench/index.js";
import { benchFile } from "../../src/cli/bench/file.js";
import { benchHtml } from "../../src/cli/bench/html.js";
import { openBrowser } from "./open.js";
import { openReport } from "./report.js";

const browser = await openBrowser("swiftshader");
let directory = "";
let url = "";

const measured: BenchRow = {
  suite: "gemm",
  case: "256 × 256 · 256 × 256",
  dtype: "float32",
  device: "wasm",
  where: "node",
  threads: 1,
  simd: "relaxed",
  medianMs: 1,
  minMs: 0.9,
  times: [1, 0.9, 1.1],
  cpuTimes: null,
  runs: 3,
  rate: 33.5,
  unit: "GFLOP/s",
  flops: 2 * 256 ** 3,
  bytes: 12 * 256 ** 2,
  joules: 0.007,
  joulesKind: "assumed",
  joulesReason: "no meter",
  peer: null,
};
const rows: BenchRow[] = [
  measured,
  { ...measured, device: "webgl", where: "chromium", rate: 4, medianMs: 8.4, joules: 0.0002 },
  { ...measured, suite: "gemv", case: "1 × 8 · 8 × 8, int8 · int8", dtype: "int8", unit: "GB/s" },
  { ...measured, suite: "train", case: "MLP", unit: "steps/s", losses: [2.3, 1.9, 1.5, 1.2] },
  // What is in a message is text, whatever it looks like.
  {
    ...measured,
    peer: "tfjs",
    medianMs: null,
    minMs: null,
    times: [],
    rate: null,
    joules: null,
    joulesKind: null,
    error: "no kernel </script><img src=x onerror=alert(1)><!--",
  },
];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-report-"));
  const limit = {
    device: "wasm",
    peakFlops: 5e10,
    peakBandwidth: 1.5e10,
    ridge: 3.3,
    products: [],
    copies: [],
  };
  const place = {
    where: "node",
    version: "Node.js v20",
    renderer: null,
    devices: { wasm: { description: "WebAssembly SIMD", details: {} } },
    rooflines: { wasm: limit },
    meter: "cpu-time",
  };
  const missing = [{ device: "webgl", where: "node", reason: "there is no canvas" }];
  const file = benchFile({ suites: ["quick"], repeat: 3, turn: 40 }, 0.5, [place], missing, rows);
  const path = join(directory, "report.html");
  await writeFile(path, await benchHtml(file));
  url = pathToFileURL(path).href;
});

afterAll(async () => {
  await rm(directory, { recursive: true });
  if (typeof browser !== "string") await browser.close();
});

describe.skipIf(typeof browser === "string").each([
  ["a phone, light", 360, "light"],
  ["a desk, dark", 1200, "dark"],
])("on %s", (_, width, theme) => {
  test("all plots are drawn, without a word in the console and without the network", async () => {
    if (typeof browser === "string") return;
    const { page, problems } = await openReport(browser, url, width, theme);
    const found = await page.evaluate(() => ({
      headings: [...document.querySelectorAll("h2")].map(({ textContent }) => textContent),
      plots: [...document.querySelectorAll("canvas")].map((canvas) => {
        const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
      }),
      errors: [...document.querySelectorAll(".error")].map(({ textContent }) => textContent),
      injected: document.querySelectorAll("img").length,
      scrollWidth: document.documentElement.scrollWidth,
      background: getComputedStyle(document.body).backgroundColor,
    }));
    await page.close();
    expect(problems).toEqual([]);
    expect(found.headings).toEqual([
      "Beside other libraries",
      "gemm",
      "gemv",
      "train",
      "Roofline",
      "Loss",
      "Energy of a run",
      "All figures",
    ]);
    // Three cases, a roofline, a curve, energy: each with more in it than an empty canvas.
    expect(found.plots).toHaveLength(6);
    for (const colors of found.plots) expect(colors).toBeGreaterThan(10);
    expect(found.errors).toEqual([`tfjs wasm, node: ${rows[4].error}`]);
    expect(found.injected).toBe(0);
    expect(found.scrollWidth).toBe(width);
    expect(found.background).toBe(theme === "dark" ? "rgb(15, 19, 24)" : "rgb(244, 246, 248)");
  });
});
