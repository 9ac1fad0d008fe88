/**
 * Trained models on every device there is, in Node or in a page: accuracy, time, cost and energy of an image. The models take turns, so that a
 * neighbour that is noisy for a while hits all alike.
 */

import { nextTurn } from "../core/event_loop.js";
import { DataLoader, type Dataset, ImageDataset, type Mnist, subset } from "../data/index.js";
import type { Device } from "../device/device.js";
import { type DeviceName, openDevice } from "../device/select.js";
import { sumOfIntervals } from "../energy/figure.js";
import type { EnergyFigure } from "../energy/index.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import { costOf } from "../kernels/cost.js";
import { crossEntropy } from "../nn/index.js";
import { tensor } from "../ops/index.js";
import { median } from "../profile/statistics.js";
import { stateBytes } from "../quantization/compare.js";
import { jit } from "../runtime/jit.js";
import { readAndDispose } from "../train/evaluate.js";
import { accuracy, evaluate } from "../train/index.js";
import { type Meter, type MeterOpener, ownMeter } from "./meter.js";
import { loadTrained } from "./model.js";

export interface ModelToRun {
  /** `float32`, `int8 static`: how the rows name it. */
  readonly label: string;
  /** The bytes of its file. */
  readonly file: Uint8Array;
}

/** One model on one device; plain data. */
export interface InferenceRow {
  readonly model: string;
  readonly device: string;
  /** `node` or the browser. */
  readonly where: string;
  /** Share of the images classified correctly, 0..1. */
  readonly accuracy: number;
  readonly loss: number;
  /** Test images seen: fewer on the reference device. */
  readonly images: number;
  /** Milliseconds for one image by itself, from the call to its answers; median. */
  readonly singleMs: number;
  /** Milliseconds for an image among `batchSize`; median. */
  readonly batchMs: number;
  readonly batchSize: number;
  readonly imagesPerSecond: number;
  /** Exact, of an image in a batch; operations on whole numbers count as well. */
  readonly flopsPerImage: number;
  readonly bytesPerImage: number;
  /** Of an image in a batch; null if it is unknown. */
  readonly joulesPerImage: number | null;
  /** What was measured, of `meteredImages`. */
  readonly energy: EnergyFigure;
  readonly meteredImages: number;
  /** Of the model's parameters and buffers. */
  readonly modelBytes: number;
}

export interface InferenceRun {
  readonly rows: readonly InferenceRow[];
  /** Devices that are not there, and why. */
  readonly unavailable: readonly {
    readonly device: string;
    readonly where: string;
    readonly reason: string;
  }[];
  readonly devices: Readonly<Record<string, { readonly description: string; readonly details: object }>>;
}

export interface Surroundings {
  /** Default: meters of this process. */
  readonly openMeter?: MeterOpener;
  /** Told what is done next. */
  readonly onProgress?: (next: string) => void;
}

/** Batches of this size are timed, and joules are those of an image in one. */
const batchSize = 100;
/** The reference device takes about 30 ms an image. */
const reference = { images: 100, batchSize: 20 } as const;
/** Turns of each model, and milliseconds of a turn: a meter that moves in steps of 10 ms is right to some percent. */
const [rounds, turn] = [7, 200];
/** Milliseconds of turns after which slow work has had its share, if there were so many rounds. */
const [patience, fewestRounds] = [2000, 3];

/** @throws FormatError for models that cannot be used; devices that are not there are told. */
export async function runModels(
  models: readonly ModelToRun[],
  test: Mnist,
  devices: readonly DeviceName[],
  where: string,
  { openMeter = ownMeter, onProgress }: Surroundings = {},
): Promise<InferenceRun> {
  const rows: InferenceRow[] = [];
  const unavailable: InferenceRun["unavailable"][number][] = [];
  const found: Record<string, { description: string; details: object }> = {};
  for (const name of devices) {
    let device: Device;
    try {
      device = await openDevice(name);
    } catch (error) {
      const [reason] = (error as Error).message.split("\n");
      unavailable.push({ device: name, where, reason });
      continue;
    }
    let meter: Meter | undefined;
    try {
      const { description, details } = device.info;
      found[name] = { description, details };
      meter = await openMeter(device);
      rows.push(...(await runOn(device, meter, models, test, where, onProgress)));
    } finally {
      meter?.close();
      device.close();
    }
  }
  return { rows, unavailable, devices: found };
}

async function runOn(
  device: Device,
  meter: Meter,
  models: readonly ModelToRun[],
  test: Mnist,
  where: string,
  onProgress: Surroundings["onProgress"],
): Promise<InferenceRow[]> {
  const entries: Entry[] = [];
  for (const model of models) {
    onProgress?.(`${model.label} on ${device.name}: accuracy`);
    entries.push(await prepare(device, model, test));
  }
  onProgress?.(`${models.map(({ label }) => label).join(", ")} on ${device.name}: time and energy`);
  for (let round = 0; round < rounds; round++) {
    for (const entry of entries) {
      if (round >= fewestRounds && entry.used > patience) continue;
      await takeTurn(entry.single, entry);
      await takeTurn(entry.batch, entry, meter);
    }
  }
  return entries.map((entry) => rowOf(entry, device, where));
}

/** Passes over the same images. */
interface Passes {
  readonly size: number;
  run(): Promise<unknown>;
  /** Milliseconds of a pass, one for each round. */
  readonly times: number[];
}

interface Entry extends Pick<InferenceRow, "model" | "accuracy" | "loss" | "images" | "modelBytes"> {
  readonly single: Passes;
  readonly batch: Passes;
  readonly cost: { readonly flops: number; readonly bytes: number };
  energy: EnergyFigure | undefined;
  meteredImages: number;
  /** Milliseconds of all turns. */
  used: number;
}

async function prepare(
  device: Device,
  { label, file }: ModelToRun,
  { images, labels }: Mnist,
): Promise<Entry> {
  const { model, normalization } = await loadTrained(file, device, label);
  const all = new ImageDataset(images, labels, normalization);
  const isSlow = device.name === "reference";
  const dataset = isSlow ? subset(all, 0, Math.min(all.length, reference.images)) : all;
  const size = Math.min(dataset.length, isSlow ? reference.batchSize : batchSize);
  const data = new DataLoader(dataset, { device, batchSize: size });
  const scores = await evaluate({ model, data, loss: crossEntropy, metrics: { accuracy } });
  model.eval();
  const forward = jit((x: Tensor) => noGrad(() => model.forward(x)));
  const passesOf = async (count: number): Promise<Passes & { readonly x: Tensor }> => {
    const x = firstImages(dataset, count, device);
    await forward.warmup([x]);
    const run = () => readAndDispose(forward(x));
    await run();
    return { size: count, x, run, times: [] };
  };
  const [single, batch] = [await passesOf(1), await passesOf(size)];
  return {
    model: label,
    accuracy: scores.metrics.accuracy,
    loss: scores.loss,
    images: scores.samples,
    modelBytes: stateBytes(model),
    single,
    batch,
    cost: costOf(forward.program(batch.x)!, device.info),
    energy: undefined,
    meteredImages: 0,
    used: 0,
  };
}

function firstImages(dataset: Dataset, count: number, device: Device): Tensor {
  const [{ data, shape }] = dataset.batch(Int32Array.from({ length: count }, (_, i) => i));
  return tensor(data as Float32Array, { shape, device });
}

/** Passes for about `turn` milliseconds, one at least. */
async function takeTurn(passes: Passes, entry: Entry, meter?: Meter): Promise<void> {
  const window = await meter?.begin();
  const start = performance.now();
  let count = 0;
  let elapsed: number;
  do {
    await passes.run();
    count++;
    elapsed = performance.now() - start;
  } while (elapsed < turn);
  passes.times.push(elapsed / count);
  entry.used += elapsed;
  if (window !== undefined) {
    const figure = await window.read();
    entry.energy = entry.energy === undefined ? figure : sumOfIntervals(entry.energy, figure);
    entry.meteredImages += count * passes.size;
  }
  // A page that never yields is taken for dead.
  await nextTurn();
}

function rowOf(entry: Entry, device: Device, where: string): InferenceRow {
  const { model, single, batch, cost, meteredImages } = entry;
  const energy = entry.energy!;
  const batchMs = median(batch.times) / batch.size;
  return {
    model,
    device: device.name,
    where,
    accuracy: entry.accuracy,
    loss: entry.loss,
    images: entry.images,
    singleMs: median(single.times),
    batchMs,
    batchSize: batch.size,
    imagesPerSecond: 1000 / batchMs,
    flopsPerImage: cost.flops / batch.size,
    bytesPerImage: cost.bytes / batch.size,
    joulesPerImage: energy.joules === null ? null : energy.joules / meteredImages,
    energy,
    meteredImages,
    modelBytes: entry.modelBytes,
  };
}
