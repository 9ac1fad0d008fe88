/**
 * wattgrad (from src) beside tfjs and onnxruntime-web on WebGL2, in one headless Chromium, in turns.
 *
 *     node webgl.mjs [--driver swiftshader|llvmpipe|default] [--only gemm,conv,chain,train|mlp|cnn] [--rounds 9]
 *                    [--sides ours,tfjs,ort] [--firsts 3] [--limit 60] [--profile] [--top 30] [--json FILE]
 *     node webgl.mjs --pack DIR
 *
 * Data is resident and every turn ends with reading one element; results are compared with float64 before and after
 * the timing, losses of trainings with the wasm device's, and WebGL's errors fail a contender. Each training and each
 * group of cases has a browser of its own. `--firsts` browsers make the first steps of a training, which compile; sides
 * begin in turns. Processor times are of the whole browser, its GPU process included. `--limit`: seconds for one contender's timing of one case. `--profile` times every pass of ours.
 * `--pack` writes a folder whose webgl.html runs everything by itself and POSTs its report to /result (progress to
 * /log), for machines with a GPU and no Node; its query may hold only, rounds, limit and profile.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median } from "./measure.mjs";
import { buildPage, loadBrowser } from "./webgl_build.mjs";
import { groups, keysOf, trainings } from "./webgl_cases.mjs";
import { processorTime } from "./webgl_processor.mjs";
import { addRatios, printProfile, printReport } from "./webgl_report.mjs";

const { values } = parseArgs({
  options: {
    driver: { type: "string", default: "swiftshader" },
    only: { type: "string", default: groups.join() },
    rounds: { type: "string", default: "9" },
    sides: { type: "string", default: "ours,tfjs,ort" },
    firsts: { type: "string", default: "3" },
    limit: { type: "string", default: "60" },
    profile: { type: "boolean", default: false },
    top: { type: "string", default: "30" },
    json: { type: "string" },
    pack: { type: "string" },
  },
});
/** Runs of which the profile takes medians. */
const profiledRuns = 3;

if (values.pack !== undefined) {
  await buildPage(values.pack);
  console.log(`${values.pack}: serve it (COOP and COEP headers) and open webgl.html`);
  process.exit();
}

const options = {
  sides: values.sides.split(","),
  rounds: Number(values.rounds),
  milliseconds: 200,
  limit: Number(values.limit) * 1e3,
  profile: values.profile ? profiledRuns : 0,
};
const pages = values.only.split(",").flatMap((name) => (groups.includes(name) ? keysOf(name) : [[name]]));
// Mesa keeps compiled shaders on disk: the first step of a second run would find them there.
process.env.MESA_SHADER_CACHE_DISABLE = "true";
const { launchBrowser, serve } = await loadBrowser();

/** One fresh browser that runs the keys. */
async function run(url, keys, extra = {}) {
  const { browser, close } = await launchBrowser(values.driver);
  try {
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(`page: ${error.message}`));
    page.on("console", (message) => {
      if (/GL_INVALID|WebGL: /.test(message.text())) console.error(`page: ${message.text()}`);
    });
    await page.goto(`${url}webgl.html?driven`);
    await page.waitForFunction(() => "wattgradBenchmark" in globalThis);
    // Not awaited inside the page: a call of it may not last longer than the protocol's timeout.
    const done = new Promise((resolve, reject) => {
      page.exposeFunction("benchmarkDone", (result) => resolve(result)).catch(reject);
      page.on("error", reject);
      browser.on("disconnected", () => reject(new Error("the browser ended")));
    });
    await page.waitForFunction(() => "benchmarkDone" in globalThis);
    await page.exposeFunction("benchmarkLog", (line) => console.error(line));
    await page.exposeFunction("benchmarkProcessor", () => processorTime(browser.process().pid));
    await page.evaluate(
      (given) => {
        globalThis
          .wattgradBenchmark({ ...given, processor: globalThis.benchmarkProcessor }, globalThis.benchmarkLog)
          .catch((error) => ({ failure: String(error?.stack ?? error) }))
          .then(globalThis.benchmarkDone);
      },
      { ...options, ...extra, keys },
    );
    const report = await done;
    if (report.failure) throw new Error(report.failure);
    return { ...report, browser: await browser.version() };
  } finally {
    await close();
  }
}

/** The first steps of more browsers, into the medians of the row. */
async function addFirsts(url, key, row) {
  const firsts = { ours: [], tfjs: [] };
  const take = ({ contenders }) => {
    for (const name of Object.keys(firsts)) if (contenders[name]) firsts[name].push(contenders[name]);
  };
  take(row);
  for (let i = 1; i < Number(values.firsts); i++) {
    take((await run(url, [key], { firstOnly: true, reversed: i % 2 === 1 })).rows[0]);
  }
  for (const [name, sides] of Object.entries(firsts)) {
    if (!row.contenders[name]) continue;
    for (const field of ["firstMs", "firstCpuMs"]) {
      const values = sides.map((side) => side[field]);
      row.contenders[name] = { ...row.contenders[name], [field]: median(values), [`${field}All`]: values };
    }
  }
}

const directory = mkdtempSync(join(tmpdir(), "wattgrad-webgl-"));
await buildPage(directory);
const server = await serve(directory);
const report = { contenders: {}, errors: {}, rows: [] };
try {
  for (const keys of pages) {
    try {
      const { contenders, errors, rows, ...facts } = await run(server.url, keys);
      if (trainings.includes(keys[0])) await addFirsts(server.url, keys[0], rows[0]);
      Object.assign(report, facts);
      Object.assign(report.contenders, contenders);
      Object.assign(report.errors, errors);
      report.rows.push(...rows);
    } catch (error) {
      report.errors[keys.join()] = error.message;
    }
  }
} finally {
  await server.close();
  rmSync(directory, { recursive: true });
}
addRatios(report);
report.load = loadavg();
printReport(report);
console.log(`\nload ${report.load[0].toFixed(2)} on ${availableParallelism()} cores`);
for (const row of report.rows) if (row.profile) printProfile(row, Number(values.top));
if (values.json) writeFileSync(values.json, JSON.stringify(report, null, 1));
