/** `wattgrad train`: trains a classifier of handwritten digits and saves it. */
import { join } from "node:path";
import { Command, Option } from "commander";
import { imageClassifiers } from "../../models/index.js";
import { listCheckpoints } from "../../train/checkpoint.js";
import { UsageError } from "../exit.js";
import { loadImages } from "../images.js";
import {
  cpuWattsOption,
  dataOption,
  deviceOption,
  energyCommandOption,
  integerFrom,
  jsonOption,
  positiveNumber,
} from "../options.js";
import {
  requireJsonTarget,
  requireWritableDirectory,
  requireWritableFile,
  standardOutput,
  writeJson,
} from "../output.js";
import { printReport } from "../report.js";
import { type TrainingOptions, trainingDefaults, trainToFile } from "../training.js";

interface TrainOptions extends TrainingOptions {
  readonly data?: string;
  readonly out?: string;
  readonly json?: string;
}

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
    .option("--batch-size <n>", "images per step", integerFrom(1), trainingDefaults.batchSize)
    .option("--lr <rate>", "highest learning rate", positiveNumber, trainingDefaults.lr)
    .option("--seed <n>", "of weights, order and augmentation", integerFrom(0), trainingDefaults.seed)
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
    .addOption(energyCommandOption())
    .addOption(cpuWattsOption())
    .option("--quiet", "no progress and no table")
    .addHelpText("after", examples)
    .action(runTrain);
}

async function runTrain(options: TrainOptions): Promise<void> {
  const out = options.out ?? join("models", `mnist-${options.model}.safetensors`);
  await checkOptions(options, out);
  const images = {
    train: await loadImages(options.data, "train"),
    test: await loadImages(options.data, "test"),
  };
  const { report, context } = await trainToFile(options, out, images);
  if (!options.quiet) {
    printReport(options.json === standardOutput ? process.stderr : process.stdout, report, context);
  }
  if (options.json !== undefined) await writeJson(options.json, report);
}

/** Everything that can be known to fail is found before any time is spent on training. */
async function checkOptions(options: TrainOptions, out: string): Promise<void> {
  const { checkpoint, resume, checkpointSteps } = options;
  if (resume && checkpoint === undefined) throw new UsageError("--resume needs --checkpoint DIR");
  if (checkpointSteps !== undefined && checkpoint === undefined) {
    throw new UsageError("--checkpoint-steps needs --checkpoint DIR");
  }
  await requireJsonTarget(options.json, [out, "the model file"]);
  await requireWritableFile(out);
  if (checkpoint === undefined) return;
  await requireWritableDirectory(checkpoint);
  if (!resume && (await listCheckpoints(checkpoint)).length > 0) {
    throw new UsageError(`${checkpoint} has checkpoints of an earlier run; add --resume or choose another`);
  }
}
