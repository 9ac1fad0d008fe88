/**
 * SmolLM2-135M in headless Chromium, one thread, in turns: wllama with a Q8_0 file, wattgrad (wasm) with random int8 and int4 weights of the
 * same shapes. Milliseconds per token after a short prompt.
 *
 *     WATTGRAD_PEERS=FOLDER node language_page.mjs MODELS/smollm2_q8_0.gguf [--rounds 5] [--tokens 16]
 *
 * WATTGRAD_PEERS is a folder with @wllama/wllama; language_models.py writes the file.
 */
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import puppeteer from "puppeteer";
import { median } from "./measure.mjs";

const { values, positionals } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, tokens: { type: "string", default: "16" } },
  allowPositionals: true,
});
const root = fileURLToPath(new URL("../../", import.meta.url));
const bundle = await build({
  absWorkingDir: root,
  stdin: {
    loader: "ts",
    resolveDir: root,
    contents: `
      import { openDevice } from "./src/index.ts";
      import { int4WeightOnly, int8Dynamic, quantize } from "./src/quantization/index.ts";
      import { DecodeSession } from "./src/generation/session.ts";
      import { llama } from "./src/models/llama/llama.ts";
      import "./src/ops/methods.ts";
      globalThis.openWattgrad = async (weights) => {
        const device = await openDevice("wasm");
        const config = llama.readConfig({ model_type: "llama", vocab_size: 49152, hidden_size: 576, intermediate_size: 1536,
          num_hidden_layers: 30, num_attention_heads: 9, num_key_value_heads: 3, max_position_embeddings: 8192,
          rms_norm_eps: 1e-5, rope_theta: 100000, tie_word_embeddings: true, hidden_act: "silu" });
        const model = llama.build(config, "causalLm", { device });
        await quantize(model, weights === "int8" ? int8Dynamic() : int4WeightOnly());
        return async (tokens) => {
          const session = new DecodeSession(model, device, 1, 256);
          await session.step(Int32Array.from({ length: 8 }, (_, i) => 5 + i), [8], "best");
          const start = performance.now();
          for (let i = 0; i < tokens; i++) await session.step(Int32Array.of(7 + i), [1], "best");
          const ms = (performance.now() - start) / tokens;
          session.dispose();
          return ms;
        };
      };`,
  },
  bundle: true,
  write: false,
  format: "esm",
  platform: "browser",
  external: ["node:*"],
  loader: { ".glsl": "text" },
  define: { WATTGRAD_BUNDLED: "true" },
  ignoreAnnotations: true,
});
const wllama = join(process.env.WATTGRAD_PEERS ?? "", "node_modules/@wllama/wllama/esm");
const files = {
  "/wllama.js": [join(wllama, "index.js"), "text/javascript"],
  "/wllama.wasm": [join(wllama, "wasm/wllama.wasm"), "application/wasm"],
  "/model.gguf": [positionals[0], "application/octet-stream"],
  "/simd.wasm": [join(root, "dist/simd.wasm"), "application/wasm"],
  "/relaxed.wasm": [join(root, "dist/relaxed.wasm"), "application/wasm"],
};
const server = createServer(({ url }, response) => {
  if (url === "/") return response.setHeader("content-type", "text/html").end("<script type=module src=/page.js></script>");
  if (url === "/page.js") return response.setHeader("content-type", "text/javascript").end(bundle.outputFiles[0].text);
  const [path, type] = files[url] ?? [];
  if (path === undefined) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": type, "content-length": statSync(path).size });
  createReadStream(path).pipe(response);
});
await new Promise((resolve) => server.listen(0, resolve));
const { port } = server.address();
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
  protocolTimeout: 900_000,
});
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.log("page:", String(error)));
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.waitForFunction(() => "openWattgrad" in globalThis);
  await page.evaluate(async () => {
    const { Wllama } = await import("/wllama.js");
    const engine = new Wllama({ default: "/wllama.wasm" });
    const blob = await (await fetch("/model.gguf")).blob();
    await engine.loadModel([blob], { n_threads: 1, n_ctx: 256 });
    globalThis.contenders = {
      "wllama Q8_0": async (tokens) => {
        const prompt = "The history of the city begins with a";
        const { timings, usage } = await engine.createCompletion({ prompt, max_tokens: tokens, temperature: 0, cache_prompt: false });
        return timings?.predicted_per_token_ms ?? (() => { throw new Error(JSON.stringify({ timings, usage })); })();
      },
      "wattgrad int8": await globalThis.openWattgrad("int8"),
      "wattgrad int4": await globalThis.openWattgrad("int4"),
    };
    for (const run of Object.values(globalThis.contenders)) await run(4);
  });
  const times = {};
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const name of ["wllama Q8_0", "wattgrad int8", "wattgrad int4"]) {
      const ms = await page.evaluate((...given) => globalThis.contenders[given[0]](given[1]), name, Number(values.tokens));
      times[name] = [...(times[name] ?? []), ms];
    }
  }
  const first = times["wllama Q8_0"];
  console.log(`${await browser.version()}: SmolLM2-135M, one thread, milliseconds per token`);
  console.table(
    Object.fromEntries(
      Object.entries(times).map(([name, list]) => [
        name,
        {
          median: median(list).toFixed(1),
          best: Math.min(...list).toFixed(1),
          "× wllama, median of rounds": median(list.map((ms, i) => first[i] / ms)).toFixed(2),
        },
      ]),
    ),
  );
} finally {
  await browser.close();
  server.close();
}
