/**
 * What a kernel call costs apart from its arithmetic, and what a training step leaves behind.
 *
 *     node dispatch.mjs [--json FILE]
 *
 * Programs of 1,000 small ops, each of which needs the one before and cannot be fused with it, on 16 elements; then
 * 1,000 steps of the MLP, captured and written by hand, with what they compile and allocate.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import * as index from "../../dist/index.js";
import * as models from "../../dist/models.js";
import * as nn from "../../dist/nn.js";
import * as optim from "../../dist/optim.js";
import { median } from "./measure.mjs";
import { learningRate, ours, workloads } from "./workloads.mjs";

const { values: options } = parseArgs({ options: { json: { type: "string" } } });
const device = await index.openDevice("wasm");
const ops = 1000;
const repeats = 300;

let captured;
const run = device.run.bind(device);
device.run = (executable, leaves, scalars) => {
  captured = { executable, leaves, scalars };
  run(executable, leaves, scalars);
};

/** Two ops at a time, so that no two neighbours are of a kind that fuses. x is [4, 4]. */
const chains = {
  "matmul, then transposed sum": (x, w) => {
    const y = index.matmul(x, w);
    return index.mul(index.add(index.permute(y, [1, 0]), y), 0.5);
  },
  "matmul only": (x, w) => index.matmul(index.matmul(x, w), w),
  "sum over rows, then a share of it off": (x) =>
    index.add(index.mul(x, 0.5), index.mul(index.sum(x, 1, { keepdim: true }), 0.125)),
  "transposed sum only": (x) => {
    const y = index.mul(index.add(x, index.permute(x, [1, 0])), 0.5);
    return index.mul(index.sub(y, index.permute(y, [1, 0])), 0.5);
  },
};

/** Rows and columns that sum to 1, so that a thousand products stay finite. */
const spread = Float32Array.from({ length: 16 }, (_, i) => [0.4, 0.3, 0.2, 0.1][(i + (i >> 2)) % 4]);
const dispatch = [];
console.log(
  `Node ${process.version}, ${device.info.description}: µs per op, median of ${repeats} replays (best)`,
);
for (const [name, pair] of Object.entries(chains)) {
  const inputs = [0, 1].map(() => index.tensor(spread, { shape: [4, 4], device }));
  const program = index.jit((x, w) => {
    let value = x;
    for (let i = 0; i < ops / 2; i++) value = pair(value, w);
    return value;
  });
  const [first] = await program(...inputs).data();
  if (!Number.isFinite(first)) throw new Error(`${name}: ${first}`);
  const { executable, leaves, scalars } = captured;
  const { calls } = executable.program;
  const kernels = [...new Set(calls.map(({ kernel }) => kernel))].map(
    (kernel) => `${calls.filter((call) => call.kernel === kernel).length} ${kernel}`,
  );
  const timed = (work) => {
    const times = [];
    for (let i = 0; i < repeats; i++) {
      const start = performance.now();
      work();
      times.push(((performance.now() - start) * 1e3) / calls.length);
    }
    return times.slice(repeats / 3);
  };
  const bare = timed(() => run(executable, leaves, scalars));
  const replayed = timed(() => program(...inputs).dispose());
  const row = {
    name,
    calls: calls.length,
    first,
    device: median(bare),
    replay: median(replayed),
    best: Math.min(...replayed),
  };
  dispatch.push(row);
  console.log(
    `  ${name.padEnd(39)}${row.replay.toFixed(3)} (${row.best.toFixed(3)}) as jit replays it, ${row.device.toFixed(3)} by device.run alone; ${kernels.join(", ")}`,
  );
}

/** Compilations, allocations and live buffers after the second and after the last of `steps` steps. */
async function steady(name, step) {
  const steps = 1000;
  const look = () => {
    const { allocations, liveBuffers, liveBytes, executables, reservedBytes } = device.memory();
    return {
      compiled: index.compileCount(device),
      allocations,
      liveBuffers,
      liveBytes,
      executables,
      reservedBytes,
    };
  };
  let second;
  const start = performance.now();
  for (let i = 1; i <= steps; i++) {
    await step();
    if (i === 2) second = look();
  }
  const last = look();
  const change = Object.fromEntries(Object.keys(last).map((key) => [key, last[key] - second[key]]));
  console.log(
    `  ${name.padEnd(44)}${Object.entries(change)
      .map(([key, value]) => `${key} +${value}`)
      .join(", ")}; ${((performance.now() - start) / steps).toFixed(3)} ms a step`,
  );
  return { name, steps, second, last };
}

console.log("\nMLP: change from after step 2 to after step 1,000");
const library = { index, nn, optim, models };
const { mlp } = workloads;
const captive = await ours(mlp, library, device);
const memory = [
  await steady("captured, loss read every step", async () => {
    const loss = captive();
    await loss.data();
    loss.dispose();
  }),
  await steady("captured, loss disposed unread", () => captive().dispose()),
];
const leaf = ({ data, shape }) => index.tensor(data, { shape, device });
const [x, y] = [leaf(mlp.batch.x), leaf(mlp.batch.y)];
{
  const model = mlp.create(library, device);
  const optimizer = new optim.Adam(model.parameters(), { lr: learningRate });
  const silent = index.jit((a, b) => {
    mlp.loss(library, model, a, b).backward();
    optimizer.step();
  });
  memory.push(await steady("captured, nothing returned", () => silent(x, y)));
}
{
  const model = mlp.create(library, device);
  const optimizer = new optim.Adam(model.parameters(), { lr: learningRate });
  memory.push(
    await steady("by hand, loss neither read nor disposed", () => {
      mlp.loss(library, model, x, y).backward();
      optimizer.step();
    }),
    await steady("by hand, loss read and disposed", async () => {
      const loss = mlp.loss(library, model, x, y);
      loss.backward();
      optimizer.step();
      await loss.data();
      loss.dispose();
    }),
    await steady("by hand, a new batch each step", async () => {
      const batch = [leaf(mlp.batch.x), leaf(mlp.batch.y)];
      const loss = mlp.loss(library, model, ...batch);
      loss.backward();
      optimizer.step();
      await loss.data();
      for (const tensor of [loss, ...batch]) tensor.dispose();
    }),
  );
}
if (options.json) {
  writeFileSync(
    options.json,
    JSON.stringify({ node: process.version, device: device.info.description, dispatch, memory }, null, 1),
  );
}
