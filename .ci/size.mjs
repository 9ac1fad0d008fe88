/**
 * How much a page downloads: bundles a small page that trains an MLP on the wasm device, gzips every file that it may
 * load, prints what was counted and fails above the budget. An engine loads one of the wasm binaries (a probe tells which,
 * before any is fetched): the larger one is counted.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import Table from "cli-table3";
import { build } from "esbuild";
import { hashOfAgreement } from "./agreement.mjs";

/** Bytes after gzip: what the project promises for training in a page. */
const budget = 80_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** A page's script; what it does not use is not in the bundle. */
const page = `
import { crossEntropy, openDevice } from "../src/index.js";
import { Linear, ReLU, Sequential, setDefaultDevice } from "../src/nn/index.js";
import { AdamW } from "../src/optim/index.js";
import { DataLoader, TensorDataset } from "../src/data/index.js";

export async function train(images, labels, epochs) {
  const device = await openDevice("wasm");
  setDefaultDevice(device);
  const model = new Sequential(
    new Linear(784, 256), new ReLU(), new Linear(256, 128), new ReLU(), new Linear(128, 10),
  );
  const optimizer = new AdamW(model.parameters(), { lr: 1e-3 });
  const loader = new DataLoader(new TensorDataset(images, labels), { device, batchSize: 64, shuffle: true });
  let last;
  for (let epoch = 0; epoch < epochs; epoch++) {
    for await (const [x, y] of loader) {
      const loss = crossEntropy(model.forward(x), y);
      loss.backward();
      optimizer.step();
      last = loss;
    }
  }
  return last?.item();
}
`;

const binaries = ["simd.wasm", "relaxed.wasm"].map((name) => join(root, "dist", name));
if (!binaries.every(existsSync)) {
  execFileSync(process.execPath, [join(root, ".ci", "build.mjs"), "--wasm"], { stdio: "inherit" });
}

const { outputFiles, metafile } = await build({
  metafile: true,
  absWorkingDir: root,
  stdin: { contents: page, sourcefile: "page.ts", resolveDir: join(root, ".ci"), loader: "ts" },
  outdir: "page",
  write: false,
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  external: ["node:*"],
  loader: { ".glsl": "text" },
  define: { WATTGRAD_BUNDLED: "true", WATTGRAD_AGREEMENT: String(await hashOfAgreement()) },
  // As in build.mjs: without the module that installs Tensor's methods the page would be smaller and would not run.
  ignoreAnnotations: true,
  logLevel: "warning",
});

/** Chunks of devices that the page does not open, and of the race between devices, are never fetched. */
const otherDevices = [
  "src/device/reference/reference.ts",
  "src/device/webgl/webgl.ts",
  "src/device/speed.ts",
];

/** The outputs that `entry` makes a page fetch: what it imports, and what the wasm device imports when it is opened. */
function fetched(output, seen = new Set()) {
  if (seen.has(output)) return seen;
  seen.add(output);
  for (const { path, kind, external } of metafile.outputs[output].imports) {
    const isOther = kind === "dynamic-import" && otherDevices.includes(metafile.outputs[path]?.entryPoint);
    if (!external && !isOther) fetched(path, seen);
  }
  return seen;
}

const outputs = Object.keys(metafile.outputs);
const loaded = fetched(outputs.find((path) => metafile.outputs[path].entryPoint?.endsWith("page.ts")));
const scripts = outputFiles.map(({ path, contents }) => ({
  name: path.slice(root.length + 1),
  bytes: contents,
}));
const measured = [
  ...scripts,
  ...binaries.map((path) => ({ name: path.slice(root.length + 1), bytes: readFileSync(path) })),
].map(({ name, bytes }) => ({ name, raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length }));
const [binary] = measured.filter(({ name }) => name.endsWith(".wasm")).sort((a, b) => b.gzip - a.gzip);
const isLoaded = (file) => loaded.has(file.name) || file === binary;
const files = measured.filter(isLoaded);
const total = (column) => files.reduce((sum, file) => sum + file[column], 0);

const table = new Table({
  head: ["file", "raw", "gzip"],
  colAligns: ["left", "right", "right"],
  style: { head: [], border: [] },
});
for (const { name, raw, gzip } of files) table.push([name, raw, gzip]);
table.push(["total", total("raw"), total("gzip")]);
for (const file of measured.filter((file) => !isLoaded(file))) {
  const name = metafile.outputs[file.name]?.entryPoint ?? file.name;
  table.push([`not loaded: ${name}`, file.raw, file.gzip]);
}
console.log(
  "A page that trains the MLP 784-256-128-10: its minified scripts and the larger wasm binary, in bytes.",
);
console.log(table.toString());
const fits = total("gzip") <= budget;
console.log(`${total("gzip")} of ${budget} bytes after gzip -9: ${fits ? "within" : "ABOVE"} the budget.`);
if (!fits) process.exitCode = 1;
