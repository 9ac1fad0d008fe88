/**
 * Products with a weight that stays (linear layers, 1 × 1 convolutions) and training steps: two builds of wattgrad in turns, one thread.
 *
 *     node linear.mjs --base DIR [--new DIR] [--binary simd|relaxed] [--rounds 9] [--only TEXT] [--json FILE]
 *
 * DIR holds a build's `index.js` (default of --new: ../../dist). Every layer's weights are used in turn, as a model of many layers
 * does, so that they come from memory rather than from a cache. Prints milliseconds of processor time per layer (median), which other
 * processes disturb less than wall-clock time, and base / new.
 */
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { median } from "./measure.mjs";
import { generator } from "./workloads.mjs";

const { values: options } = parseArgs({
  options: {
    base: { type: "string" },
    new: { type: "string", default: resolve(import.meta.dirname, "../../dist") },
    binary: { type: "string" },
    rounds: { type: "string", default: "9" },
    only: { type: "string", default: "" },
    json: { type: "string" },
  },
});
/** Bytes of weights used in turn: more than most caches. */
const rotatedBytes = 64 * 2 ** 20;

const random = (size, seed) => {
  const uniform = generator(seed);
  return Float32Array.from({ length: size }, () => uniform() - 0.5);
};

/** x [m, k] · w, with w [n, k] transposed as `Linear` has it, or [k, n]. */
function product(m, k, n, layout) {
  const count = layout === "gemm" ? 1 : Math.max(1, Math.min(24, Math.round(rotatedBytes / (4 * k * n))));
  const weights = Array.from({ length: count }, (_, i) => random(k * n, i + 1));
  const rows = random(m * k, 99);
  return {
    name: `${m}x${k}x${n} ${layout}`,
    flops: 2 * m * k * n,
    count,
    make({ jit, matmul, tensor }, device) {
      const transposed = layout === "[n,k]";
      const x = tensor(rows, { shape: [m, k], device });
      const multiply = jit((a, b) => matmul(a, transposed ? b.transpose(0, 1) : b));
      const list = weights.map((w) => tensor(w, { shape: transposed ? [n, k] : [k, n], device }));
      const run = () => {
        for (const w of list) multiply(x, w).dispose();
      };
      return { run, result: async () => multiply(x, list[0]).data() };
    },
  };
}

/** Values in a group of weights that share a scale. */
const groupSize = 32;

/** Quantized products by name: bits of the weights, whether they have groups, whether the rows are float32. */
const formats = {
  int8: { bits: 8 },
  int7: { bits: 7 },
  "weight-only int8": { bits: 8, float: true },
  "weight-only int7": { bits: 7, float: true },
  int8Groups: { bits: 8, groups: true },
  int4: { bits: 4, groups: true },
};

/** Rows [m, k] times packed weights [n, k]. All weights have the same values. */
function quantized(m, k, n, name) {
  const { bits, float = false, groups = false } = formats[name];
  const levels = { 8: 127, 7: 63, 4: 7 }[bits];
  const count = Math.max(1, Math.round((rotatedBytes * 8) / (bits * k * n)));
  return {
    name: `${m}x${k}x${n} ${name}`,
    flops: 2 * m * k * n,
    count,
    make({ jit, tensor, packWeight, quantizedLinear, groupScales }, device) {
      const bytes = (size, seed, most) => Int8Array.from(random(size, seed), (value) => Math.round(2 * most * value));
      const values = tensor(bytes(k * n, 1, levels), { shape: [n, k], device });
      const weights = Array.from({ length: count }, () => {
        const weight = packWeight(values, groups ? { bits, groupSize } : { bits });
        weight.packed.realize();
        return weight;
      });
      const x = tensor(float ? random(m * k, 99) : bytes(m * k, 99, 127), { shape: [m, k], device });
      const constant = (shape) => tensor(new Float32Array(shape.reduce((a, b) => a * b)).fill(0.01), { shape, device });
      const scales = groups ? groupScales(constant([n, k / groupSize])).realize() : constant([n]);
      const inputScales = groups ? constant([m, k / groupSize]) : undefined;
      const multiply = jit((a, packed) => quantizedLinear(a, { ...weights[0], packed }, { scales, inputScales }));
      const run = () => {
        for (const { packed } of weights) multiply(x, packed).dispose();
      };
      return { run, result: async () => multiply(x, weights[0].packed).data() };
    },
  };
}

/** `conv` of one image, its weights used in turn. */
function convolution(inputs, outputs, size, kernel) {
  const bytes = 4 * inputs * outputs * kernel * kernel;
  const count = Math.max(1, Math.min(24, Math.round(rotatedBytes / bytes)));
  const weights = Array.from({ length: count }, (_, i) => random(bytes / 4, i + 1));
  const image = random(inputs * size * size, 98);
  return {
    name: `conv ${kernel}x${kernel} ${inputs}->${outputs} ${size}x${size}`,
    flops: (2 * bytes * size * size) / 4,
    count,
    make({ jit, conv2d, tensor }, device) {
      const x = tensor(image, { shape: [1, inputs, size, size], device });
      const convolve = jit((a, w) => conv2d(a, w, undefined, { padding: (kernel - 1) / 2 }));
      const list = weights.map((w) => tensor(w, { shape: [outputs, inputs, kernel, kernel], device }));
      const run = () => {
        for (const w of list) convolve(x, w).dispose();
      };
      return { run, result: async () => convolve(x, list[0]).data() };
    },
  };
}

const all = [
  ...[1, 2, 3, 4, 8, 16, 32, 64, 128].flatMap((m) => [product(m, 768, 3072, "[n,k]"), product(m, 768, 3072, "[k,n]")]),
  ...[2, 4, 8, 16].flatMap((m) => [product(m, 3072, 768, "[n,k]"), product(m, 128, 128, "[n,k]"), product(m, 128, 128, "[k,n]")]),
  ...Object.keys(formats).flatMap((format) => [
    ...[768, 3072, 50257].map((n) => quantized(1, 768, n, format)),
    quantized(1, 3072, 768, format),
    quantized(1, 576, 1536, format),
    quantized(1, 1536, 576, format),
    ...[2, 4].map((m) => quantized(m, 768, 3072, format)),
  ]),
  ...[256, 512, 1024].map((n) => product(n, n, n, "gemm")),
  convolution(256, 1024, 14, 1),
  convolution(512, 2048, 7, 1),
  convolution(64, 64, 56, 3),
  convolution(512, 512, 7, 3),
];

/** Processor time of this process, in ms. */
const processorTime = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Turns of about `turnMs`, one contender after the other; per contender its times in ms per run. */
async function takeTurns(contenders, rounds, turnMs) {
  const repeats = [];
  for (const { run } of contenders) {
    for (let i = 0; i < 3; i++) await run();
    const start = processorTime();
    await run();
    repeats.push(Math.max(1, Math.min(5000, Math.round(turnMs / Math.max(0.005, processorTime() - start)))));
  }
  const times = contenders.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { run }] of contenders.entries()) {
      const start = processorTime();
      for (let r = 0; r < repeats[i]; r++) await run();
      times[i].push((processorTime() - start) / repeats[i]);
    }
  }
  return times;
}

const builds = [];
for (const [name, path] of Object.entries({ base: options.base, new: options.new })) {
  if (path === undefined) continue;
  const library = await import(resolve(path, "index.js"));
  const device = await library.openDevice("wasm", { wasm: { binary: options.binary } });
  builds.push({ name, library, device });
}
console.log(`Node ${process.version}, ${builds.at(-1).device.info.description}`);

const rows = [];
for (const work of all.filter(({ name }) => name.includes(options.only))) {
  const contenders = builds.map(({ name, library, device }) => ({ name, ...work.make(library, device) }));
  const [first, last] = [await contenders[0].result(), await contenders.at(-1).result()];
  const difference = first.reduce((worst, value, i) => Math.max(worst, Math.abs(value - last[i])), 0);
  if (!(difference < 1e-3)) throw new Error(`${work.name}: the builds differ by ${difference}`);
  const times = await takeTurns(contenders, Number(options.rounds), 60);
  const row = { name: work.name };
  for (const [i, { name }] of contenders.entries()) {
    const ms = median(times[i]) / work.count;
    row[name] = { ms, bestMs: Math.min(...times[i]) / work.count, gflops: work.flops / ms / 1e6 };
  }
  rows.push(row);
  const cells = contenders.map(({ name }) => `${name} ${row[name].ms.toFixed(3)} ms ${row[name].gflops.toFixed(1)} GF/s`);
  const ratio = builds.length === 2 ? `  ${(row.base.ms / row.new.ms).toFixed(2)} (best ${(row.base.bestMs / row.new.bestMs).toFixed(2)})` : "";
  console.log(`${work.name.padEnd(26)}${cells.map((cell) => cell.padStart(34)).join("")}${ratio}`);
}
if (options.json) writeFileSync(options.json, JSON.stringify({ node: process.version, rows }, null, 1));
