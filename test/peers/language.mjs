/**
 * Language models side by side, each library in a process of its own, on one thread, in turns: a 128-token prompt, tokens
 * with a cache of 256, peak memory; bytes per second of decoding against a loop that only reads; milliseconds per token by context.
 *
 *     python language_models.py MODELS [SmolLM2.gguf]
 *     WATTGRAD_PEERS=FOLDER node language.mjs [MODELS] [--rounds 5] [--tokens 8]
 *
 * Milliseconds are those of the processor, which other work on the machine disturbs less; all are of one thread.
 *
 * WATTGRAD_PEERS is a folder with onnxruntime-web, as of `wattgrad bench --peers`; without it or MODELS only wattgrad runs. transformers.js
 * runs its models by onnxruntime-web in pages: what its own code adds is not counted here.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "./measure.mjs";

const { values, positionals } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, tokens: { type: "string", default: "8" } },
  allowPositionals: true,
});
const [rounds, tokens] = [Number(values.rounds), Number(values.tokens)];
const [models] = positionals;
const peers = process.env.WATTGRAD_PEERS;

/** A contender's process; `ask` waits for its next line. */
async function start(title, args) {
  const script = fileURLToPath(new URL("language_contender.mjs", import.meta.url));
  const child = spawn(process.execPath, [script, ...args], { stdio: ["pipe", "pipe", "ignore"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    const message = done ? { error: "the process ended" } : JSON.parse(value);
    if (message.error) throw new Error(`${title}: ${message.error}`);
    return message;
  };
  const ready = await next();
  return {
    title,
    ...ready,
    ask: (task, count) => {
      child.stdin.write(`${JSON.stringify({ do: task, count })}\n`);
      return next();
    },
    end: () => child.stdin.end(),
  };
}

async function tryToStart(title, args) {
  try {
    return await start(title, args);
  } catch (error) {
    console.log(`left out: ${error.message}`);
    return undefined;
  }
}

const wanted = ["f32", "int8", "int8, 7 bits", "int8 weights", "int4"].map((weights) => [
  `wattgrad ${weights}`,
  ["wattgrad", "gpt2", weights],
]);
for (const [weights, file] of [
  ["f32", "gpt2.onnx"],
  ["int8", "gpt2_int8.onnx"],
]) {
  const path = join(models ?? "", file);
  if (peers && models && existsSync(path)) wanted.push([`onnxruntime-web ${weights}`, ["onnx", "gpt2", weights, peers, path]]);
  else console.log(`left out: onnxruntime-web ${weights} (WATTGRAD_PEERS and ${file} are needed)`);
}
const contenders = [];
for (const [title, args] of wanted) contenders.push(await tryToStart(title, args));
const present = contenders.filter((contender) => contender !== undefined);
const figures = new Map(present.map(({ title }) => [title, { prefill: [], decode: [], wall: [], peakMB: 0 }]));
const reads = [];
for (let round = 0; round < rounds; round++) {
  for (const { title, ask } of present) {
    const figure = figures.get(title);
    figure.prefill.push((await ask("prefill", 128)).ms);
    const { ms, wallMs, peakMB } = await ask("decode", tokens);
    figure.decode.push(ms / tokens);
    figure.wall.push(wallMs / tokens);
    figure.peakMB = peakMB;
  }
  reads.push((await present[0].ask("read")).ms);
}
const gigabytes = (bytes, ms) => bytes / ms / 1e6;
const readRate = gigabytes(2 ** 27, median(reads));
console.log("GPT-2 small, random weights, one thread, medians (best) in milliseconds of the processor");
console.table(
  Object.fromEntries(
    present.map(({ title, bytes, loadMs }) => {
      const { prefill, decode, wall, peakMB } = figures.get(title);
      const rate = gigabytes(bytes, median(decode));
      const row = {
        "128-token prompt": `${median(prefill).toFixed(0)} (${Math.min(...prefill).toFixed(0)})`,
        "a token": `${median(decode).toFixed(1)} (${Math.min(...decode).toFixed(1)})`,
        "by the clock": `${median(wall).toFixed(1)} (${Math.min(...wall).toFixed(1)})`,
        "tokens/s": (1e3 / median(decode)).toFixed(1),
        "weights, MB": (bytes / 1e6).toFixed(0),
        "GB/s": rate.toFixed(1),
        "of reading": `${((100 * rate) / readRate).toFixed(0)} %`,
        "peak MB": peakMB.toFixed(0),
        "ready after, s": (loadMs / 1e3).toFixed(1),
      };
      return [title, row];
    }),
  ),
);
console.log(`a loop that reads 128 MB: ${readRate.toFixed(1)} GB/s (best ${gigabytes(2 ** 27, Math.min(...reads)).toFixed(1)})`);
for (const weights of ["f32", "int8"]) {
  const [ours, theirs] = [figures.get(`wattgrad ${weights}`), figures.get(`onnxruntime-web ${weights}`)];
  if (!ours || !theirs) continue;
  const ratios = ours.decode.map((ms, i) => theirs.decode[i] / ms);
  const prompts = ours.prefill.map((ms, i) => theirs.prefill[i] / ms);
  console.log(`${weights}: decoding ${median(ratios).toFixed(2)} × onnxruntime-web, prompts ${median(prompts).toFixed(2)} ×`);
}
for (const { end } of present) end();

const lengths = [16, 500, 1000, 2000];
const long = await start("SmolLM2-135M, int8", ["wattgrad", "smollm2", "int8"]);
const times = new Map(lengths.map((length) => [length, []]));
for (let round = 0; round < Math.min(3, rounds); round++) {
  for (const length of lengths) times.get(length).push((await long.ask("at", length)).ms / 4);
}
long.end();
console.log("SmolLM2-135M, random weights, int8, a cache of 2,048: milliseconds per token by context");
console.table(
  Object.fromEntries(lengths.map((n) => [n, { median: median(times.get(n)).toFixed(1), best: Math.min(...times.get(n)).toFixed(1) }])),
);
