/**
 * What a length that was never seen before costs: processor time of the first call of a 12-layer GPT (graph, compile,
 * encode, run) beside that of a replay, for a forward pass and for a training step, both captured.
 *
 *     node new_length.mjs [DIST…] [--layers 12] [--width 64] [--lengths 40] [--warmup 12] [--json FILE]
 *
 * Each DIST is a folder with a build of wattgrad, by default this one's dist/. Every build is a process of its own, only
 * one works at a time, and they take turns at each length, so that a noisy neighbour hits all of them. Their losses must
 * agree. A median leaves out the few calls that garbage collection hits, so means are given too.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { median } from "./measure.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    layers: { type: "string", default: "12" },
    width: { type: "string", default: "64" },
    lengths: { type: "string", default: "40" },
    warmup: { type: "string", default: "12" },
    json: { type: "string" },
  },
});
const [layers, width, lengths, warmup] = ["layers", "width", "lengths", "warmup"].map((name) =>
  Number(options[name]),
);
const shortest = 16;
const vocabulary = 65;
const replays = 5;
/** Builds may round differently. */
const lossTolerance = 1e-4;

/** Milliseconds of processor time of all threads, those that compile and collect garbage included. */
function processor() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

/** One build: answers { kind, length } with { first, replay } in milliseconds, and the first call's loss. */
async function serve(dist) {
  const load = (file) => import(pathToFileURL(join(resolve(dist), file)).href);
  const [index, nn, optim, models] = await Promise.all(
    ["index.js", "nn.js", "optim.js", "models.js"].map(load),
  );
  const device = await index.openDevice("wasm");
  index.manualSeed(7, device);
  const context = shortest + warmup + lengths;
  const model = new models.CharGpt({ device, numLayers: layers, width, context, vocabulary });
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });
  const lossOf = (x, y) =>
    nn.crossEntropy(index.reshape(model.forward(x), [-1, vocabulary]), index.reshape(y, [-1]));
  const kinds = {
    forward: index.jit((x, y) => index.noGrad(() => lossOf(x, y))),
    step: index.jit((x, y) => {
      const loss = lossOf(x, y);
      loss.backward();
      optimizer.step();
      return loss;
    }),
  };
  process.on("message", async ({ kind, length }) => {
    const tokens = (first) => Int32Array.from({ length }, (_, i) => (i * 31 + first) % vocabulary);
    const inputs = [1, 2].map((first) => index.tensor(tokens(first), { shape: [1, length], device }));
    const times = [];
    let loss;
    for (let i = 0; i <= replays; i++) {
      const before = processor();
      const result = kinds[kind](...inputs);
      const value = await result.item();
      times.push(processor() - before);
      loss ??= value;
      result.dispose();
    }
    for (const input of inputs) input.dispose();
    process.send({ first: times[0], replay: median(times.slice(1)), loss });
  });
  process.send("ready");
}

async function compare(builds) {
  const children = builds.map((dist) => fork(fileURLToPath(import.meta.url), process.argv.slice(2), { env: { ...process.env, SERVE: dist } }));
  await Promise.all(children.map((child) => once(child, "message")));
  const results = builds.map(() => ({ forward: [], step: [] }));
  // 7 has no divisor in common with the number of lengths, mostly: neighbours do not follow each other.
  const all = Array.from({ length: warmup + lengths }, (_, i) => shortest + ((i * 7) % (warmup + lengths)));
  for (const [round, length] of all.entries()) {
    for (const kind of ["forward", "step"]) {
      const losses = [];
      const order = children.map((_, i) => (i + round) % children.length);
      for (const i of order) {
        children[i].send({ kind, length });
        const [answer] = await once(children[i], "message");
        losses.push(answer.loss);
        if (round >= warmup) results[i][kind].push(answer);
      }
      if (Math.max(...losses) - Math.min(...losses) > lossTolerance) {
        throw new Error(`${kind} at length ${length}: losses ${losses.join(", ")}`);
      }
    }
  }
  for (const child of children) child.disconnect();
  return results;
}

const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;

/** Of one build and kind, with the ratio of the first build's first calls to its own, length by length. */
function summary(calls, reference) {
  const first = calls.map((call) => call.first);
  return {
    firstMedian: median(first),
    firstMean: mean(first),
    replay: median(calls.map((call) => call.replay)),
    ratio: median(first.map((time, i) => reference[i].first / time)),
  };
}

async function main() {
  const builds = positionals.length > 0 ? positionals : [fileURLToPath(new URL("../../dist", import.meta.url))];
  const results = await compare(builds);
  console.log(
    `Node ${process.version}, GPT of ${layers} layers, width ${width}: processor time in ms over ${lengths} new lengths`,
  );
  const rows = ["forward", "step"].flatMap((kind) =>
    results.map((result, i) => ({ kind, dist: builds[i], ...summary(result[kind], results[0][kind]) })),
  );
  console.table(
    rows.map(({ kind, dist, firstMedian, firstMean, replay, ratio }) => ({
      kind,
      build: dist,
      "first (median)": firstMedian.toFixed(1),
      "first (mean)": firstMean.toFixed(1),
      "replay (median)": replay.toFixed(2),
      "first build / this": ratio.toFixed(2),
    })),
  );
  if (options.json) writeFileSync(options.json, JSON.stringify({ node: process.version, layers, width, rows }, null, 1));
}

if (process.env.SERVE) await serve(process.env.SERVE);
else await main();
