/**
 * f32 GEMM, one thread, side by side: wattgrad (wasm), tfjs-backend-wasm, onnxruntime-web and jax-js.
 *
 *     node gemm.mjs [--rounds 9] [--json FILE]
 *
 * All multiply the same matrices, both given at run time, and every result is compared with a float64 product.
 * (tfjs keeps a right-hand matrix that it has seen packed; the others pack it each time.)
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { jit, matmul, openDevice, tensor } from "../../dist/index.js";
import { pair } from "./measure.mjs";
import { matmulModel } from "./onnx.mjs";
import { binaries, openJax, openOnnxRuntime, openTensorflow } from "./peers.mjs";
import { generator } from "./workloads.mjs";

const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "9" }, json: { type: "string" } },
});
const shapes = [
  [256, 256, 256],
  [512, 512, 512],
  [1024, 1024, 1024],
  [128, 768, 3072],
];
/** The libraries that the ratio is about. */
const bar = ["tfjs", "ort"];

const tf = await openTensorflow("wasm");
const ort = await openOnnxRuntime();
const jax = await openJax();
const device = await openDevice("wasm");

/** Each: (a, b, m, k, n) → { run, result, close }. */
const libraries = {
  wattgrad(a, b, m, k, n) {
    const multiply = jit((x, y) => matmul(x, y));
    const [x, y] = [tensor(a, { shape: [m, k], device }), tensor(b, { shape: [k, n], device })];
    return {
      run: () => multiply(x, y).dispose(),
      result: () => multiply(x, y).data(),
      close: () => [x, y].forEach((t) => void t.dispose()),
    };
  },
  tfjs(a, b, m, k, n) {
    const [x, y] = [tf.tensor2d(a, [m, k]), tf.tensor2d(b, [k, n])];
    return {
      run: () => tf.matMul(x, y).dispose(),
      result: () => tf.matMul(x, y).data(),
      close: () => tf.dispose([x, y]),
    };
  },
  async ort(a, b, m, k, n) {
    const session = await ort.InferenceSession.create(matmulModel(m, k, n), { executionProviders: ["wasm"] });
    const feeds = { A: new ort.Tensor("float32", a, [m, k]), B: new ort.Tensor("float32", b, [k, n]) };
    return {
      run: () => session.run(feeds),
      result: async () => (await session.run(feeds)).Y.data,
      close: () => session.release(),
    };
  },
  jax(a, b, m, k, n) {
    const { numpy: np } = jax;
    const multiply = jax.jit((x, y) => np.matmul(x, y));
    const [x, y] = [np.array(a).reshape([m, k]), np.array(b).reshape([k, n])];
    const product = () => jax.blockUntilReady(multiply(x.ref, y.ref));
    return {
      run: async () => (await product()).dispose(),
      result: async () => (await product()).data(),
      close: () => [x, y, multiply].forEach((t) => void t.dispose()),
    };
  },
};

/** The product in float64, for a few rows: enough to see that all of it is computed. */
function largestError(got, a, b, m, k, n) {
  if (got.length !== m * n) throw new Error(`${got.length} values for ${m} × ${n}`);
  let worst = 0;
  for (const i of [0, 1, m >> 1, m - 2, m - 1]) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += a[i * k + p] * b[p * n + j];
      worst = Math.max(worst, Math.abs(sum - got[i * n + j]));
    }
  }
  return worst;
}

const names = Object.keys(libraries);
const rows = [];
for (const [m, k, n] of shapes) {
  const uniform = generator(m + k + n);
  const a = Float32Array.from({ length: m * k }, () => uniform() - 0.5);
  const b = Float32Array.from({ length: k * n }, () => uniform() - 0.5);
  const row = { m, k, n, gflops: {}, best: {}, errors: {} };
  const running = [];
  for (const name of names) {
    try {
      const library = await libraries[name](a, b, m, k, n);
      const error = largestError(await library.result(), a, b, m, k, n);
      // Rounding of k products of values below 1/4, at worst all in one direction.
      if (!(error < (k * k * 2 ** -24) / 4)) throw new Error(`wrong by ${error}`);
      running.push({ name, ...library });
    } catch (error) {
      row.errors[name] = error.message;
    }
  }
  const results = await pair(running, { rounds: Number(options.rounds) });
  for (const { name, median, best } of results) {
    row.gflops[name] = (2 * m * k * n) / median / 1e6;
    row.best[name] = (2 * m * k * n) / best / 1e6;
  }
  for (const { close } of running) await close();
  const better = Math.max(...bar.map((name) => row.gflops[name] ?? 0));
  row.ratio = row.gflops.wattgrad / better;
  row.bestRatio = row.best.wattgrad / Math.max(...bar.map((name) => row.best[name] ?? 0));
  rows.push(row);
}

console.log(`Node ${process.version}, wattgrad on ${device.info.description}; GFLOP/s: median (best)`);
console.log(`peers loaded ${[...binaries].join(", ")}; jax-js makes its own kernels`);
console.log(
  `${"m×k×n".padEnd(16)}${names.map((name) => name.padStart(15)).join("")}   to the better of ${bar.join(" and ")}`,
);
for (const { m, k, n, gflops, best, errors, ratio, bestRatio } of rows) {
  const cells = names.map((name) =>
    name in errors ? "failed" : `${gflops[name].toFixed(1)} (${best[name].toFixed(1)})`,
  );
  console.log(
    `${`${m}×${k}×${n}`.padEnd(16)}${cells.map((cell) => cell.padStart(15)).join("")}   ${ratio.toFixed(2)} (${bestRatio.toFixed(2)})`,
  );
  for (const [name, message] of Object.entries(errors)) console.log(`    ${name}: ${message}`);
}
if (options.json) {
  const report = { node: process.version, device: device.info.description, binaries: [...binaries] };
  writeFileSync(options.json, JSON.stringify({ ...report, rows }, null, 1));
}
