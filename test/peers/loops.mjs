/**
 * Loops of a user's own, on wasm in Node: what they hold, and whether timers and signals have their turns.
 *
 *     node --expose-gc loops.mjs [DIST] [--lengths 5000] [--turns 20000] [--interrupts 10] [--json FILE]
 *
 * - lengths: a forward pass and a training step of a small model of tokens, each plain and captured, at ever new lengths; heap after a
 *   collection, memory of the device, executables.
 * - turns: inference on inputs of 4 MiB that nobody disposes; most memory of the device.
 * - ticks: a timer of 10 ms beside a second of training a CharGpt; the longest gap.
 * - interrupts: Ctrl-C through a pseudo-terminal (needs python3) at `wattgrad train` and at a training loop; steps after it.
 *
 * A part whose number is 0 is left out.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    lengths: { type: "string", default: "5000" },
    turns: { type: "string", default: "20000" },
    interrupts: { type: "string", default: "10" },
    json: { type: "string" },
  },
});
const dist = resolve(positionals[0] ?? fileURLToPath(new URL("../../dist", import.meta.url)));
const load = (name) => import(pathToFileURL(join(dist, `${name}.js`)).href);
const [w, nn, optim, models] = await Promise.all(["index", "nn", "optim", "models"].map(load));
const megabytes = (bytes) => (bytes / 1e6).toFixed(1).padStart(9);
const report = {};

function training(device, model) {
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
  const forward = (x) => w.noGrad(() => model.forward(x).sum());
  const step = (x, y) => {
    const loss = nn.crossEntropy(model.forward(x).reshape([y.size, 65]), y);
    loss.backward();
    optimizer.step();
    return loss;
  };
  const batch = (length) => [
    w.zeros([1, length], { device, dtype: "int32" }).realize(),
    w.zeros([length], { device, dtype: "int32" }).realize(),
  ];
  return { forward, step, batch };
}

async function heapBytes() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function lengths(count) {
  console.log(`\n${count} lengths: a forward pass and a training step, plain and captured`);
  console.log("  lengths   heap MB  device MB  reserved MB  executables");
  const device = await w.openDevice("wasm");
  const { Embedding, LayerNorm, Linear, GELU, Sequential } = nn;
  const layers = [new Embedding(65, 16, { device }), new LayerNorm(16, { device }), new Linear(16, 64, { device }), new GELU()];
  const { forward, step, batch } = training(device, new Sequential(...layers, new Linear(64, 65, { device })));
  const [capturedForward, capturedStep] = [w.jit(forward), w.jit(step)];
  report.lengths = [];
  for (let i = 0; i < count; i++) {
    // Each once, short and long ones mixed; a prime larger than `count` or none of its divisors.
    const [x, y] = batch(1 + ((i * 1009) % count));
    await forward(x).item();
    await capturedForward(x).item();
    await step(x, y).item();
    await capturedStep(x, y).item();
    if ((i + 1) % (count / 10) === 0) {
      const { liveBytes, reservedBytes, executables } = device.memory();
      const row = { lengths: i + 1, heap: await heapBytes(), device: liveBytes, reserved: reservedBytes, executables };
      report.lengths.push(row);
      console.log(
        `${String(row.lengths).padStart(9)} ${megabytes(row.heap)}  ${megabytes(liveBytes)}  ${megabytes(reservedBytes).padStart(11)}  ${String(executables).padStart(11)}`,
      );
    }
  }
  device.close();
}

async function turns(count) {
  const device = await w.openDevice("wasm");
  const host = new Float32Array(2 ** 20);
  let most = 0;
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    const x = w.tensor(host, { device, shape: [1024, 1024] });
    await x.mul(2).sum(1).data();
    most = Math.max(most, device.memory().liveBytes);
  }
  const { reservedBytes, peakBytes } = device.memory();
  const milliseconds = (performance.now() - start) / count;
  report.turns = { count, most, peakBytes, reservedBytes, milliseconds };
  console.log(
    `\n${count} inputs of 4 MiB: at most ${megabytes(most).trim()} MB live, ${megabytes(peakBytes).trim()} MB in use, ${megabytes(reservedBytes).trim()} MB reserved; ${milliseconds.toFixed(2)} ms each`,
  );
  device.close();
}

async function ticks() {
  const device = await w.openDevice("wasm");
  const sizes = { width: 64, numLayers: 2, numHeads: 4, context: 64 };
  const { step, batch } = training(device, new models.CharGpt({ device, vocabulary: 65, ...sizes }));
  const [x, y] = batch(64);
  await step(x, y).item();
  const times = [performance.now()];
  const timer = setInterval(() => times.push(performance.now()), 10);
  let steps = 0;
  for (const end = performance.now() + 1000; performance.now() < end; steps++) await step(x, y).item();
  times.push(performance.now());
  clearInterval(timer);
  const gap = Math.max(...times.slice(1).map((time, i) => time - times[i]));
  report.ticks = { ticks: times.length - 2, gap, steps };
  console.log(`\na second of training, ${steps} steps: ${times.length - 2} ticks, longest gap ${gap.toFixed(0)} ms`);
  device.close();
}

/** Runs the command on a pseudo-terminal, presses Ctrl-C some time after `ready` was printed, and waits for `answer`. */
const press = `
import os, pty, sys, time, select
ready, delay, answer, command = sys.argv[1].encode(), float(sys.argv[2]), sys.argv[3].encode(), sys.argv[4:]
pid, fd = pty.fork()
if pid == 0: os.execvp(command[0], command)
out, pressed, seen, answered = b"", None, None, None
while True:
    if seen and not pressed and time.time() - seen > delay:
        os.write(fd, b"\\x03"); pressed = time.time()
    if select.select([fd], [], [], 0.005)[0]:
        try: data = os.read(fd, 65536)
        except OSError: break
        if not data: break
        out += data
        if not seen and ready in out: seen = time.time()
        if not answered and answer in out: answered = time.time()
os.waitpid(pid, 0)
sys.stdout.buffer.write(out)
sys.stdout.write("\\nPRESSED %.0f ANSWERED %.0f" % (1e3 * (pressed or 0), 1e3 * (answered or 0)))
`;

function pressed(ready, delay, answer, command) {
  return new Promise((resolve, reject) => {
    const child = spawn("python3", ["-c", press, ready, String(delay), answer, ...command]);
    let text = "";
    child.stdout.on("data", (data) => {
      text += data;
    });
    child.on("error", reject);
    child.on("close", () => {
      const [, at, answered] = /PRESSED (\d+) ANSWERED (\d+)$/.exec(text).map(Number);
      resolve({ text, at, milliseconds: answered > 0 ? answered - at : Number.POSITIVE_INFINITY });
    });
  });
}

/** As in the README, with an interrupt of its own, which prints when the last steps began. */
const loop = `
const [w, nn, optim] = await Promise.all(["index", "nn", "optim"].map((name) => import(process.argv[1] + "/" + name + ".js")));
const device = await w.openDevice("wasm");
const model = new nn.Sequential(new nn.Linear(256, 256, { device }), new nn.ReLU(), new nn.Linear(256, 4, { device }));
const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
const x = w.ones([64, 256], { device }).realize(), y = w.zeros([64], { device, dtype: "int32" }).realize();
const starts = [];
process.on("SIGINT", () => {
  console.log("NOTICED " + starts.slice(-4000).join());
  process.exit(130);
});
console.log("ready");
for (;;) {
  starts.push(Date.now());
  const loss = nn.crossEntropy(model.forward(x), y);
  loss.backward();
  optimizer.step();
  await loss.item();
}
`;

async function interrupts(count) {
  const directory = mkdtempSync(join(tmpdir(), "wattgrad-"));
  const cli = join(dist, "cli.js");
  const data = fileURLToPath(new URL("../data/mnist", import.meta.url));
  const train = [process.execPath, cli, "train", "--data", data, "--out", join(directory, "m.safetensors"), "--checkpoint"];
  const program = [process.execPath, "--input-type=module", "-e", loop, dist];
  report.interrupts = { train: [], loop: [] };
  for (let i = 0; i < count; i++) {
    // At ever other moments of a step.
    const delay = 0.5 + i * 0.0371;
    const trained = await pressed("epoch", delay, "stopping after", [...train, join(directory, `c${i}`)]);
    const saved = /interrupted after step/.test(trained.text);
    report.interrupts.train.push({ milliseconds: trained.milliseconds, noticed: saved });
    const looped = await pressed("ready", delay, "NOTICED", program);
    const begun = /NOTICED ([\d,]*)/.exec(looped.text)?.[1].split(",").map(Number);
    // Date.now() rounds down: a step of the same millisecond may have begun before.
    const steps = begun?.filter((time) => time > looped.at).length;
    report.interrupts.loop.push({ milliseconds: looped.milliseconds, noticed: begun !== undefined, steps });
  }
  rmSync(directory, { recursive: true });
  for (const [name, rows] of Object.entries(report.interrupts)) {
    const done = rows.filter(({ noticed }) => noticed).length;
    const times = rows.map(({ milliseconds }) => milliseconds).join(", ");
    const steps = name === "loop" ? `; steps begun after it: ${rows.map((row) => row.steps).join(", ")}` : "";
    console.log(`\nCtrl-C, ${name}: noticed ${done} times of ${count}, after ${times} ms${steps}`);
  }
}

if (Number(options.lengths) > 0) await lengths(Number(options.lengths));
if (Number(options.turns) > 0) await turns(Number(options.turns));
await ticks();
if (Number(options.interrupts) > 0) await interrupts(Number(options.interrupts));
if (options.json) writeFileSync(options.json, JSON.stringify(report, null, 2));
