/**
 * int8 products, one thread, side by side: wattgrad's int8 and int4 beside its own float32 and onnxruntime-web's int8.
 *
 *     node qgemm.mjs [--rounds 9] [--only gemm,row,conv] [--json FILE]
 *
 * Ours multiply int8 rows with weights of 8 or 7 bits and give float32; "dynamic" rounds float32 rows first. onnxruntime-web's is
 * MatMulInteger of uint8 rows and constant int8 weights, its fastest. Results are compared with exact ones. Rows: weights come from
 * memory, not from a cache, for as many of them take turns as no cache holds. Convolutions read channels-last images.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import {
  conv2d,
  groupScales,
  jit,
  linear,
  matmul,
  openDevice,
  packWeight,
  permute,
  quantizeDynamic,
  quantizedConv2d,
  quantizedLinear,
  realize,
  tensor,
} from "../../dist/index.js";
import { pair } from "./measure.mjs";
import { matmulIntegerModel } from "./onnx.mjs";
import { openOnnxRuntime } from "./peers.mjs";
import { generator } from "./workloads.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "9" },
    only: { type: "string", default: "gemm,row,conv" },
    json: { type: "string" },
  },
});
const rounds = Number(options.rounds);
const only = options.only.split(",");
const device = await openDevice("wasm");
const ort = await openOnnxRuntime();

/** Bytes of weights that take turns in a row's timing. */
const beyondCaches = 96e6;

const uniform = generator(7);
const whole = (size, most) => Int8Array.from({ length: size }, () => Math.round((2 * uniform() - 1) * most));
const floats = (size) => Float32Array.from({ length: size }, () => 2 * uniform() - 1);
const leaf = (data, shape) => tensor(data, { shape, device });

/** Weights [n, k] packed, with scales of 1. */
function packed(values, n, k, bits, groups) {
  const source = leaf(values, [n, k]);
  const weight = packWeight(source, { bits });
  const ones = leaf(new Float32Array(n * (groups ?? 1)).fill(1), groups ? [n, groups] : [n]);
  const scales = groups ? groupScales(ones) : ones;
  realize([weight.packed, scales]);
  source.dispose();
  return { weight, scales };
}

/** The exact product of a few rows. */
function checkRows(name, got, a, b, m, k, n, offset = 0) {
  for (const i of new Set([0, m >> 1, m - 1])) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += (a[i * k + p] + offset) * b[j * k + p];
      if (sum !== got[i * n + j]) throw new Error(`${name}: ${got[i * n + j]} at ${i}, ${j}, not ${sum}`);
    }
  }
}

function transposed(b, n, k) {
  const result = new Int8Array(n * k);
  for (let j = 0; j < n; j++) for (let p = 0; p < k; p++) result[p * n + j] = b[j * k + p];
  return result;
}

const rows = [];

async function report(kind, name, operations, contenders, unit = "GOP/s") {
  const results = await pair(contenders, { rounds });
  const rate = (ms) => operations / ms / 1e6;
  const row = { kind, name, unit, rates: {}, best: {} };
  for (const result of results) {
    row.rates[result.name] = rate(result.median);
    row.best[result.name] = rate(result.best);
  }
  const base = row.rates.float32;
  row.ratios = Object.fromEntries(Object.entries(row.rates).map(([key, value]) => [key, value / base]));
  rows.push(row);
  const cells = results.map((result) => {
    const ratio = result.name === "float32" ? "" : ` ${(rate(result.median) / base).toFixed(2)}×`;
    return `${result.name} ${rate(result.median).toFixed(1)}${ratio}`;
  });
  const int8 = row.rates["8 bits"];
  const peer = row.rates.ort ? `; 8 bits to ort ${(int8 / row.rates.ort).toFixed(2)}, 7 bits ${(row.rates["7 bits"] / row.rates.ort).toFixed(2)}` : "";
  console.log(`${kind} ${name}: ${cells.join(", ")}${peer}`);
}

console.log(`Node ${process.version}, ${device.info.description}; GOP/s, medians, and ratios to our float32`);

if (only.includes("gemm")) {
  for (const [m, k, n] of [
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [128, 768, 3072],
  ]) {
    const a = whole(m * k, 127);
    const b8 = whole(n * k, 127);
    const b7 = whole(n * k, 63);
    const x = leaf(a, [m, k]);
    const xf = leaf(Float32Array.from(a), [m, k]);
    const inputScales = leaf(new Float32Array(m).fill(1), [m, 1]);
    const [w8, w7] = [packed(b8, n, k, 8), packed(b7, n, k, 7)];
    const wf = leaf(Float32Array.from(transposed(b8, n, k)), [k, n]);
    const product = ({ weight, scales }) =>
      jit((rowsOf, own) => quantizedLinear(rowsOf, weight, { scales, inputScales: own }));
    const [p8, p7] = [product(w8), product(w7)];
    const dynamic = ({ weight, scales }) =>
      jit((rowsOf) => {
        const rounded = quantizeDynamic(rowsOf, -1);
        return quantizedLinear(rounded.values, weight, { scales, inputScales: rounded.scales });
      });
    const [d8, d7] = [dynamic(w8), dynamic(w7)];
    const f32 = jit((left, right) => matmul(left, right));
    checkRows("8 bits", await p8(x, inputScales).data(), a, b8, m, k, n);
    checkRows("7 bits", await p7(x, inputScales).data(), a, b7, m, k, n);
    const session = await ort.InferenceSession.create(matmulIntegerModel(m, k, n, transposed(b8, n, k)), {
      executionProviders: ["wasm"],
    });
    const bytes = Uint8Array.from(a, (value) => value + 128);
    const feeds = { A: new ort.Tensor("uint8", bytes, [m, k]) };
    checkRows("ort", (await session.run(feeds)).Y.data, a, b8, m, k, n, 128);
    await report("gemm", `${m}×${k}×${n}`, 2 * m * k * n, [
      { name: "float32", run: () => f32(xf, wf).dispose() },
      { name: "8 bits", run: () => p8(x, inputScales).dispose() },
      { name: "7 bits", run: () => p7(x, inputScales).dispose() },
      { name: "8 bits dynamic", run: () => d8(xf).dispose() },
      { name: "7 bits dynamic", run: () => d7(xf).dispose() },
      { name: "ort", run: () => session.run(feeds) },
    ]);
    await session.release();
    for (const t of [x, xf, inputScales, wf, w8.weight.packed, w8.scales, w7.weight.packed, w7.scales]) t.dispose();
  }
}

if (only.includes("row")) {
  const [k, n] = [4096, 4096];
  const a = whole(k, 127);
  const x = leaf(a, [1, k]);
  const xf = leaf(Float32Array.from(a), [1, k]);
  const one = leaf(new Float32Array(1).fill(1), [1, 1]);
  const groups = k / 32;
  const groupOnes = leaf(new Float32Array(groups).fill(1), [1, groups]);
  /** In turn another copy of the weights. */
  const rotated = (bytesEach, make) => {
    const copies = Array.from({ length: Math.ceil(beyondCaches / bytesEach) }, make);
    let turn = 0;
    return { next: () => copies[turn++ % copies.length], copies };
  };
  const f32 = jit((left, right) => linear(left, right));
  const float = rotated(4 * n * k, () => leaf(floats(n * k), [n, k]));
  const quantized = (bits) => rotated(n * k, () => packed(whole(n * k, bits === 8 ? 127 : 63), n, k, bits));
  const [q8, q7] = [quantized(8), quantized(7)];
  const q4 = rotated((n * k) / 2 + 4 * n * groups, () => packed(whole(n * k, 7), n, k, 4, groups));
  const row = (weight) => jit((left, packedWeight, scales, own) => quantizedLinear(left, { ...weight, packed: packedWeight }, { scales, inputScales: own }));
  const [r8, r7, r4] = [q8, q7, q4].map(({ copies: [{ weight }] }) => row(weight));
  const only8 = jit((left, packedWeight, scales) => quantizedLinear(left, { ...q8.copies[0].weight, packed: packedWeight }, { scales }));
  const run = (product, source, own) => () => {
    const { weight, scales } = source.next();
    product(x, weight.packed, scales, own).dispose();
  };
  const bytes = Uint8Array.from(a, (value) => value + 128);
  const feeds = { A: new ort.Tensor("uint8", bytes, [1, k]) };
  const sessions = [];
  for (let i = 0; i < 4; i++) {
    const model = matmulIntegerModel(1, k, n, whole(n * k, 127));
    sessions.push(await ort.InferenceSession.create(model, { executionProviders: ["wasm"] }));
  }
  let turn = 0;
  await report("row", `1×${k}×${n}`, 2 * k * n, [
    { name: "float32", run: () => f32(xf, float.next()).dispose() },
    { name: "8 bits", run: run(r8, q8, one) },
    { name: "7 bits", run: run(r7, q7, one) },
    { name: "4 bits", run: run(r4, q4, groupOnes) },
    {
      name: "8 bits, float32 row",
      run: () => {
        const { weight, scales } = q8.next();
        only8(xf, weight.packed, scales).dispose();
      },
    },
    { name: "ort", run: () => sessions[turn++ % sessions.length].run(feeds) },
  ]);
  for (const session of sessions) await session.release();
}

if (only.includes("conv")) {
  for (const [name, size, channels, groups] of [
    ["3×3 64→64 56²", 56, 64, 1],
    ["3×3 128→128 28²", 28, 128, 1],
    ["3×3 256→256 14²", 14, 256, 1],
    ["3×3 512→512 7²", 7, 512, 1],
    ["1×1 64→64 56²", 56, 64, 1],
    ["depthwise 3×3 32 112²", 112, 32, 32],
  ]) {
    const side = name.startsWith("1×1") ? 1 : 3;
    const padding = (side - 1) / 2;
    const perGroup = channels / groups;
    const a = whole(size * size * channels, 127);
    const x = leaf(a, [1, size, size, channels]);
    const xf = leaf(Float32Array.from(a), [1, size, size, channels]);
    const shape = [channels, perGroup, side, side];
    const count = channels * perGroup * side * side;
    const weights = [8, 7].map((bits) => {
      const source = leaf(whole(count, bits === 8 ? 127 : 63), shape);
      const weight = packWeight(source, { bits, groups });
      realize([weight.packed]);
      return weight;
    });
    const wf = leaf(floats(count), shape);
    const scales = leaf(new Float32Array(channels).fill(1), [channels]);
    const convolve = (weight) =>
      jit((image) => quantizedConv2d(permute(image, [0, 3, 1, 2]), weight, { scales, padding, groups }));
    const [c8, c7] = weights.map(convolve);
    const f32 = jit((image, weight) => conv2d(permute(image, [0, 3, 1, 2]), weight, undefined, { padding, groups }));
    await report("conv", name, 2 * size * size * count, [
      { name: "float32", run: () => f32(xf, wf).dispose() },
      { name: "8 bits", run: () => c8(x).dispose() },
      { name: "7 bits", run: () => c7(x).dispose() },
    ]);
  }
}
if (options.json) {
  writeFileSync(options.json, JSON.stringify({ node: process.version, device: device.info.description, rows }, null, 1));
}
