/** `wattgrad train`: trains a classifier of handwritten digits and saves it. */
import { join, parse } from "node:path";
import { Command, Option } from "commander";
import { totalCost } from "../../compiler/realize.js";
import { DataLoader, ImageDataset, type Mnist, mnistNormalization } from "../../data/index.js";
import type { Device } from "../../device/device.js";
import { type DeviceChoice, openDevice } from "../../device/select.js";
import { type EnergyMeter, efficiency, openMeter } from "../../energy/index.js";
import { imageClassifiers } from "../../models/index.js";
import { crossEntropy, type Module } from "../../nn/index.js";
import { manualSeed } from "../../ops/index.js";
import { AdamW, cosine } from "../../optim/index.js";
import { NumericsError } from "../../tensor/errors.js";
import { listCheckpoints } from "../../train/checkpoint.js";
import {
  accuracy,
  evaluate,
  type FitReport,
  fit,
  joules,
  lossReached,
  patience,
  randomShift,
  type StopCondition,
  timeLimit,
} from "../../train/index.js";
import { InterruptedError, UsageError } from "../exit.js";
import { loadImages } from "../images.js";
import { listenForInterrupt } from "../interrupt.js";
import { saveModelFile } from "../model_file.js";
import { dataOption, deviceOption, integerFrom, jsonOption, positiveNumber } from "../options.js";
import {
  requireJsonTarget,
  requireWritableDirectory,
  requireWritableFile,
  standardOutput,
  writeJson,
} from "../output.js";
import { type ProgressDisplay, showProgress } from "../progress.js";
import { printReport, type TrainReport } from "../report.js";

interface TrainOptions {
  readonly model: string;
  readonly data?: string;
  readonly epochs?: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly seed: number;
  readonly device: DeviceChoice;
  readonly out?: string;
  readonly json?: string;
  readonly checkpoint?: string;
  readonly checkpointSteps?: number;
  readonly resume?: boolean;
  readonly quiet?: boolean;
  readonly timeLimit?: number;
  readonly targetLoss?: number;
  readonly patience?: number;
  readonly joules?: number;
  readonly energyCommand?: string;
  readonly cpuWatts?: number;
}

/** Without --epochs: about this many images are trained on in all, small sets seeing more epochs of them. */
const sampleBudget = 80_000;
const minimumEpochs = 5;
/** AdamW's decay; much larger than for big models because the training set is small. */
const weightDecay = 0.01;
/** Share of the steps in which the learning rate rises from 0. */
const warmupShare = 0.1;
/** Augmentation: each image moves by up to so many pixels. */
const shiftPixels = 2;
const testBatchSize = 250;

const examples = `
Examples:
  wattgrad train                                  a small CNN on the shipped images
  wattgrad train --model mlp --epochs 5 --json -
  wattgrad train --data mnist --checkpoint run    60,000 images, with checkpoints
  wattgrad train --data mnist --checkpoint run --resume`;

export function trainCommand(): Command {
  return new Command("train")
    .description("train a classifier of handwritten digits (MNIST)")
    .addOption(
      new Option("--model <name>", "architecture").choices(Object.keys(imageClassifiers)).default("cnn"),
    )
    .addOption(dataOption())
    .option("--epochs <n>", "passes over the training images (default: by their number)", integerFrom(1))
    .option("--batch-size <n>", "images per step", integerFrom(1), 64)
    .option("--lr <rate>", "highest learning rate", positiveNumber, 0.003)
    .option("--seed <n>", "of weights, order and augmentation", integerFrom(0), 0)
    .addOption(deviceOption())
    .option("--out <file>", "where to save the model (default: models/mnist-<model>.safetensors)")
    .addOption(jsonOption())
    .option("--checkpoint <dir>", "save checkpoints here, after every epoch and on Ctrl-C")
    .option("--checkpoint-steps <n>", "also save one every n steps", integerFrom(1))
    .option("--resume", "go on from the newest checkpoint in --checkpoint")
    .option("--time-limit <seconds>", "stop training after this time", positiveNumber)
    .option("--target-loss <loss>", "stop when an epoch's training loss is this low", positiveNumber)
    .option("--patience <n>", "stop when the training loss has not improved for n epochs", integerFrom(1))
    .option("--joules <n>", "stop when the training has taken so much energy", positiveNumber)
    .option("--energy-command <command>", "an external meter: prints the joules counted so far")
    .option(
      "--cpu-watts <w>",
      "of a busy core, where no meter can be read (default: assumed)",
      positiveNumber,
    )
    .option("--quiet", "no progress and no table")
    .addHelpText("after", examples)
    .action(runTrain);
}

async function runTrain(options: TrainOptions): Promise<void> {
  const out = options.out ?? join("models", `mnist-${options.model}.safetensors`);
  await checkOptions(options, out);
  const train = await loadImages(options.data, "train");
  const test = await loadImages(options.data, "test");
  const device = await openDevice(options.device, {
    onChoice({ device: { name }, rejected }) {
      if (options.device !== "auto" || name !== "reference") return;
      const reasons = rejected.map((other) => `${other.name}: ${other.reason}`).join("; ");
      process.stderr.write(`wattgrad: only the slow reference device works here (${reasons})\n`);
    },
  });
  const { energyCommand: command, cpuWatts } = options;
  const meter = await openMeter({ command, cpuWatts, device });
  const progress = options.quiet ? undefined : showProgress();
  const interrupt = listenForInterrupt(() => {
    progress?.end();
    process.stderr.write("wattgrad: stopping after this step; press Ctrl-C again to exit at once\n");
  });
  try {
    manualSeed(options.seed);
    const model = imageClassifiers[options.model]({ device });
    const run: Run = { options, device, model, meter, images: train, signal: interrupt.signal, progress };
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
      // The last update may be the one that diverged; what was saved before is worth more than that.
      throw new NumericsError(`the test loss is ${tested.loss}, ${out} was not written; try a lower --lr`);
    }
    await saveModelFile(out, options.model, model, mnistNormalization);
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
    if (!options.quiet) {
      const stream = options.json === standardOutput ? process.stderr : process.stdout;
      printReport(stream, report, {
        testSamples: tested.samples,
        stoppedBecause: trained.stoppedBecause,
        device: device.info.description,
      });
    }
    if (options.json !== undefined) await writeJson(options.json, report);
  } finally {
    progress?.end();
    interrupt.dispose();
    meter.close();
    device.close();
  }
}

/** Everything that can be known to fail is found before any time is spent on training. */
async function checkOptions(options: TrainOptions, out: string): Promise<void> {
  const { checkpoint, resume, checkpointSteps } = options;
  if (resume && checkpoint === undefined) throw new UsageError("--resume needs --checkpoint DIR");
  if (checkpointSteps !== undefined && checkpoint === undefined) {
    throw new UsageError("--checkpoint-steps needs --checkpoint DIR");
  }
  await requireJsonTarget(options.json, out);
  await requireWritableFile(out);
  if (checkpoint === undefined) return;
  await requireWritableDirectory(checkpoint);
  if (!resume && (await listCheckpoints(checkpoint)).length > 0) {
    throw new UsageError(`${checkpoint} has checkpoints of an earlier run; add --resume or choose another`);
  }
}

/** What `trainModel` needs. */
interface Run {
  readonly options: TrainOptions;
  readonly device: Device;
  readonly model: Module;
  readonly meter: EnergyMeter;
  readonly images: Mnist;
  readonly signal: AbortSignal;
  readonly progress: ProgressDisplay | undefined;
}

async function trainModel({
  options,
  device,
  model,
  meter,
  images: { images, labels },
  signal,
  progress,
}: Run): Promise<{ report: FitReport; flopsPerSample: number | null; samples: number }> {
  const { seed, batchSize, checkpoint } = options;
  const dataset = randomShift(new ImageDataset(images, labels, mnistNormalization), {
    pixels: shiftPixels,
    seed,
    epoch: () => loader.state().epoch,
    fill: -mnistNormalization.mean / mnistNormalization.std,
  });
  const loader: DataLoader = new DataLoader(dataset, { device, batchSize, shuffle: { seed } });
  const epochs = options.epochs ?? Math.max(minimumEpochs, Math.round(sampleBudget / dataset.length));
  const steps = epochs * loader.length;
  const headline = `training ${options.model} on ${dataset.length.toLocaleString("en")} images, ${epochs} ${epochs === 1 ? "epoch" : "epochs"}: ${device.info.description}\n`;
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
          if (!options.quiet) process.stderr.write(headline);
        },
        onStep(record) {
          samples += record.samples;
        },
      },
      ...(progress === undefined ? [] : [progress]),
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

function stopConditions(options: TrainOptions): StopCondition[] {
  const conditions: StopCondition[] = [];
  if (options.timeLimit !== undefined) conditions.push(timeLimit(options.timeLimit));
  if (options.targetLoss !== undefined) conditions.push(lossReached(options.targetLoss));
  if (options.patience !== undefined) conditions.push(patience({ epochs: options.patience }));
  if (options.joules !== undefined) conditions.push(joules(options.joules));
  return conditions;
}

/** Without checkpoints the weights so far are saved, beside the file that a complete training would write. */
async function saveInterrupted(
  { checkpoint, model: name }: TrainOptions,
  out: string,
  model: Module,
  { steps }: FitReport,
): Promise<string> {
  const where = `interrupted after step ${steps}`;
  if (checkpoint !== undefined) return `${where}; the same command with --resume goes on from ${checkpoint}`;
  const { dir, name: stem, ext } = parse(out);
  const path = join(dir, `${stem}.interrupted${ext}`);
  await saveModelFile(path, name, model, mnistNormalization);
  return `${where}; the weights so far are in ${path} (with --checkpoint DIR the training could go on)`;
}
