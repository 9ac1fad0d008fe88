/** `wattgrad tour` (`npm start`): trains and quantizes models, runs them on every device found, and writes a report. */
import { join, resolve } from "node:path";
import { Command, Option } from "commander";
import { currentLoad, environmentOf } from "../../bench/environment.js";
import type { Mnist } from "../../data/index.js";
import { type DeviceName, deviceNames, openDevice } from "../../device/select.js";
import { efficiency, openMeter } from "../../energy/index.js";
import { readFile } from "../../formats/file.js";
import { type InferenceRow, type ModelToRun, runModels } from "../../inference/index.js";
import { imageClassifiers } from "../../models/index.js";
import { int8Dynamic, int8Static, type QuantizeReport } from "../../quantization/index.js";
import type { QuantizedPart, TourFile, TrainedPart } from "../../tour/data.js";
import { exitCodes } from "../exit.js";
import { loadImages } from "../images.js";
import { type EnergyChoice, runModelsInBrowser } from "../inference/browser.js";
import { listenForInterrupt } from "../interrupt.js";
import { cpuWattsOption, dataOption, energyCommandOption, integerFrom, jsonOption } from "../options.js";
import { requireJsonTarget, requireWritableFile, standardOutput, writeJson, writeOutput } from "../output.js";
import { packageVersion } from "../package.js";
import { type PlaceName, requireBrowserDriver, whereOption } from "../places.js";
import { type QuantizeToFileOptions, quantizeToFile } from "../quantization.js";
import { printReport } from "../report.js";
import { reportPage } from "../report_page.js";
import { print, say } from "../terminal.js";
import { CurveRecorder } from "../tour/curve.js";
import { predictionsOf } from "../tour/predictions.js";
import { printRows } from "../tour/table.js";
import { trainingDefaults, trainToFile } from "../training.js";

interface TourOptions {
  readonly model: string;
  readonly data?: string;
  readonly epochs?: number;
  readonly seed: number;
  readonly where: readonly PlaceName[];
  readonly out: string;
  readonly json?: string;
  readonly energyCommand?: string;
  readonly cpuWatts?: number;
}

type SchemeOf = QuantizeToFileOptions["schemeOf"];

/** In the order in which they are made; the float32 model is the first of the rows. */
const schemes: Readonly<Record<string, SchemeOf>> = {
  "int8 static": (data) => int8Static({ data }),
  "int8 dynamic": () => int8Dynamic(),
};

/** Not the reference device, whose results are the same in a page. */
const devicesIn: Readonly<Record<PlaceName, readonly DeviceName[]>> = {
  node: deviceNames,
  chromium: ["wasm", "webgl"],
  firefox: ["wasm", "webgl"],
};

const examples = `
Ctrl-C during the training saves the weights so far; later on, the models made up to then are there already.

Examples:
  wattgrad tour
  wattgrad tour --where node,chromium,firefox --json tour.json
  wattgrad tour --data mnist --out full`;

export function tourCommand(): Command {
  return new Command("tour")
    .description("train a model, quantize it, run both on every device found, write a report with plots")
    .addOption(
      new Option("--model <name>", "architecture").choices(Object.keys(imageClassifiers)).default("cnn"),
    )
    .addOption(dataOption())
    .option("--epochs <n>", "passes over the training images (default: by their number)", integerFrom(1))
    .option("--seed <n>", "of weights, order and augmentation", integerFrom(0), trainingDefaults.seed)
    .addOption(whereOption(["node", "chromium"]))
    .option("--out <dir>", "where the models and the report go", "models")
    .addOption(jsonOption())
    .addOption(energyCommandOption())
    .addOption(cpuWattsOption())
    .addHelpText("after", examples)
    .action(runTour);
}

async function runTour(options: TourOptions, command: Command): Promise<void> {
  // A browser that is only a default is omitted if it is missing.
  if (command.getOptionValueSource("where") === "cli") requireBrowserDriver(options.where);
  const { model, out, json } = options;
  const paths = {
    float: join(out, `mnist-${model}.safetensors`),
    quantized: (label: string) => join(out, `mnist-${model}-${label.replace(" ", "-")}.safetensors`),
    report: join(out, "tour.html"),
  };
  const targets = [paths.float, ...Object.keys(schemes).map(paths.quantized), paths.report];
  for (const path of targets) {
    await requireWritableFile(path);
    await requireJsonTarget(json, [path, path]);
  }
  const images = {
    train: await loadImages(options.data, "train"),
    test: await loadImages(options.data, "test"),
  };
  const load = currentLoad();
  const stream = json === standardOutput ? process.stderr : process.stdout;

  const training = await train(options, paths.float, images, stream);
  const made = [paths.float];
  const interrupt = listenForInterrupt(() => {
    say(`wattgrad: interrupted; what was made is in ${made.join(", ")}`);
    process.exit(exitCodes.interrupted);
  });
  try {
    const quantized: QuantizedPart[] = [];
    for (const [label, schemeOf] of Object.entries(schemes)) {
      say(`quantizing: ${label}`);
      const path = paths.quantized(label);
      const report = await quantizeOne(paths.float, path, images.train, schemeOf, say);
      quantized.push({ model: label, modelFile: path, ...report });
      made.push(path);
    }
    const models: ModelToRun[] = [];
    for (const [i, label] of ["float32", ...Object.keys(schemes)].entries()) {
      models.push({ label, file: await readFile(made[i], "") });
    }
    const predictions = await predictionsOf(models[0].file, paths.float, images.test);
    const runs = await runEverywhere(options, models, images.test, say);
    const file: TourFile = {
      format: "wattgrad-tour-1",
      wattgrad: packageVersion(),
      date: new Date().toISOString(),
      environment: environmentOf(load),
      training,
      predictions,
      quantized,
      ...runs,
    };
    const page = await reportPage("tour", "wattgrad tour", file);
    await writeOutput(paths.report, page);
    printRows(stream, file);
    print(`models: ${made.join(", ")}\nreport: ${resolve(paths.report)}`, stream);
    if (json !== undefined) await writeJson(json, file);
  } finally {
    interrupt.dispose();
  }
}

async function train(
  { model, epochs, seed, energyCommand, cpuWatts }: TourOptions,
  out: string,
  images: { readonly train: Mnist; readonly test: Mnist },
  stream: NodeJS.WritableStream,
): Promise<TrainedPart> {
  const recorder = new CurveRecorder();
  const { report, samples, context } = await trainToFile(
    { ...trainingDefaults, model, epochs, seed, device: "auto", energyCommand, cpuWatts },
    out,
    images,
    [recorder],
  );
  printReport(stream, report, context);
  const { energy, flopsPerSample, epochs: records, seconds } = report;
  return {
    ...report,
    model,
    description: context.device,
    testSamples: context.testSamples,
    samples,
    efficiency: efficiency(energy, {
      samples,
      flops: flopsPerSample === null ? undefined : flopsPerSample * samples,
      epochs: records.length,
      seconds,
    }),
    curve: recorder.curve(),
  };
}

async function quantizeOne(
  from: string,
  to: string,
  train: Mnist,
  schemeOf: SchemeOf,
  say: (what: string) => void,
): Promise<QuantizeReport> {
  const device = await openDevice();
  try {
    return (await quantizeToFile(from, to, { device, train, schemeOf, say })).report;
  } finally {
    device.close();
  }
}

async function runEverywhere(
  { where, energyCommand: command, cpuWatts }: TourOptions,
  models: readonly ModelToRun[],
  test: Mnist,
  say: (what: string) => void,
): Promise<Pick<TourFile, "rows" | "places" | "unavailable">> {
  const energy: EnergyChoice = { command, cpuWatts };
  const rows: InferenceRow[] = [];
  const places: TourFile["places"][number][] = [];
  const unavailable: TourFile["unavailable"][number][] = [];
  for (const place of where) {
    const onProgress = (next: string) => say(`${place}: ${next}`);
    try {
      const {
        rows: found,
        unavailable: missing,
        ...about
      } = place === "node"
        ? await runInNode(models, test, energy, onProgress)
        : await runModelsInBrowser(place, models, test, devicesIn[place], energy, onProgress);
      rows.push(...found);
      unavailable.push(...missing);
      places.push({ where: place, ...about });
    } catch (error) {
      // Report the results of the other environments nevertheless.
      if (place === "node") throw error;
      const [reason] = (error as Error).message.split("\n");
      say(`${place}: left out: ${reason}`);
      unavailable.push({ device: "all", where: place, reason });
    }
  }
  return { rows, places, unavailable };
}

async function runInNode(
  models: readonly ModelToRun[],
  test: Mnist,
  energy: EnergyChoice,
  onProgress: (next: string) => void,
) {
  const run = await runModels(models, test, devicesIn.node, "node", {
    openMeter: (device) => openMeter({ ...energy, device }),
    onProgress,
  });
  return { ...run, version: `Node.js ${process.version}`, renderer: null };
}
