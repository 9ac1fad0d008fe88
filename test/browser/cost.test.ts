/** Energy, profiles and benchmarks in a page, on WebGL and wasm. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BenchFile } from "../../src/cli/bench/file.js";
import { serve } from "../../src/cli/browser/serve.js";
import type { EnergyFigure } from "../../src/energy/index.js";
import type { Cost } from "../../src/kernels/kernel.js";
import type { Profile } from "../../src/profile/index.js";
import { openBrowser } from "./open.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const peers = join(root, "test", "peers");
const hasPeers = existsSync(join(peers, "node_modules", "@jax-js", "jax"));
if (!hasPeers) {
  console.warn("LEFT OUT: other libraries in a page; `npm ci --prefix test/peers` installs those");
}
const browser = await openBrowser("swiftshader");
const dist = await serve(join(root, "dist"));
afterAll(async () => {
  await dist.close();
  if (typeof browser !== "string") await browser.close();
});

interface Found {
  readonly report: Profile;
  readonly energy: EnergyFigure;
  readonly cost: Cost;
}

/** A script for the page, as text: vitest would rewrite the imports of a function. */
function measurement(device: string): string {
  return `(async () => {
    const { openDevice, randn } = await import("/index.js");
    const { Linear } = await import("/nn.js");
    const { profile } = await import("/profile.js");
    const { measure } = await import("/energy.js");
    const device = await openDevice(${JSON.stringify(device)});
    const layer = new Linear(64, 96, { device });
    const x = randn([32, 64], { device });
    await x.data();
    const report = await profile(device, () => layer.forward(x), { model: layer, repetitions: 2 });
    const { energy, cost } = await measure(() => layer.forward(x).data(), { device });
    device.close();
    return { report, energy, cost };
  })()`;
}

describe.skipIf(typeof browser === "string").each(["wasm", "webgl"])("in a page on %s", (name) => {
  it("a product's profile, energy and cost", async () => {
    if (typeof browser === "string") return;
    const page = await browser.launched.browser.newPage();
    // Any file of dist gives a page of that origin.
    await page.goto(`${dist.url}index.js`);
    const found = (await page.evaluate(measurement(name))) as Found;
    await page.close();
    // A multiply-add per weight, and the bias.
    const flops = 32 * (2 * 64 + 1) * 96;
    expect(found.report.total).toMatchObject({ flops, calls: 1 });
    expect(found.report.total.seconds).toBeGreaterThan(0);
    expect(found.report.modules).toMatchObject([{ name: "(model)", flops }]);
    expect(found.cost.flops).toBe(flops);
    expect(found.energy).toMatchObject({ kind: "modelled", method: expect.stringContaining("45 nm") });
    expect(found.energy.joules).toBeGreaterThan(0);
  });
});

describe.skipIf(typeof browser === "string")("wattgrad bench", () => {
  let directory = "";
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "wattgrad-bench-"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  it("runs its cases in headless Chromium too", async () => {
    const args = [
      "bench",
      "--suite",
      "dispatch",
      "--where",
      "node,chromium",
      "--repeat",
      "3",
      "--json",
      "b.json",
    ];
    await promisify(execFile)(process.execPath, [join(root, "dist", "cli.js"), ...args], { cwd: directory });
    const { rows, places }: BenchFile = JSON.parse(await readFile(join(directory, "b.json"), "utf8"));
    expect(places.map(({ where }) => where)).toEqual(["node", "chromium"]);
    expect(places[1]).toMatchObject({
      version: expect.stringMatching(/Chrom/),
      renderer: expect.any(String),
    });
    const inPage = rows.filter(({ where }) => where === "chromium");
    expect(inPage.map(({ device }) => device)).toEqual(["wasm", "webgl"]);
    for (const row of inPage) {
      expect(row.error).toBeUndefined();
      expect(row.rate).toBeGreaterThan(0);
      expect(row.cpuTimes).toHaveLength(3);
      expect(row).toMatchObject({ joulesKind: "modelled", flops: 64 * 2 * 4 ** 3 });
    }
  });

  it.skipIf(!hasPeers)(
    "runs other libraries beside its own devices, and tells their errors and energy as they are",
    async () => {
      const args = ["bench", "--peers", "--suite", "dispatch,qgemm", "--where", "chromium", "--repeat", "3"];
      const [json, html] = [join(directory, "peers.json"), join(directory, "peers.html")];
      const env = { ...process.env, WATTGRAD_PEERS: peers };
      const command = [join(root, "dist", "cli.js"), ...args, "--json", json, "--html", html];
      const { stdout } = await promisify(execFile)(process.execPath, command, { env });
      const { rows, unavailable }: BenchFile = JSON.parse(await readFile(json, "utf8"));
      expect(unavailable).toEqual([]);
      const dispatch = rows.filter(({ suite }) => suite === "dispatch");
      expect(dispatch.map(({ peer, device }) => `${peer} ${device}`)).toEqual(
        [null, "tfjs", "onnxruntime-web", "jax-js"].flatMap((name) => [`${name} wasm`, `${name} webgl`]),
      );
      for (const row of dispatch) {
        expect(row.error).toBeUndefined();
        expect(row).toMatchObject({ threads: 1, flops: 64 * 2 * 4 ** 3 });
        if (row.peer !== null) expect(row).toMatchObject({ joules: null, joulesReason: expect.any(String) });
      }
      const products = rows.filter(({ suite }) => suite === "qgemm");
      for (const { peer, device, error } of products) {
        if (peer === null || `${peer} ${device}` === "onnxruntime-web wasm") expect(error).toBeUndefined();
        else expect(error).toMatch(/whole numbers|cannot resolve operator|int8/);
      }
      expect(stdout).toMatch(
        /ours \/ tfjs webgl, chromium: [\d.]+ × \(geometric mean of 1 cases, \d that it could not compute\)/,
      );
      if (typeof browser === "string") return;
      const page = await browser.launched.browser.newPage();
      const problems: string[] = [];
      page.on("console", (message) => problems.push(message.text()));
      page.on("pageerror", (error) => problems.push(String(error)));
      await page.goto(pathToFileURL(html).href, { waitUntil: "load" });
      const headings = await page.$$eval("h2", (found) => found.map(({ textContent }) => textContent));
      const errors = await page.$$eval(".error", (found) => found.map(({ textContent }) => textContent));
      await page.close();
      expect(problems).toEqual([]);
      expect(headings).toContain("Beside other libraries");
      expect(errors).toContain("tfjs webgl, chromium: tfjs has no products of whole numbers");
    },
    300_000,
  );
});
