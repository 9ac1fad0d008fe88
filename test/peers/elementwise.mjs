/**
 * Elementwise loops and reductions of two builds side by side, each instruction alone over data that stay in the cache.
 *
 *     node elementwise.mjs BASE NEW [--elements 65536] [--rounds 15] [--milliseconds 20]
 *
 * BASE and NEW are roots of built checkouts. A ratio above 1 means that NEW is faster: the median over rounds of the times of
 * neighbouring turns.
 */
import { parseArgs } from "node:util";
import { median } from "./measure.mjs";
import { loadSource } from "./source.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    elements: { type: "string", default: "65536" },
    rounds: { type: "string", default: "15" },
    milliseconds: { type: "string", default: "20" },
  },
});
const [elements, rounds, milliseconds] = ["elements", "rounds", "milliseconds"].map((name) => Number(values[name]));

/** Of float32 x, y; int32 i, j; bool b. */
const programs = {
  "x + y": (t, { x, y }) => t.add(x, y),
  "x / y": (t, { x, y }) => t.div(x, y),
  "sqrt(y)": (t, { y }) => t.sqrt(y),
  "abs(x)": (t, { x }) => t.abs(x),
  "round(x)": (t, { x }) => t.round(x),
  "floor(x)": (t, { x }) => t.floor(x),
  "min(x, y)": (t, { x, y }) => t.minimum(x, y),
  "max(x, y)": (t, { x, y }) => t.maximum(x, y),
  "relu(x)": (t, { x }) => t.relu(x),
  "x < y": (t, { x, y }) => t.lt(x, y),
  "x = y": (t, { x, y }) => t.eq(x, y),
  "b ? x : y": (t, { b, x, y }) => t.where(b, x, y),
  "i + j": (t, { i, j }) => t.add(i, j),
  "i · j": (t, { i, j }) => t.mul(i, j),
  "max(i, j)": (t, { i, j }) => t.maximum(i, j),
  "i < j": (t, { i, j }) => t.lt(i, j),
  "float32(i)": (t, { i }) => t.cast(i, "float32"),
  "int32(x)": (t, { x }) => t.cast(x, "int32"),
  "float32(b)": (t, { b }) => t.cast(b, "float32"),
  "exp(x)": (t, { x }) => t.exp(x),
  "sum of all": (t, { x }) => t.sum(x),
  "max of all": (t, { x }) => t.max(x),
  "min of all": (t, { x }) => t.min(x),
  "prod of all": (t, { y }) => t.prod(y),
  "sum of rows": (t, { matrix }) => t.sum(matrix, [1]),
  "max of columns": (t, { matrix }) => t.max(matrix, [0]),
  "min of columns": (t, { matrix }) => t.min(matrix, [0]),
  "transposed copy": (t, { matrix }) => t.contiguous?.(t.permute(matrix, [1, 0])) ?? t.add(t.permute(matrix, [1, 0]), 1),
};

const builds = [];
for (const root of positionals) {
  const t = await loadSource(root, `export * from "./src/index.ts"; import "./src/ops/methods.ts";`);
  const device = await t.openDevice("wasm");
  const at = { device, shape: [elements] };
  const floats = (f) => t.tensor(Float32Array.from({ length: elements }, (_, i) => f(i)), at);
  const integers = (f) => t.tensor(Int32Array.from({ length: elements }, (_, i) => f(i)), at);
  const x = floats((i) => Math.sin(i) * 4);
  const width = Math.round(Math.sqrt(elements));
  const inputs = {
    x,
    y: floats((i) => 1 + Math.cos(i) ** 2 / 1000),
    i: integers((i) => (i * 7919) % 1000),
    j: integers((i) => (i * 31) % 1000),
    b: t.lt(x, 0),
    matrix: t.tensor(Float32Array.from({ length: width * width }, (_, i) => Math.sin(i)), { device, shape: [width, width] }),
  };
  await inputs.b.data();
  builds.push({ t, inputs });
}

for (const [name, program] of Object.entries(programs)) {
  const works = builds.map(({ t, inputs }) => {
    const names = Object.keys(inputs);
    const step = t.jit((...args) => program(t, Object.fromEntries(names.map((key, i) => [key, args[i]]))));
    return async () => step(...names.map((key) => inputs[key])).dispose();
  });
  const turn = async (work, repeats) => {
    const start = performance.now();
    for (let i = 0; i < repeats; i++) await work();
    return (performance.now() - start) / repeats;
  };
  try {
    for (const work of works) await turn(work, 50);
    const repeats = Math.max(1, Math.round(milliseconds / (await turn(works[0], 20))));
    const times = [[], []];
    for (let round = 0; round < rounds; round++) {
      for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) times[which].push(await turn(works[which], repeats));
    }
    const ratio = median(times[0].map((time, i) => time / times[1][i]));
    console.log(`${name.padEnd(18)} ${(1e3 * median(times[0])).toFixed(1).padStart(8)} µs ${(1e3 * median(times[1])).toFixed(1).padStart(8)} µs  ratio ${ratio.toFixed(2)}`);
  } catch (error) {
    console.log(`${name.padEnd(18)} left out: ${error.message.split("\n")[0]}`);
  }
}
