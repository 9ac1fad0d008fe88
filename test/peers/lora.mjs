/**
 * LoRA of a real model: losses of eight steps in Node, in headless Chromium (--browser) and by PyTorch with peft (--torch PYTHON), and
 * the memory of each.
 *
 *     node test/peers/lora.mjs [--browser] [--torch python3] [--out FILE.json] [--device wasm]
 *
 * Without the model (see test/real_models.ts) it says so and ends.
 */
import { execFileSync } from "node:child_process";
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { settings, text, train, windows } from "./lora_training.mjs";

const { values: options } = parseArgs({
  options: {
    browser: { type: "boolean" },
    // Losses to compare with, from an earlier run in Node.
    known: { type: "string" },
    torch: { type: "string" },
    out: { type: "string" },
    device: { type: "string", default: "wasm" },
  },
});
const models = process.env.WATTGRAD_REAL_MODELS ?? join(homedir(), ".cache", "wattgrad-tests", "real-models");
const model = join(models, "smollm2");
if (!existsSync(model)) {
  console.log(`left out: there is no ${model}`);
  process.exit(0);
}
const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "..", "..");
const work = join(tmpdir(), "wattgrad-lora");
mkdirSync(work, { recursive: true });
const importAll = async () =>
  Object.fromEntries(
    await Promise.all(
      ["index", "models", "optim", "adapters"].map(async (name) => [name, await import(`../../dist/${name}.js`)]),
    ),
  );
const result = { settings };
const mb = (bytes) => Math.round(bytes / 1e6);

const labels = { baseModel: "HuggingFaceTB/SmolLM2-135M-Instruct", taskType: "CAUSAL_LM" };

const { folder } = await import("../../dist/hub.js");
const { loadTokenizer } = await import("../../dist/text.js");
const batches = windows((await loadTokenizer(folder(model))).encode(text, { addSpecialTokens: false }));

async function inNode() {
  const wattgrad = await importAll();
  const { saveSafetensors } = await import("../../dist/formats.js");
  const device = await wattgrad.index.openDevice(options.device);
  const run = await train(wattgrad, folder(model), device, batches, {
    started: async (adapter, base) => {
      await wattgrad.adapters.saveAdapter(adapter, join(work, "start"), labels);
      if (!options.torch) return;
      // What the GGUF file holds, as float32, by the names of the original library.
      const state = wattgrad.models.fileState(base);
      for (const name of state.keys()) if (/lora_[AB]/.test(name)) state.delete(name);
      await saveSafetensors(join(work, "model.safetensors"), state);
      writeFileSync(join(work, "windows.json"), JSON.stringify({ settings, windows: batches }));
    },
    ended: (adapter) => wattgrad.adapters.saveAdapter(adapter, join(work, "end"), labels),
    report: (what, { peakBytes }) => console.log(`node, ${what}, peak ${mb(peakBytes)} MB`),
  });
  return { ...run, peakRssBytes: 1024 * process.resourceUsage().maxRSS };
}

/** The page's scripts, and the model with ranges. */
function serve() {
  const types = { js: "text/javascript", mjs: "text/javascript", wasm: "application/wasm", html: "text/html" };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    if (pathname === "/") return response.setHeader("content-type", "text/html").end("<!doctype html><title>LoRA</title>");
    const gguf = readdirSync(model).find((name) => name.endsWith(".gguf"));
    const path = pathname.startsWith("/model/") ? join(model, pathname.slice(7)) : join(root, pathname);
    if (!existsSync(path) || !statSync(path).isFile()) return response.writeHead(404).end();
    const { size } = statSync(path);
    const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "") ?? [];
    const start = Number(from ?? 0);
    const end = to ? Number(to) : size - 1;
    response.writeHead(from === undefined ? 200 : 206, {
      "content-type": types[path.split(".").at(-1)] ?? "application/octet-stream",
      "content-length": end - start + 1,
      "accept-ranges": "bytes",
      ...(from !== undefined && { "content-range": `bytes ${start}-${end}/${size}` }),
      ...(gguf && { "x-gguf": gguf }),
    });
    createReadStream(path, { start, end }).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** Trains in a worker of a page: memory of the wasm module, the worker's heap and the whole renderer process. */
async function inBrowser() {
  const { default: puppeteer } = await import("puppeteer");
  const server = await serve();
  const browser = await puppeteer.launch({ headless: true, args: ["--no-sandbox"], protocolTimeout: 1_200_000 });
  try {
    const page = await browser.newPage();
    page.on("console", (message) => console.log(`browser, ${message.text()}`));
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const run = await page.evaluate(
      (given) =>
        new Promise((resolve, reject) => {
          const worker = new Worker("/test/peers/lora_worker.mjs", { type: "module" });
          worker.onmessage = ({ data }) => {
            if (data.told) console.log(data.told);
            else if (data.failed) reject(new Error(data.failed));
            else resolve(data.run);
          };
          worker.onerror = ({ message }) => reject(new Error(message));
          worker.postMessage(given);
        }),
      { device: options.device, batches },
    );
    return { ...run, rendererPeakBytes: largestRenderer(browser.process().pid) };
  } finally {
    await browser.close();
    server.close();
  }
}

/** Peak resident bytes of the largest renderer below the process. Linux. */
function largestRenderer(root) {
  const peaks = [0];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (!command.includes("--type=renderer") || !isBelow(Number(pid), root)) continue;
      const [, kb] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [0, 0];
      peaks.push(1024 * Number(kb));
    } catch {
      // The process has ended.
    }
  }
  return Math.max(...peaks);
}

function isBelow(pid, root) {
  for (let at = pid; at > 1; ) {
    if (at === root) return true;
    at = Number(/PPid:\s+(\d+)/.exec(readFileSync(`/proc/${at}/status`, "utf8"))[1]);
  }
  return false;
}

function inTorch() {
  const output = execFileSync(options.torch, [join(here, "lora_torch.py"), work], { stdio: ["ignore", "pipe", "inherit"] });
  return JSON.parse(output.toString().trim().split("\n").at(-1));
}

const differenceOf = (a, b) => Math.max(...a.map((value, i) => Math.abs(value - b[i])));
result.node = options.known ? JSON.parse(readFileSync(options.known, "utf8")).node : await inNode();
if (options.torch) {
  result.torch = inTorch();
  result.torch.difference = differenceOf(result.torch.losses, result.node.losses);
}
if (options.browser) {
  result.browser = await inBrowser();
  result.browser.difference = differenceOf(result.browser.losses, result.node.losses);
}
console.log(JSON.stringify(result, undefined, 2));
if (options.out) writeFileSync(options.out, JSON.stringify(result, undefined, 2));
