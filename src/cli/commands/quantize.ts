/** `wattgrad quantize`: quantizes a trained model and reports the loss of accuracy. */

import { Command, Option } from "commander";
import { type DataLoader, ImageDataset } from "../../data/index.js";
import type { Device } from "../../device/device.js";
import { type DeviceChoice, openDevice } from "../../device/select.js";
import { loadTrained } from "../../inference/model.js";
import { crossEntropy } from "../../nn/index.js";
import {
  bfloat16WeightOnly,
  type Comparison,
  compareModels,
  float16WeightOnly,
  int4WeightOnly,
  int8Dynamic,
  int8Static,
  int8WeightOnly,
  type ModelFigures,
  type ObserverName,
  observerNames,
  type QuantizeReport,
  type Scheme,
  type SchemeName,
} from "../../quantization/index.js";
import { accuracy } from "../../train/index.js";
import { UsageError } from "../exit.js";
import { loadImages } from "../images.js";
import { loadModelFile } from "../model_file.js";
import { dataOption, deviceOption, integerFrom, jsonOption, positiveNumber } from "../options.js";
import { isSameFile, requireJsonTarget, requireWritableFile, standardOutput, writeJson } from "../output.js";
import { calibrationBatch, calibrationBatches, quantizeToFile } from "../quantization.js";
import { print, printTable, say } from "../terminal.js";

interface QuantizeCommandOptions {
  readonly scheme: SchemeName;
  readonly weightBits?: "8" | "7";
  readonly groupSize?: number;
  readonly observer: ObserverName;
  readonly batches: number;
  readonly minSnr?: number;
  readonly skip: readonly string[];
  readonly data?: string;
  readonly device: DeviceChoice;
  readonly out: string;
  readonly json?: string;
  readonly quiet?: boolean;
}

const schemes: readonly SchemeName[] = [
  "int8-dynamic",
  "int8-static",
  "int8-weight-only",
  "int4-weight-only",
  "float16-weight-only",
  "bfloat16-weight-only",
];
const examples = `
Examples:
  wattgrad quantize models/mnist-cnn.safetensors --scheme int8-static --out models/mnist-cnn-int8.safetensors
  wattgrad quantize cnn.safetensors --scheme int8-dynamic --weight-bits 7 --out cnn7.safetensors --json -
  wattgrad eval models/mnist-cnn-int8.safetensors`;

export function quantizeCommand(): Command {
  return new Command("quantize")
    .description("quantize a trained model to int8 or int4, and compare both")
    .argument("<model>", "a file written by wattgrad train")
    .addOption(new Option("--scheme <name>", "how").choices(schemes).makeOptionMandatory())
    .requiredOption("--out <file>", "where to save the quantized model")
    .addOption(new Option("--weight-bits <n>", "of int8 schemes: 8, or 7 for speed").choices(["8", "7"]))
    .option("--group-size <n>", "of int4: weights that share a scale (default: 32)", integerFrom(1))
    .addOption(
      new Option("--observer <name>", "of int8-static: how ranges are found")
        .choices(observerNames)
        .default("histogram"),
    )
    .option(
      "--batches <n>",
      `of int8-static: batches of ${calibrationBatch} training images to calibrate with`,
      integerFrom(1),
      calibrationBatches,
    )
    .option("--min-snr <dB>", "leave layers out whose signal-to-noise ratio is lower", positiveNumber)
    .option("--skip <names...>", "leave these layers out", [])
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .option("--quiet", "no table")
    .addHelpText("after", examples)
    .action(runQuantize);
}

async function runQuantize(path: string, options: QuantizeCommandOptions): Promise<void> {
  await checkOptions(path, options);
  const train = await loadImages(options.data, "train");
  const test = await loadImages(options.data, "test");
  const opened: Device[] = [];
  const open = async (): Promise<Device> => {
    const device = await openDevice(options.device);
    opened.push(device);
    return device;
  };
  try {
    // Each model on a separate device, to measure its peak memory.
    const float = await loadModelFile(path, await open());
    if (float.quantized) throw new UsageError(`${path} is quantized already`);
    const { normalization } = float;
    const device = await open();
    const log = options.quiet ? () => {} : say;
    const { report, bytes } = await quantizeToFile(path, options.out, {
      device,
      train,
      schemeOf: (data) => schemeOf(options, data),
      batches: options.batches,
      skip: options.skip,
      minSnr: options.minSnr,
      say: log,
    });
    // As it will be used: from the file's bytes, without float32 weights.
    const quantized = await loadTrained(bytes, await open(), options.out);
    log(`comparing on ${test.images.shape[0].toLocaleString("en")} images`);
    const comparison = await compareModels(
      float.model,
      quantized.model,
      new ImageDataset(test.images, test.labels, normalization),
      { loss: crossEntropy, metrics: { accuracy }, batchSize: calibrationBatch },
    );
    const result = {
      scheme: options.scheme,
      device: device.name,
      modelFile: options.out,
      ...report,
      comparison,
    };
    if (!options.quiet) {
      const stream = options.json === standardOutput ? process.stderr : process.stdout;
      printComparison(stream, device, report, comparison);
      print(`saved ${options.out}`, stream);
    }
    if (options.json !== undefined) await writeJson(options.json, result);
  } finally {
    for (const device of opened) device.close();
  }
}

async function checkOptions(path: string, options: QuantizeCommandOptions): Promise<void> {
  if (await isSameFile(path, options.out))
    throw new UsageError(`--out ${options.out} would overwrite the model`);
  if (options.groupSize !== undefined && options.scheme !== "int4-weight-only") {
    throw new UsageError("--group-size belongs to --scheme int4-weight-only");
  }
  if (options.weightBits !== undefined && !options.scheme.startsWith("int8")) {
    throw new UsageError("--weight-bits belongs to the int8 schemes");
  }
  await requireJsonTarget(options.json, [options.out, "the model file"], [path, "the model"]);
  await requireWritableFile(options.out);
}

function schemeOf(
  { scheme, weightBits, groupSize, observer, batches }: QuantizeCommandOptions,
  data: DataLoader,
): Scheme {
  const bits = { weightBits: weightBits === "7" ? (7 as const) : (8 as const) };
  switch (scheme) {
    case "int8-dynamic":
      return int8Dynamic(bits);
    case "int8-static":
      return int8Static({ data, batches, observer }, bits);
    case "int8-weight-only":
      return int8WeightOnly(bits);
    case "int4-weight-only":
      return int4WeightOnly({ groupSize });
    case "float16-weight-only":
      return float16WeightOnly();
    case "bfloat16-weight-only":
      return bfloat16WeightOnly();
  }
}

function printComparison(
  stream: NodeJS.WritableStream,
  device: Device,
  report: QuantizeReport,
  { float, quantized, samples, batchSize: batch, layers }: Comparison,
): void {
  const models: string[][] = [];
  const row = (name: string, figure: (model: ModelFigures) => number, format: (value: number) => string) => {
    const [before, after] = [figure(float), figure(quantized)];
    models.push([name, format(before), format(after), `${((100 * after) / before).toFixed(1)} %`]);
  };
  const kibibytes = (value: number) => `${(value / 1024).toFixed(1)} KiB`;
  const milliseconds = (value: number) => `${value.toFixed(2)} ms`;
  const points = 100 * (quantized.metrics.accuracy - float.metrics.accuracy);
  models.push([
    `accuracy, ${samples} images`,
    ...[float, quantized].map(({ metrics }) => `${(100 * metrics.accuracy).toFixed(2)} %`),
    `${points < 0 ? "" : "+"}${points.toFixed(2)} points`,
  ]);
  models.push(["loss", float.loss.toFixed(4), quantized.loss.toFixed(4), ""]);
  row("size", ({ bytes }) => bytes, kibibytes);
  row("one image", ({ latency }) => latency.sample, milliseconds);
  row(`${batch} images`, ({ latency }) => latency.batch, milliseconds);
  row("peak memory", ({ peakBytes }) => peakBytes ?? Number.NaN, kibibytes);
  printTable(models, { head: ["", "float32", "quantized", ""] }, stream);
  print(device.info.description, stream);

  const noise = new Map(layers.map(({ name, snr }) => [name, snr]));
  const rows = report.layers.map(({ name, type, quantized: isQuantized, snr }) => {
    const shown = isQuantized
      ? `${(noise.get(name) ?? Number.NaN).toFixed(1)} dB`
      : `left out: ${(snr ?? Number.NaN).toFixed(1)} dB`;
    return [name, type, shown];
  });
  printTable(rows, { head: ["layer", "type", "signal to noise"] }, stream);
  if (report.folded.length > 0) print(`batch norms folded: ${report.folded.join(", ")}`, stream);
}
