/**
 * Training steps per second, one thread, side by side: wattgrad, jax-js, tfjs (wasm and cpu) and, where a Python with
 * torch and safetensors is given, PyTorch on one thread.
 *
 *     node train.mjs [mlp cnn gpt] [--python PATH] [--rounds 7] [--limit 90] [--without tfjs-cpu,…] [--json FILE]
 *
 * Every contender is a process of its own that starts from the same weights and the same batch; only one works at a
 * time, and they take turns. Their losses must agree, or their times count for nothing. `--limit` is the number of
 * seconds that one may take for its first step, and for all of its turns. `--without` leaves out contenders that are
 * known to be slow when an unstable ratio is measured again. On a busy machine the ratio of processor times, which is
 * given too, is the steadier one (it counts the engine's background threads).
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeSafetensors } from "../../dist/formats.js";
import { openDevice } from "../../dist/index.js";
import * as models from "../../dist/models.js";
import { median } from "./measure.mjs";
import { initialWeights, workloads } from "./workloads.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: "string" },
    rounds: { type: "string", default: "7" },
    limit: { type: "string", default: "90" },
    without: { type: "string", default: "" },
    json: { type: "string" },
  },
});
const rounds = Number(options.rounds);
const limit = Number(options.limit) * 1e3;
const without = options.without.split(",");
const keys = positionals.length > 0 ? positionals : Object.keys(workloads);
/** Steps whose losses are compared, and by how much they may differ: PyTorch's float32 against ours, per unit of loss. */
const checkedSteps = 5;
const lossTolerance = 1e-3;
/** Milliseconds of work in one turn. */
const turn = 400;

const script = (name) => fileURLToPath(new URL(name, import.meta.url));
const node = (file, variant) => ({ command: process.execPath, file: script(file), variant });
const jaxVariants =
  typeof Iterator === "undefined"
    ? { "jax-js": "one-hot,products" }
    : { "jax-js": "one-hot,products", "jax-js (einsum)": "one-hot" };
/** The peers of a workload; jax-js and tfjs-wasm have no gradient for an embedding by gather, so they get one-hot. */
function contendersOf(key) {
  const jax = key === "gpt" ? jaxVariants : { "jax-js": "" };
  return {
    wattgrad: node("train_wattgrad.mjs", ""),
    ...Object.fromEntries(
      Object.entries(jax).map(([name, variant]) => [name, node("train_jax.mjs", variant)]),
    ),
    "tfjs-wasm": node("train_tensorflow.mjs", "wasm"),
    "tfjs-cpu": node("train_tensorflow.mjs", "cpu"),
    ...(options.python ? { PyTorch: { command: options.python, file: script("train_torch.py") } } : {}),
  };
}

/** A running contender: ask(message) → its answer; throws its error, or that it took too long. */
function start(name, { command, file, variant }, key, weights) {
  const environment = { ...process.env, OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1" };
  const child = spawn(command, [file, key, weights, ...(variant ? [variant] : [])], {
    stdio: ["pipe", "pipe", "pipe"],
    env: environment,
  });
  let complaints = "";
  child.stderr.on("data", (text) => {
    complaints = `${complaints}${text}`.slice(-2000);
  });
  child.stdin.on("error", () => {});
  const waiting = [];
  const early = [];
  const answer = (message) => (waiting.length > 0 ? waiting.shift()(message) : early.push(message));
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.startsWith("{")) answer(JSON.parse(line));
  });
  const ended = new Promise((resolve) => child.on("close", resolve));
  ended.then(() => answer({ error: complaints.trim().split("\n").at(-1) || "the process ended" }));
  child.on("error", (error) => answer({ error: error.message }));
  return {
    name,
    async ask(message, milliseconds) {
      if (message !== undefined) child.stdin.write(`${JSON.stringify(message)}\n`);
      let timer;
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, milliseconds, {
          error: `no answer within ${(milliseconds / 1e3).toFixed(0)} s`,
        });
      });
      const reply =
        early.shift() ?? (await Promise.race([new Promise((resolve) => waiting.push(resolve)), late]));
      clearTimeout(timer);
      if (reply.error !== undefined) throw new Error(reply.error);
      return reply;
    },
    stop() {
      child.kill("SIGKILL");
      return ended;
    },
  };
}

async function compare(key, weights) {
  const row = { workload: workloads[key].name, contenders: {}, errors: {} };
  const running = [];
  try {
    for (const [name, how] of Object.entries(contendersOf(key)).filter(([name]) => !without.includes(name))) {
      const contender = start(name, how, key, weights);
      running.push(contender);
      try {
        await contender.ask(undefined, limit);
        Object.assign(contender, { losses: [], times: [], cpuTimes: [], used: 0 });
        for (let i = 0; i < checkedSteps && (i === 0 || contender.used < limit); i++) {
          const { ms, cpuMs, losses, rssMB } = await contender.ask({ steps: 1 }, limit);
          contender.rssMB = rssMB;
          contender.losses.push(...losses);
          contender.used += ms;
          contender.once = ms;
          contender.onceCpu = cpuMs;
        }
        const expected = running[0].losses;
        contender.lossDifference = Math.max(
          ...contender.losses.map((loss, i) => Math.abs(loss - expected[i]) / Math.abs(expected[i])),
        );
        if (!(contender.lossDifference < lossTolerance)) {
          throw new Error(`other losses: ${contender.losses.map((loss) => loss.toFixed(4)).join(", ")}`);
        }
        // Where one step takes the whole time, that step is the figure.
        if (contender.used >= limit) {
          contender.times.push(contender.once);
          contender.cpuTimes.push(contender.onceCpu);
        }
      } catch (error) {
        row.errors[name] = error.message;
        await contender.stop();
        running.pop();
      }
    }
    for (const contender of running) {
      contender.steps = Math.max(1, Math.min(500, Math.round(turn / contender.once)));
      if (contender.times.length > 0) continue;
      // Warm-up: one turn that does not count, and a better idea of how many steps make a turn.
      const { ms } = await contender.ask({ steps: contender.steps }, limit * 2);
      contender.used += ms;
      contender.steps = Math.max(1, Math.min(500, Math.round((turn * contender.steps) / ms)));
    }
    for (let round = 0; round < rounds; round++) {
      for (const contender of running) {
        if (contender.used >= limit && contender.times.length > 0) continue;
        const { steps } = contender;
        const { ms, cpuMs, rssMB } = await contender.ask({ steps }, limit * 2);
        contender.used += ms;
        contender.times.push(ms / steps);
        contender.cpuTimes.push(cpuMs / steps);
        contender.rssMB = rssMB;
      }
    }
  } finally {
    for (const contender of running) await contender.stop();
  }
  for (const { name, times, cpuTimes, losses, lossDifference, rssMB } of running) {
    const [middle, best] = [median(times), Math.min(...times)];
    row.contenders[name] = {
      stepsPerSecond: 1e3 / middle,
      bestStepsPerSecond: 1e3 / best,
      msPerStep: middle,
      cpuMsPerStep: median(cpuTimes),
      turns: times.length,
      losses,
      lossDifference,
      rssMB,
    };
  }
  const speed = (name) => row.contenders[name]?.stepsPerSecond ?? 0;
  const peers = Object.keys(row.contenders).filter((name) => name !== "wattgrad" && name !== "PyTorch");
  row.bestPeer = peers.sort((a, b) => speed(b) - speed(a))[0];
  row.ratioToBestPeer = row.bestPeer ? speed("wattgrad") / speed(row.bestPeer) : null;
  row.ratioToTorch = speed("PyTorch") > 0 ? speed("wattgrad") / speed("PyTorch") : null;
  const cpu = (name) => row.contenders[name]?.cpuMsPerStep;
  row.cpuRatioToBestPeer = row.bestPeer ? cpu(row.bestPeer) / cpu("wattgrad") : null;
  row.cpuRatioToTorch = cpu("PyTorch") ? cpu("PyTorch") / cpu("wattgrad") : null;
  return row;
}

const device = await openDevice("wasm");
const folder = mkdtempSync(join(tmpdir(), "wattgrad-peers-"));
const rows = [];
const load = () => `load ${loadavg()[0].toFixed(2)} on ${availableParallelism()} cores`;
console.log(
  `Node ${process.version}, wattgrad on ${device.info.description}; steps/s: median (best); ${load()}`,
);
try {
  for (const key of keys) {
    const weights = await initialWeights(workloads[key], { models }, device);
    const { x, y } = workloads[key].batch;
    for (const [name, { shape, data }] of Object.entries({ x, y })) {
      weights.set(`batch.${name}`, { dtype: data instanceof Int32Array ? "int32" : "float32", shape, data });
    }
    const file = join(folder, `${key}.safetensors`);
    writeFileSync(file, writeSafetensors(weights));
    const row = await compare(key, file);
    rows.push(row);
    const ratio = (value) => (value === null ? "–" : value.toFixed(2));
    console.log(
      `\n${row.workload}: ${ratio(row.ratioToBestPeer)} × ${row.bestPeer ?? "no JavaScript peer"}, ${ratio(row.ratioToTorch)} × PyTorch on one thread; by processor time ${ratio(row.cpuRatioToBestPeer)} and ${ratio(row.cpuRatioToTorch)}; ${load()}`,
    );
    for (const [
      name,
      { stepsPerSecond, bestStepsPerSecond, msPerStep, cpuMsPerStep, turns, losses, lossDifference, rssMB },
    ] of Object.entries(row.contenders)) {
      console.log(
        `  ${name.padEnd(17)}${stepsPerSecond.toPrecision(4).padStart(8)} (${bestStepsPerSecond.toPrecision(4)}), ${msPerStep.toPrecision(4)} ms (processor ${cpuMsPerStep.toPrecision(4)}), ${turns} turns, ` +
          `losses ${losses.map((loss) => loss.toFixed(4)).join(" ")} (differ by ${lossDifference.toExponential(1)}), ${rssMB?.toFixed(0) ?? "?"} MB`,
      );
    }
    for (const [name, message] of Object.entries(row.errors))
      console.log(`  ${name.padEnd(17)}  cannot: ${message}`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
if (options.json) {
  writeFileSync(
    options.json,
    JSON.stringify({ node: process.version, device: device.info.description, rows }, null, 1),
  );
}
