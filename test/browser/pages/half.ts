/** In a page: devices that store float32 as half floats. */
import { DataLoader, ImageDataset, mnistNormalization } from "../../../src/data/index.js";
import { openReference } from "../../../src/device/reference/reference.js";
import { openWebgl, type WebglDevice, type WebglOptions } from "../../../src/device/webgl/webgl.js";
import { readIdx, readSafetensors } from "../../../src/formats/index.js";
import { grad, noGrad, readExact, realize, type Tensor, tensor, WattgradError } from "../../../src/index.js";
import { Cnn } from "../../../src/models/index.js";
import { BatchNorm2d, crossEntropy } from "../../../src/nn/index.js";
import * as ops from "../../../src/ops/index.js";
import { AdamW, SGD } from "../../../src/optim/index.js";
import { cost } from "../../../src/profile/index.js";
import { accuracy, evaluate } from "../../../src/train/index.js";
import { toHalf } from "../../tolerance.js";
import { quadrants, smallNet } from "../../train/problem.js";
import { fragileContext } from "./contexts.js";

const openHalf = (options: WebglOptions = {}) => openWebgl({ storage: "rgba16f", ...options });

/** Random integers from `from` up to but not including `to`, the same ones every time. */
function integers(count: number, from: number, to: number, seed = 1): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return from + Math.floor((state / 2 ** 32) * (to - from));
  });
}

/** Elements that are not what they should be, with what they are. */
function differences(got: ArrayLike<number>, want: readonly number[]): string[] {
  return want.flatMap((y, i) => (Object.is(got[i], y) ? [] : [`${i}: ${got[i]}, expected ${y}`]));
}

/** How an upload and a kernel round: integers times powers of two, over all sizes that half floats have and beyond. */
async function roundings() {
  const device = await openHalf();
  const found: Record<string, string[]> = {};
  const numbers = [...integers(400, -(2 ** 24), 2 ** 24), ...integers(400, -(2 ** 13), 2 ** 13)];
  for (const shift of [0, 6, 7, 8, 12, 20, 24, 30, 36, 38, 42, 48]) {
    const want = numbers.map((n) => toHalf(n * 2 ** -shift));
    const uploaded = tensor(
      numbers.map((n) => n * 2 ** -shift),
      { device },
    );
    const computed = tensor(numbers, { device, dtype: "int32" })
      .cast("float32")
      .mul(2 ** -shift);
    found[`upload, 2^-${shift}`] = differences(await uploaded.data(), want);
    found[`kernel, 2^-${shift}`] = differences(await computed.data(), want);
  }
  const special = [1, -1, 0].map((n) => n / 0);
  const numerators = tensor([1, -1, 0], { device, dtype: "int32" }).cast("float32");
  found["infinities and NaN"] = differences(await numerators.div(tensor(0, { device })).data(), special);
  found["infinities and NaN, uploaded"] = differences(await tensor(special, { device }).data(), special);
  device.close();
  return found;
}

/** Halves in [1, 2): sums of thousands of them have more bits than a half, and all of them fit into float32. */
const halves = (count: number, seed: number) => integers(count, 1024, 2048, seed).map((n) => n / 1024);

/**
 * Sums that kernels collect in several steps, with those that a single rounding of the exact sum gives. Long ones, on textures
 * as of a GPU, so that they are split.
 */
async function sums() {
  const device = await openHalf({ textureLimit: 4096 });
  const found: Record<string, string[]> = {};
  const k = 3000;
  const rows = 6;
  const values = halves(rows * k, 7);
  const x = tensor(values, { device, shape: [rows, k] });
  const rowSum = (r: number, width = k) => values.slice(r * width, (r + 1) * width).reduce((a, b) => a + b);
  const rowSums = Array.from({ length: rows }, (_, r) => toHalf(rowSum(r)));
  found.reduce = differences(await x.sum(1).data(), rowSums);
  for (const n of [1, 8]) {
    const twos = tensor(
      integers(k * n, 0, 2, 3).map((bit) => (bit ? 1 : 0.5)),
      { device, shape: [k, n] },
    );
    const factors = await twos.data();
    const want = Array.from({ length: rows * n }, (_, i) => {
      const [row, column] = [Math.floor(i / n), i % n];
      let sum = 0;
      for (let j = 0; j < k; j++) sum += values[row * k + j] * factors[j * n + column];
      return toHalf(sum);
    });
    found[`matmul, ${n} columns`] = differences(await x.matmul(twos).data(), want);
    const first = tensor(values.slice(0, k), { device, shape: [1, k] });
    found[`matmul of one row, ${n} columns`] = differences(await first.matmul(twos).data(), want.slice(0, n));
  }
  const images = tensor(values.slice(0, 2 * 4 * 45 * 45), { device, shape: [2, 4, 45, 45] });
  const weight = ops.zeros([4, 4, 1, 1], { device });
  weight.requiresGrad = true;
  const output = ops.conv2d(images, weight);
  const [gradient] = grad(output, [weight], { gradient: ops.ones(output.shape, { device }) });
  const channelSums = [0, 1, 2, 3].map((c) =>
    toHalf([0, 1].reduce((sum, n) => sum + rowSum(4 * n + c, 45 * 45), 0)),
  );
  const wanted = Array.from({ length: 16 }, (_, i) => channelSums[i % 4]);
  found["gradient of a convolution's weights"] = differences(await gradient.data(), wanted);
  const index = tensor(integers(k, 0, 3, 5), { device, dtype: "int32" });
  const places = await index.data();
  const collected = ops.scatterAdd(
    ops.zeros([3], { device }),
    0,
    index,
    tensor(values.slice(0, k), { device }),
  );
  // What is added to in place is float32, and read as such.
  const want = [0, 1, 2].map((to) =>
    values.slice(0, k).reduce((sum, value, i) => (places[i] === to ? sum + value : sum), 0),
  );
  found.scatterAdd = differences(await collected.data(), want);
  device.close();
  return found;
}

const decoded = (base64: string) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** The trained CNN with all of float32, and with halves: accuracy on the digits, and bytes of the device. */
async function classify(file: string, images: string, labels: string) {
  const state = readSafetensors(decoded(file)).tensors;
  const [pictures, answers] = await Promise.all([images, labels].map((data) => readIdx(decoded(data))));
  const [count, height, width] = pictures.shape;
  const digits = new ImageDataset(
    { ...pictures, shape: [count, 1, height, width] },
    { ...answers, dtype: "int32", data: Int32Array.from(answers.data) },
    mnistNormalization,
  );
  const results = [];
  for (const storage of ["rgba32f", "rgba16f"] as const) {
    const device = await openWebgl({ storage });
    const model = new Cnn({ device });
    await model.loadStateDict(state);
    const modelBytes = device.memory().liveBytes;
    // Running statistics stay float32.
    const floats = [...state].reduce(
      (sum, [name, { dtype, data }]) =>
        sum + (dtype === "float32" && !name.includes("running_") ? data.length : 0),
      0,
    );
    const one = digits.batch(Int32Array.of(0))[0];
    const image = tensor(one.data, { device, dtype: one.dtype, shape: one.shape });
    const { bytes } = await cost(device, () => noGrad(() => model.eval().forward(image)));
    const { peakBytes } = device.memory();
    const data = new DataLoader(digits, { device, batchSize: 100 });
    const { metrics } = await evaluate({ model, data, loss: crossEntropy, metrics: { accuracy } });
    results.push({
      accuracy: metrics.accuracy,
      floats,
      modelBytes,
      bytes,
      peakBytes,
      batchPeakBytes: device.memory().peakBytes,
    });
    device.close();
  }
  return results;
}

/** Updates that half floats would lose: of a parameter, and of what an optimizer that is restored holds. */
async function update() {
  const device = await openHalf();
  const weight = tensor([1, 1, 1], { device });
  weight.requiresGrad = true;
  const plain = new SGD([weight], { lr: 2 ** -14 });
  for (let step = 0; step < 64; step++) {
    weight.sum().backward();
    plain.step();
  }
  const stepped = [...(await weight.data())];

  const trained = tensor([0.1, 0.2, 0.3], { device });
  trained.requiresGrad = true;
  const moments = { exp_avg: [1e-5, -1e-6, 1 / 3], exp_avg_sq: [1e-12, 1e-10, 1 / 3] };
  const adam = new AdamW([trained], { lr: 1e-3 });
  await adam.loadStateDict({
    tensors: new Map(
      Object.entries(moments).map(([name, list]) => [`${name}.0`, { data: Float32Array.from(list) }]),
    ),
    numbers: { lr: [1e-3], steps: [100] },
  });
  const { tensors } = adam.stateDict();
  const restored: Record<string, number[]> = {};
  for (const name of Object.keys(moments)) restored[name] = [...(await tensors.get(`${name}.0`)!.data())];
  device.close();
  return { stepped, restored, moments };
}

/** Numbers whose squares, sums and variances leave the range of halves, and masks that do. */
async function range() {
  const device = await openHalf();
  const found: Record<string, number[]> = {};
  const x = tensor(
    Array.from({ length: 64 }, (_, i) => (i % 2 === 0 ? 2000 : -2000) + (i % 8)),
    { device, shape: [8, 2, 2, 2] },
  );
  const norm = new BatchNorm2d(2, { device });
  const output = norm.forward(x);
  found.normalized = [...(await output.data())];
  found.runningVar = [...(await norm.runningVar.data())];
  found.evaluated = [...(await norm.eval().forward(x).data())];
  const full = await norm.to(openReference());
  const back = await full.to(device);
  found.movedVar = [...(await back.runningVar.data())];
  const wide = tensor(
    Array.from({ length: 2048 }, (_, i) => 200 * Math.sin(i)),
    { device, shape: [2, 1024] },
  );
  found.layerNorm = [...(await ops.layerNorm(wide, 1024).square().mean(1).data())];
  found.mean = [await ops.ones([70_000], { device }).mul(3).mean().item()];
  found.std = [await wide.mul(100).std().item(), await wide.mul(100).norm2().item()];
  const ofLogits = tensor(
    Array.from({ length: 3000 }, (_, i) => 60 * Math.sin(i)),
    { device, shape: [1500, 2] },
  );
  const targets = tensor(Array<number>(1500).fill(0), { device, dtype: "int32" });
  found.loss = [
    await crossEntropy(ofLogits, targets).item(),
    await crossEntropy(ofLogits.mul(2), targets).item(),
  ];

  const [q, k, v] = [1, 2, 3].map((n) =>
    tensor(
      Array.from({ length: 12 }, (_, i) => Math.cos(n * i)),
      { device, shape: [3, 4], requiresGrad: true },
    ),
  );
  for (const hidden of [-1e9, -Infinity]) {
    const mask = tensor(
      [
        [hidden, hidden, hidden],
        [0, hidden, hidden],
        [0, 0, hidden],
      ],
      { device },
    );
    const recorded = ops.scaledDotProductAttention(q, k, v, { mask });
    const gradients = grad(recorded, [q, k, v], { gradient: ops.ones([3, 4], { device }) });
    const fused = noGrad(() => ops.scaledDotProductAttention(q, k, v, { mask }));
    found[`recorded ${hidden}`] = [...(await recorded.data())];
    found[`fused ${hidden}`] = [...(await fused.data())];
    found[`gradients ${hidden}`] = (await Promise.all(gradients.map((g) => g.data()))).flatMap((g) => [...g]);
  }
  found.values = [...(await v.data())];
  device.close();
  // NaN and infinities do not survive JSON.
  return Object.fromEntries(Object.entries(found).map(([name, list]) => [name, list.map(String)]));
}

/** Training on halves: the loss at its end, and whether a snapshot brings the parameters back to the last bit. */
async function train(storage: "rgba32f" | "rgba16f") {
  const { gl, lose, restore } = fragileContext(new OffscreenCanvas(1, 1));
  const device = await openWebgl({ gl, storage });
  ops.manualSeed(0);
  const model = smallNet(device, 0);
  const optimizer = new AdamW(model.parameters(), { lr: 0.02 });
  const [x, y] = quadrants(64)
    .batch(Int32Array.from({ length: 64 }, (_, i) => i))
    .map(({ data, dtype, shape }) => tensor(data, { dtype, shape, device }));
  let loss = Number.NaN;
  for (let step = 0; step < 60; step++) {
    const value = crossEntropy(model.forward(x), y);
    value.backward();
    optimizer.step();
    loss = await value.item();
  }
  const before = await valuesOf(model.parameters());
  await device.recovery.snapshot();
  lose();
  await restore();
  await device.recovery.restore();
  const after = await valuesOf(model.parameters());
  const isStored = before.every((value) => Object.is(toHalf(value), value));
  const lost = differences(after, before);
  device.close();
  return { loss, isStoredAsHalves: isStored, lost };
}

async function valuesOf(tensors: readonly Tensor[]): Promise<number[]> {
  return (await Promise.all(tensors.map(readExact))).flatMap((values) => Array.from(values));
}

/** On a context that renders no float textures but halves, or neither. */
async function withoutFloats(isHalfThere: boolean) {
  const { gl } = fragileContext(new OffscreenCanvas(1, 1));
  const get = gl.getExtension.bind(gl) as (name: string) => unknown;
  const hidden = ["EXT_color_buffer_float", ...(isHalfThere ? [] : ["EXT_color_buffer_half_float"])];
  gl.getExtension = ((name: string) => (hidden.includes(name) ? null : get(name))) as typeof gl.getExtension;
  const opened = await attempt(() => openHalf({ gl }));
  if (!("value" in opened)) return { error: opened };
  const device: WebglDevice = opened.value;
  const { storage, sums: kind } = device.info.details;
  const x = tensor(halves(16 * 40, 11), { device, shape: [16, 40] });
  const product = noGrad(() => x.matmul(x.transpose(0, 1)).relu());
  realize([product]);
  const values = [...(await product.data())];
  const rows = Array.from({ length: 16 }, (_, r) => halves(16 * 40, 11).slice(40 * r, 40 * r + 40));
  const want = rows.flatMap((a) => rows.map((b) => a.reduce((sum, value, i) => sum + value * b[i], 0)));
  const largest = Math.max(...values.map((value, i) => Math.abs(value - want[i]) / want[i]));
  const collected = await ops
    .scatterAdd(
      ops.zeros([2], { device }),
      0,
      tensor([1, 1, 0], { device, dtype: "int32" }),
      tensor([1, 2, 4], { device }),
    )
    .tolist();
  const training = await attempt(() => new SGD([x], { lr: 1 }));
  device.close();
  return { storage, kind, largest, collected, training, glError: gl.getError() };
}

async function attempt<T>(
  action: () => T | Promise<T>,
): Promise<{ value: T } | { code: string; message: string; hint?: string }> {
  try {
    return { value: await action() };
  } catch (error) {
    if (!(error instanceof WattgradError)) throw error;
    return { code: error.code, message: error.message, hint: error.hint };
  }
}

export const half = { roundings, sums, range, classify, update, train, withoutFloats };
