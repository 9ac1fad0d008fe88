/** Trains a classifier of digits and saves it, also after an interruption, for `wattgrad train` and `wattgrad tour`. */
import { join, parse } from "node:path";
import { NumericsError } from "../core/errors.js";
import { DataLoader, ImageDataset, type Mnist, mnistNormalization } from "../data/index.js";
import type { Device } from "../device/device.js";
import { type DeviceChoice, openDevice } from "../device/select.js";
import { type EnergyMeter, efficiency, openMeter } from "../energy/index.js";
import { imageClassifiers } from "../models/index.js";
import { crossEntropy, type Module } from "../nn/index.js";
import { manualSeed } from "../ops/index.js";
import { AdamW, cosine } from "../optim/index.js";
import { totalCost } from "../runtime/total_cost.js";
import {
  accuracy,
  type Callback,
  evaluate,
  type FitReport,
  fit,
  joules,
  lossReached,
  patience,
  randomShift,
  type StopCondition,
  timeLimit,
} from "../train/index.js";
import type { TrainReport } from "../train/report.js";
import { InterruptedError } from "./exit.js";
import { listenForInterrupt } from "./interrupt.js";
import { saveModelFile } from "./model_file.js";
import { isPlainFile } from "./output.js";
import { showProgress } from "./progress.js";
import type { ReportContext } from "./report.js";
import { say } from "./terminal.js";

export interface TrainingOptions {
  /** One of `imageClassifiers`. */
  readonly model: string;
  readonly epochs?: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly seed: number;
  readonly device: DeviceChoice;
  readonly checkpoint?: string;
  readonly checkpointSteps?: number;
  readonly resume?: boolean;
  /** Shows no progress. */
  readonly quiet?: boolean;
  readonly timeLimit?: number;
  readonly targetLoss?: number;
  readonly patience?: number;
  readonly joules?: number;
  readonly energyCommand?: string;
  readonly cpuWatts?: number;
}

export const trainingDefaults = { batchSize: 64, lr: 0.003, seed: 0 } as const;

/** Without --epochs: about this many images are trained on in all, small sets seeing more epochs of them. */
const sampleBudget = 80_000;
const minimumEpochs = 5;
/** AdamW's decay; much larger than for big models because the training set is small. */
const weightDecay = 0.01;
/** Share of the steps in which the learning rate rises from 0. */
const warmupShare = 0.1;
/** Augmentation: maximum shift of an image in pixels. */
const shiftPixels = 2;
const testBatchSize = 250;

export interface Training {
  readonly report: TrainReport;
  /** Images trained on, each as often as it was seen; resumed parts included. */
  readonly samples: number;
  readonly context: ReportContext;
}

/**
 * Trains, tests, and writes the model to `out`. Ctrl-C ends the training in order.
 *
 * @throws InterruptedError that names the saved files; NumericsError if training diverged and the model is not saved.
 */
export async function trainToFile(
  options: TrainingOptions,
  out: string,
  { train, test }: { readonly train: Mnist; readonly test: Mnist },
  callbacks: readonly Callback[] = [],
): Promise<Training> {
  const device = await openDevice(options.device, {
    onChoice({ device: { name }, rejected }) {
      if (options.device !== "auto" || name !== "reference") return;
      const reasons = rejected.map((other) => `${other.name}: ${other.reason}`).join("; ");
      say(`wattgrad: only the slow reference device works here (${reasons})`);
    },
  });
  const { energyCommand: command, cpuWatts } = options;
  const meter = await openMeter({ command, cpuWatts, device });
  const progress = options.quiet ? undefined : showProgress();
  const interrupt = listenForInterrupt(() => {
    progress?.end();
    say("wattgrad: stopping after this step; press Ctrl-C again to exit at once");
  });
  try {
    manualSeed(options.seed);
    const model = imageClassifiers[options.model]({ device });
    const run: Run = {
      options,
      device,
      model,
      meter,
      images: train,
      signal: interrupt.signal,
      callbacks: [...callbacks, ...(progress === undefined ? [] : [progress])],
    };
    const { report: trained, flopsPerSample, samples } = await trainModel(run);
    const energy = trained.energy!;
    progress?.end();
    if (trained.aborted) throw new InterruptedError(await saveInterrupted(options, out, model, trained));
    const data = new DataLoader(new ImageDataset(test.images, test.labels, mnistNormalization), {
      device,
      batchSize: testBatchSize,
    });
    const tested = await evaluate({ model, data, loss: crossEntropy, metrics: { accuracy } });
    if (!Number.isFinite(tested.loss)) {
      // The last update may have diverged: keep the model that was saved before.
      throw new NumericsError(`the test loss is ${tested.loss}, ${out} was not written; try a lower --lr`);
    }
    await saveModelFile(out, options.model, model, mnistNormalization);
    if (interrupt.signal.aborted) throw new InterruptedError(`interrupted; the trained model is in ${out}`);
    const report: TrainReport = {
      testAccuracy: tested.metrics.accuracy,
      samplesPerSecond: trained.samplesPerSecond,
      flopsPerSample,
      parameters: model.parameterCount(),
      peakBytes: device.memory().peakBytes,
      seconds: trained.seconds,
      energy,
      samplesPerJoule: efficiency(energy, { samples }).samplesPerJoule,
      epochs: trained.history.map(({ epoch, loss, seconds, energy }) => ({
        epoch,
        loss,
        seconds,
        energy: energy!,
      })),
      device: device.name,
      modelFile: out,
    };
    return {
      report,
      samples,
      context: {
        testSamples: tested.samples,
        stoppedBecause: trained.stoppedBecause,
        device: device.info.description,
      },
    };
  } finally {
    progress?.end();
    interrupt.dispose();
    meter.close();
    device.close();
  }
}

/** Options of `trainModel`. */
interface Run {
  readonly options: TrainingOptions;
  readonly device: Device;
  readonly model: Module;
  readonly meter: EnergyMeter;
  readonly images: Mnist;
  readonly signal: AbortSignal;
  readonly callbacks: readonly Callback[];
}

async function trainModel({
  options,
  device,
  model,
  meter,
  images: { images, labels },
  signal,
  callbacks,
}: Run): Promise<{ report: FitReport; flopsPerSample: number | null; samples: number }> {
  const { seed, batchSize, checkpoint } = options;
  const dataset = randomShift(new ImageDataset(images, labels, mnistNormalization), {
    pixels: shiftPixels,
    seed,
    fill: -mnistNormalization.mean / mnistNormalization.std,
  });
  const loader = new DataLoader(dataset, { device, batchSize, shuffle: { seed } });
  const epochs = options.epochs ?? Math.max(minimumEpochs, Math.round(sampleBudget / dataset.length));
  const steps = epochs * loader.length;
  const headline = `training ${options.model} on ${dataset.length.toLocaleString("en")} images, ${epochs} ${epochs === 1 ? "epoch" : "epochs"}: ${device.info.description}`;
  let samples = 0;
  let samplesBefore = 0;
  const flopsBefore = totalCost(device).flops;
  // biome-ignore lint/suspicious/noFocusedTests: this fit trains; it is not the test function of that name.
  const report = await fit({
    model,
    optimizer: new AdamW(model.parameters(), { lr: options.lr, weightDecay }),
    train: loader,
    loss: crossEntropy,
    metrics: { accuracy },
    epochs,
    schedule: cosine({ steps, warmup: Math.ceil(steps * warmupShare) }),
    stop: stopConditions(options),
    signal,
    energy: meter,
    ...(checkpoint !== undefined && {
      checkpoint: {
        directory: checkpoint,
        everyEpochs: 1,
        everySteps: options.checkpointSteps,
        resume: options.resume,
      },
    }),
    callbacks: [
      {
        onStart({ state }) {
          samplesBefore = state.history.reduce((sum, record) => sum + record.samples, state.samples);
          if (!options.quiet) say(headline);
        },
        onStep(record) {
          samples += record.samples;
        },
      },
      ...callbacks,
    ],
  });
  const flops = totalCost(device).flops - flopsBefore;
  // A resumed run that was already complete trains on nothing: then it is unknown, not 0.
  return {
    report,
    flopsPerSample: samples > 0 ? flops / samples : null,
    samples: samplesBefore + samples,
  };
}

function stopConditions(options: TrainingOptions): StopCondition[] {
  const conditions: StopCondition[] = [];
  if (options.timeLimit !== undefined) conditions.push(timeLimit(options.timeLimit));
  if (options.targetLoss !== undefined) conditions.push(lossReached(options.targetLoss));
  if (options.patience !== undefined) conditions.push(patience({ epochs: options.patience }));
  if (options.joules !== undefined) conditions.push(joules(options.joules));
  return conditions;
}

/** Without checkpoints the weights so far are saved, beside the file that a complete training would write. */
async function saveInterrupted(
  { checkpoint, model: name }: TrainingOptions,
  out: string,
  model: Module,
  { steps }: FitReport,
): Promise<string> {
  const where = `interrupted after step ${steps}`;
  if (checkpoint !== undefined) return `${where}; the same command with --resume goes on from ${checkpoint}`;
  const { dir, name: stem, ext } = parse(out);
  // Beside a device node or a FIFO there is no place.
  const path = (await isPlainFile(out)) ? join(dir, `${stem}.interrupted${ext}`) : out;
  await saveModelFile(path, name, model, mnistNormalization);
  return `${where}; the weights so far are in ${path} (with --checkpoint DIR the training could go on)`;
}
