/** In a page: devices that lose their context and are restored. */
import { DataLoader } from "../../../src/data/index.js";
import type { FloatStorage } from "../../../src/device/webgl/gl/storage.js";
import { openWebgl, type WebglOptions } from "../../../src/device/webgl/webgl.js";
import {
  DeviceLostError,
  type DType,
  jit,
  manualSeed,
  readExact,
  tensor,
  WattgradError,
} from "../../../src/index.js";
import { crossEntropy, type Module } from "../../../src/nn/index.js";
import { AdamW, cosine, LRScheduler, SGD } from "../../../src/optim/index.js";
import { fit as train } from "../../../src/train/index.js";
import { toHalf } from "../../tolerance.js";
import { quadrants, smallNet } from "../../train/problem.js";
import { type FragileContext, fragileContext } from "./contexts.js";

export interface LossyTraining {
  /** Values of all weights at the end. */
  readonly weights: Record<string, number[]>;
  readonly losses: readonly number[];
  /** Draws in all. */
  readonly draws: number;
  /** Steps that training went back to. */
  readonly restored: readonly number[];
  readonly snapshots: number;
}

/** The context is lost so many draws after a step was reached for the first time. */
export interface LossPoint {
  readonly step: number;
  readonly draws: number;
}

export interface LossyOptions {
  readonly storage: "rgba32f" | "rgba32ui";
  readonly loseAt: readonly LossPoint[];
}

const samples = 64;
const batchSize = 16;
const epochs = 15;
const stepsPerSnapshot = 5;
const steps = (epochs * samples) / batchSize;

/** With everything that has state outside the device: shuffled data, dropout, Adam's step counts, a schedule. */
function setUp({ loseAt, storage }: LossyOptions): Scene {
  const context = fragileContext(new OffscreenCanvas(1, 1));
  manualSeed(11);
  let furthest = -1;
  const reach = (step: number) => {
    for (const point of loseAt) {
      if (point.step > furthest && point.step <= step) context.loseAt(context.draws() + point.draws);
    }
    furthest = Math.max(furthest, step);
  };
  return { context, options: { gl: context.gl, storage }, reach };
}

interface Scene {
  readonly context: FragileContext;
  readonly options: WebglOptions;
  /** To be told the number of each step. */
  reach(step: number): void;
}

/** Trains with fit. */
async function fitThrough(lossy: LossyOptions): Promise<LossyTraining> {
  const { context, options, reach } = setUp(lossy);
  const device = await openWebgl(options);
  const model = smallNet(device, 0.2);
  const losses: number[] = [];
  const restored: number[] = [];
  const data = quadrants(samples);
  await train({
    model,
    optimizer: new AdamW(model.parameters(), { lr: 0.02 }),
    train: new DataLoader(data, { device, batchSize, shuffle: { seed: 3 } }),
    validation: new DataLoader(data, { device, batchSize }),
    loss: crossEntropy,
    epochs,
    schedule: cosine({ steps, warmup: 4 }),
    snapshot: { everySteps: stepsPerSnapshot },
    callbacks: [
      {
        onStep: ({ step, loss }) => {
          reach(step);
          losses[step - 1] = loss;
        },
        onEpoch: ({ epoch, validation }) => {
          losses[steps + epoch - 1] = validation!.loss;
        },
        onRestore: ({ step }) => void restored.push(step),
      },
    ],
  });
  const weights = await weightsOf(model);
  const { snapshots } = device.counts;
  device.close();
  return { weights, losses, draws: context.draws(), restored, snapshots };
}

/** Trains with a loop of its own, whose counter follows the device's snapshots. */
async function loopThrough(lossy: LossyOptions, captured: boolean): Promise<LossyTraining> {
  const { context, options, reach } = setUp(lossy);
  const device = await openWebgl(options);
  const { recovery } = device;
  const model = smallNet(device, 0.2);
  const optimizer = new AdamW(model.parameters(), { lr: 0.02 });
  const scheduler = new LRScheduler(optimizer, cosine({ steps, warmup: 4 }));
  const dataset = quadrants(samples);
  const plain = (x: ReturnType<typeof tensor>, y: ReturnType<typeof tensor>) => {
    const loss = crossEntropy(model.forward(x), y);
    loss.backward();
    optimizer.step();
    return loss;
  };
  const train = captured ? jit(plain) : plain;
  const losses: number[] = [];
  const restored: number[] = [];
  let step = 0;
  recovery.register({
    save: () => {
      const now = step;
      return () => {
        step = now;
      };
    },
  });
  // Weights that are not computed yet would not be in the first snapshot.
  await weightsOf(model);
  await recovery.snapshot();
  while (step < steps) {
    try {
      reach(step);
      const indices = Int32Array.from({ length: batchSize }, (_, i) => (step * 7 + i * 3) % samples);
      const [x, y] = dataset
        .batch(indices)
        .map(({ data, dtype, shape }) => tensor(data, { dtype, shape, device }));
      const loss = train(x, y);
      scheduler.step();
      step++;
      if (step % stepsPerSnapshot === 0) recovery.snapshot().catch(() => {});
      const at = step - 1;
      losses[at] = await loss.item();
      for (const batch of [x, y, loss]) batch.dispose();
    } catch (error) {
      if (!(error instanceof DeviceLostError)) throw error;
      await recovery.restore();
      restored.push(step);
    }
  }
  const weights = await weightsOf(model);
  const { snapshots } = device.counts;
  device.close();
  return { weights, losses, draws: context.draws(), restored, snapshots };
}

async function weightsOf(model: Module): Promise<Record<string, number[]>> {
  const weights: Record<string, number[]> = {};
  for (const [name, value] of model.stateDict()) weights[name] = [...(await readExact(value))];
  return weights;
}

/** Name and code of what a piece of code throws; "nothing" if it does not. */
async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof WattgradError) return error.code;
    return String(error);
  }
  return "nothing";
}

/** A value whose lazy input is computed and read before it. */
async function readInputFirst(x: ReturnType<typeof tensor>) {
  const input = x.mul(2);
  const output = input.add(1);
  return [await input.tolist(), await output.tolist()];
}

/** What each use of a device says while its context is lost, when it is there again, and after `restore()`. */
async function useWhileLost() {
  const { gl, lose, restore } = fragileContext(document.createElement("canvas"));
  const device = await openWebgl({ gl });
  const old = tensor([1, 2, 3], { device });
  const derived = old.add(1);
  const moved = tensor([1, 2, 3], { device });
  await device.recovery.snapshot();
  moved.assign(moved.mul(10));
  await moved.data();
  const ofMoved = moved.add(1);
  const young = tensor([4, 5, 6], { device });
  const target = device.allocate("float32", 3);
  const underWay = codeOf(() => device.read(old.storage!.buffer));
  const told = device.lost.then(({ message }) => message);
  lose();
  const uses = async () => ({
    allocate: await codeOf(() => device.allocate("float32", 3)),
    write: await codeOf(() => device.write(target, new Float32Array(3))),
    read: await codeOf(() => device.read(old.storage!.buffer)),
    run: await codeOf(() => old.add(young).realize()),
    snapshot: await codeOf(() => device.recovery.snapshot()),
  });
  const whileLost = await uses();
  const readUnderWay = await underWay;
  await restore();
  const untilRestored = await uses();
  await device.recovery.restore();
  const after = {
    old: await old.tolist(),
    young: await codeOf(() => young.tolist()),
    usesYoung: await codeOf(() => young.add(1).tolist()),
    // Its input is what it was; that of the other went back to the snapshot.
    builtBefore: await derived.tolist(),
    ofMoved: await codeOf(() => ofMoved.tolist()),
    moved: await moved.tolist(),
    lazyInput: await readInputFirst(old),
    sum: await old.add(1).tolist(),
    restoreAgain: await codeOf(() => device.recovery.restore()),
  };
  const reason = await told;
  // The next loss is told as well.
  const again = device.lost.then(() => "told");
  lose();
  const second = await again;
  device.close();
  return { whileLost, untilRestored, readUnderWay, after, reason, second };
}

/**
 * Weights after three steps of SGD whose second lost the context between backward() and the update, and was made again;
 * and after three steps without a loss.
 */
async function loseBeforeUpdate(): Promise<{ code: string; weights: number[]; undisturbed: number[] }> {
  const run = async (isStruck: boolean) => {
    const { gl, lose, restore } = fragileContext(new OffscreenCanvas(1, 1));
    const device = await openWebgl({ gl });
    const weight = tensor([1, -2, 3], { device, requiresGrad: true });
    const optimizer = new SGD([weight], { lr: 0.1 });
    let code = "";
    for (let step = 0; step < 3; step++) {
      await device.recovery.snapshot();
      const differentiate = () => weight.mul(weight).sum().backward();
      differentiate();
      if (isStruck && step === 1) {
        lose();
        code = await codeOf(() => optimizer.step());
        await restore();
        await device.recovery.restore();
        differentiate();
      }
      optimizer.step();
    }
    const weights = [...(await readExact(weight))];
    device.close();
    return { code, weights };
  };
  const { weights: undisturbed } = await run(false);
  return { ...(await run(true)), undisturbed };
}

async function loseWithoutSnapshot(): Promise<{ use: string; restore: string }> {
  const { gl, lose, restore } = fragileContext(new OffscreenCanvas(1, 1));
  const device = await openWebgl({ gl });
  const x = tensor([1, 2, 3], { device });
  lose();
  await restore();
  const codes = {
    use: await codeOf(() => x.tolist()),
    restore: await codeOf(() => device.recovery.restore()),
  };
  device.close();
  return codes;
}

/** Values of every dtype and with every bit that a snapshot has to bring back. */
async function restoreEveryDtype(storage: FloatStorage) {
  const { gl, lose, restore } = fragileContext(new OffscreenCanvas(1, 1));
  // Narrow textures: nearly all of them have several rows, the last one not full.
  const device = await openWebgl({ gl, storage, textureLimit: 8 });
  const values: Record<DType, number[]> = {
    float32: [0, -0, 2e-38, 3.4e38, -1 / 3, Number.POSITIVE_INFINITY, Number.NaN],
    // As bits.
    float16: [0, 0x8000, 1, 0x3ff, 0x3c00, 0xfbff, 0x7c00],
    bfloat16: [0, 0x8000, 0x3f80, 0xff7f, 0x7f80],
    int32: [0, -1, 2 ** 31 - 1, -(2 ** 31), 12345],
    uint8: [0, 1, 127, 128, 255],
    int8: [0, -1, -128, 127, 5],
    bool: [0, 1, 1, 0, 1],
  };
  const long = (list: readonly number[]) => Array.from({ length: 77 }, (_, i) => list[i % list.length]);
  const made = Object.entries(values).map(([dtype, list]) => ({
    dtype,
    list: long(list),
    made: tensor(dtype.endsWith("float16") ? Uint16Array.from(long(list)) : long(list), {
      dtype: dtype as DType,
      device,
    }),
  }));
  await device.recovery.snapshot();
  lose();
  await restore();
  await device.recovery.restore();
  const differing: string[] = [];
  for (const { dtype, list, made: x } of made) {
    const got = await readExact(x);
    const stored = storage === "rgba16f" ? toHalf : Math.fround;
    const want = dtype === "float32" ? list.map(stored) : list;
    if (got.length !== want.length || !want.every((value, i) => Object.is(value, got[i])))
      differing.push(dtype);
  }
  device.close();
  return { dtypes: made.map(({ dtype }) => dtype), differing };
}

/** Snapshots that the device takes by itself, and what one costs when little has changed. */
async function snapshotsByThemselves() {
  const { gl, lose, restore } = fragileContext(new OffscreenCanvas(1, 1));
  let readPixels = 0;
  const own = gl.readPixels.bind(gl) as (...args: unknown[]) => void;
  gl.readPixels = (...args: unknown[]) => {
    readPixels++;
    own(...args);
  };
  const device = await openWebgl({ gl, snapshotInterval: 10 });
  const constants = Array.from({ length: 30 }, (_, i) => tensor([i], { device }));
  let x = tensor([0], { device });
  const turns = async (target: number) => {
    while (device.counts.snapshots < target) {
      const next = x.add(1).realize();
      x.dispose();
      x = next;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  await turns(2);
  const before = { snapshots: device.counts.snapshots, readPixels };
  await turns(before.snapshots + 3);
  const readsPerSnapshot = (readPixels - before.readPixels) / (device.counts.snapshots - before.snapshots);
  lose();
  await restore();
  await device.recovery.restore();
  const restored = (await Promise.all(constants.map((constant) => constant.item()))).map(Number);
  device.close();
  return { readsPerSnapshot, restored };
}

export const losses = {
  fitThrough,
  loopThrough,
  useWhileLost,
  loseBeforeUpdate,
  loseWithoutSnapshot,
  restoreEveryDtype,
  snapshotsByThemselves,
};
