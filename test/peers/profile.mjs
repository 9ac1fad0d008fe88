/**
 * Where the time of a training step goes: every kernel call of its Program, timed on its own on the wasm device.
 *
 *     node [--experimental-wasm-relaxed-simd] profile.mjs cnn|gpt|mlp [--binary simd|relaxed] [--rounds 15] [--top 40] [--order] [--json FILE]
 *
 * Calls of the same kernel and shape are added up, unless --order lists all of them as they run.
 *
 * Each call becomes a Program of its own over the same slots. Temporaries of all Programs lie in the device's one
 * arena at the same offsets, so running the single calls in order computes the same step on the same values, with
 * the caches as warm or cold as they are in the step.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { loadSource } from "./source.mjs";
import { ours, workloads } from "./workloads.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    binary: { type: "string" },
    rounds: { type: "string", default: "15" },
    top: { type: "string", default: "40" },
    order: { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const workload = workloads[positionals[0]];
if (workload === undefined) {
  console.error(`usage: node profile.mjs ${Object.keys(workloads).join("|")} [options]`);
  process.exit(2);
}

const library = await loadSource();
const device = await library.index.openDevice("wasm", { wasm: { binary: values.binary } });
let captured;
const run = device.run.bind(device);
device.run = (executable, leaves, scalars) => {
  captured = { executable, leaves, scalars };
  run(executable, leaves, scalars);
};
const step = await ours(workload, library, device);
for (let i = 0; i < 3; i++) step();
const { executable, leaves, scalars } = captured;
const { program } = executable;

const empty = device.prepare({ ...program, calls: [] });
const single = program.calls.map((call) => device.prepare({ ...program, calls: [call] }));
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
function timed(target) {
  const start = performance.now();
  run(target, leaves, scalars);
  return performance.now() - start;
}

const rounds = Number(values.rounds);
const whole = [];
const overhead = [];
const times = single.map(() => []);
for (let round = -2; round < rounds; round++) {
  const total = timed(executable);
  const each = single.map(timed);
  const nothing = timed(empty);
  if (round < 0) continue;
  whole.push(total);
  overhead.push(nothing);
  each.forEach((time, i) => {
    times[i].push(time);
  });
}
const idle = median(overhead);

const dims = (shape) => shape.join("×");
/** How an operand lies in memory: dense in which order of dimensions, or its strides. */
function layout({ view: { shape, strides, offset } }) {
  const kept = shape.map((_, i) => i).filter((i) => shape[i] > 1);
  const sorted = [...kept].sort((a, b) => strides[b] - strides[a]);
  let expected = 1;
  const dense = [...sorted].reverse().every((i) => {
    const fits = strides[i] === expected;
    expected *= shape[i];
    return fits;
  });
  if (dense && sorted.every((dim, i) => dim === kept[i])) return "";
  return dense ? `{${sorted.join("")}}` : `{${strides.join(" ")}${offset ? ` +${offset}` : ""}}`;
}
const operand = (o) => `${o.dtype === "float32" ? "" : o.dtype}${layout(o)}`;
function describe(call) {
  switch (call.kernel) {
    case "map":
    case "reduce": {
      const { instructions } = call.expression;
      const names = instructions
        .map(({ op }) => op)
        .filter((op) => !["load", "constant", "scalar"].includes(op));
      const counts = [...new Set(names)].map((op) => {
        const count = names.filter((name) => name === op).length;
        return count > 1 ? `${op}×${count}` : op;
      });
      const outputs = call.kernel === "map" ? call.outputs : [call.output];
      const axes = call.kernel === "reduce" ? ` ${call.op} over ${call.axes}` : "";
      const inputs = call.inputs.map(operand).join(",");
      return `${dims(call.shape)}${axes} in ${call.inputs.length}[${inputs}] out ${outputs.length}[${outputs.map(operand).join(",")}] ${counts.join(" ")}`;
    }
    case "matmul": {
      const { a, b, output } = call;
      const shape = `${dims(a.view.shape)} · ${dims(b.view.shape)}`;
      const extra = `${call.bias ? " +bias" : ""}${call.activation ? ` ${call.activation}` : ""}`;
      return `${shape} a${operand(a)} b${operand(b)} out${operand(output)}${extra}`;
    }
    case "conv":
    case "convGradInput":
    case "convGradWeight": {
      const { input, weight, output } = call;
      return `${dims(input.view.shape)}${operand(input)} * ${dims(weight.view.shape)}${operand(weight)} = ${dims(output.view.shape)}${operand(output)}`;
    }
    case "pool":
      return `${call.op} ${dims(call.input.view.shape)}${operand(call.input)} = ${dims(call.output.view.shape)}${operand(call.output)}`;
    case "poolGrad":
      return `${call.op} ${dims(call.gradOutput.view.shape)}${operand(call.gradOutput)} = ${dims(call.gradInput.view.shape)}${operand(call.gradInput)}`;
    default:
      return `${dims(call.shape)} from ${operand(call.source)} to ${operand(call.output)}`;
  }
}

const rows = program.calls.map((call, i) => ({
  call: i,
  kernel: call.kernel,
  shape: describe(call),
  ms: Math.max(0, median(times[i]) - idle),
  bestMs: Math.max(0, Math.min(...times[i]) - idle),
  flops: library.cost.flopsOf(call),
  bytes: library.cost.bytesOf(call),
}));
const add = (list, key) => list.reduce((total, row) => total + row[key], 0);
const sum = add(rows, "ms");
/** Rows that `key` calls the same, added up. */
function grouped(key) {
  const groups = Map.groupBy ? Map.groupBy(rows, key) : new Map();
  if (!Map.groupBy) for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  return [...groups.values()].map((list) => ({
    ...list[0],
    count: list.length,
    ms: add(list, "ms"),
    bestMs: add(list, "bestMs"),
    flops: add(list, "flops"),
    bytes: add(list, "bytes"),
  }));
}

const products = new Set(["matmul", "conv", "convGradInput", "convGradWeight"]);
/** Products by their arithmetic, the others by the bytes they have to move. */
const rate = ({ kernel, ms, flops, bytes }) =>
  products.has(kernel) ? `${(flops / ms / 1e6).toFixed(1)} GFLOP/s` : `${(bytes / ms / 1e6).toFixed(1)} GB/s`;
const line = (...cells) =>
  console.log(
    cells
      .map(([text, width]) => (width < 0 ? String(text).padStart(-width) : String(text).padEnd(width)))
      .join(""),
  );
const share = (ms) => `${((100 * ms) / sum).toFixed(1)} %`;

const { flops, bytes } = program.cost;
console.log(
  `${workload.name} on ${device.info.description}, Node ${process.version}: whole step ${median(whole).toFixed(3)} ms ` +
    `(best ${Math.min(...whole).toFixed(3)}), ${rows.length} calls sum to ${sum.toFixed(3)} ms; ` +
    `${(flops / 1e6).toFixed(1)} MFLOP, ${(bytes / 1e6).toFixed(1)} MB, arena ${(program.arenaBytes / 1e6).toFixed(1)} MB\n`,
);
line(["kernel", 16], ["calls", -6], ["ms", -10], ["share", -9], ["", 2], ["rate", 14]);
for (const row of grouped(({ kernel }) => kernel).sort((a, b) => b.ms - a.ms)) {
  line(
    [row.kernel, 16],
    [row.count, -6],
    [row.ms.toFixed(3), -10],
    [share(row.ms), -9],
    ["", 2],
    [rate(row), 14],
  );
}
console.log(
  `\n"in a[layout,…] out b[layout,…]": nothing where dense row-major, {dimensions, outermost first} where dense in another order, else {strides +offset}\n`,
);
line(
  ["call", -5],
  ["", 2],
  ["kernel", 15],
  ["calls", -6],
  ["ms", -10],
  ["best", -10],
  ["share", -9],
  ["", 2],
  ["rate", 14],
  ["shape", 0],
);
const shown = values.order
  ? grouped(({ call }) => call)
  : grouped(({ kernel, shape }) => `${kernel} ${shape}`)
      .sort((a, b) => b.ms - a.ms)
      .slice(0, Number(values.top));
for (const row of shown) {
  line(
    [row.call, -5],
    ["", 2],
    [row.kernel, 15],
    [row.count, -6],
    [row.ms.toFixed(3), -10],
    [row.bestMs.toFixed(3), -10],
    [share(row.ms), -9],
    ["", 2],
    [rate(row), 14],
    [row.shape, 0],
  );
}
if (values.json) {
  const report = { node: process.version, device: device.info.description, workload: workload.name };
  writeFileSync(
    values.json,
    JSON.stringify({ ...report, wholeMs: median(whole), sumMs: sum, flops, bytes, rows }, null, 1),
  );
}
