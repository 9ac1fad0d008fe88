/** f32 GEMM, one thread, side by side: wattgrad (wasm), tfjs-backend-wasm, onnxruntime-web. */
import { createRequire } from "node:module";
import { dirname } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import * as ort from "onnxruntime-web";
import { jit, matmul, openDevice, tensor } from "../../dist/index.js";
import { pair } from "./measure.mjs";
import { matmulModel } from "./onnx.mjs";

const shapes = [
  [256, 256, 256],
  [512, 512, 512],
  [1024, 1024, 1024],
  [128, 768, 3072],
];

const require = createRequire(import.meta.url);
setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
setThreadsCount(1);
await tf.setBackend("wasm");
ort.env.wasm.numThreads = 1;
const device = await openDevice("wasm");

console.log(`Node ${process.version}, ${device.info.description}`);
console.log("m×k×n            wattgrad   tfjs    ort   GFLOP/s (median)   ratio to the better");
const rows = [];
for (const [m, k, n] of shapes) {
  const a = Float32Array.from({ length: m * k }, () => Math.random() - 0.5);
  const b = Float32Array.from({ length: k * n }, () => Math.random() - 0.5);
  const multiply = jit((x, y) => matmul(x, y));
  const [ours, ourB] = [tensor(a, { shape: [m, k], device }), tensor(b, { shape: [k, n], device })];
  const [tfA, tfB] = [tf.tensor2d(a, [m, k]), tf.tensor2d(b, [k, n])];
  const session = await ort.InferenceSession.create(matmulModel(m, k, n), { executionProviders: ["wasm"] });
  const feeds = { A: new ort.Tensor("float32", a, [m, k]), B: new ort.Tensor("float32", b, [k, n]) };
  const expected = (await session.run(feeds)).C.data;
  const got = await multiply(ours, ourB).data();
  const worst = expected.reduce((max, value, i) => Math.max(max, Math.abs(value - got[i])), 0);
  if (!(worst < 1e-3)) throw new Error(`results differ by ${worst}`);
  const results = await pair([
    { name: "wattgrad", run: () => multiply(ours, ourB).dispose() },
    { name: "tfjs", run: () => tf.matMul(tfA, tfB).dispose() },
    { name: "ort", run: () => session.run(feeds) },
  ]);
  const rate = results.map(({ median }) => (2 * m * k * n) / median / 1e6);
  const ratio = rate[0] / Math.max(rate[1], rate[2]);
  rows.push({ m, k, n, wattgrad: rate[0], tfjs: rate[1], ort: rate[2], ratio });
  console.log(
    `${`${m}×${k}×${n}`.padEnd(16)}${rate.map((r) => r.toFixed(1).padStart(8)).join("")}${ratio.toFixed(2).padStart(30)}`,
  );
  await session.release();
}
console.log(JSON.stringify({ node: process.version, rows }));
