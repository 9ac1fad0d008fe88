/** `wattgrad eval`: the accuracy of a trained model on the test images. */
import { Command } from "commander";
import type { DeviceChoice } from "../../device/select.js";
import { readFile } from "../../formats/file.js";
import { evaluateFile, type FileEvaluation } from "../../inference/index.js";
import { loadImages } from "../images.js";
import { evaluateInBrowser } from "../inference/browser.js";
import { dataOption, deviceOption, integerFrom, jsonOption } from "../options.js";
import { requireJsonTarget, standardOutput, writeJson } from "../output.js";
import { type PlaceName, requireBrowserDriver, whereOption } from "../places.js";
import { printTable } from "../terminal.js";

interface EvalOptions {
  readonly data?: string;
  readonly batchSize: number;
  readonly device: DeviceChoice;
  readonly where: readonly PlaceName[];
  readonly json?: string;
}

/** The JSON output: one result, or a list if `--where` names several environments. */
interface EvalReport extends FileEvaluation {
  readonly where: PlaceName;
  readonly modelFile: string;
}

const examples = `
Examples:
  wattgrad eval models/mnist-cnn.safetensors
  wattgrad eval cnn.safetensors --data mnist --json result.json
  wattgrad eval models/mnist-cnn-int8-static.safetensors --where node,chromium --device webgl`;

export function evalCommand(): Command {
  return new Command("eval")
    .description("measure a trained model's accuracy on the test images")
    .argument("<model>", "a file written by wattgrad train or quantize")
    .addOption(dataOption())
    .option("--batch-size <n>", "images per batch", integerFrom(1), 250)
    .addOption(deviceOption())
    .addOption(whereOption(["node"]))
    .addOption(jsonOption())
    .addHelpText("after", examples)
    .action(runEval);
}

async function runEval(path: string, { data, batchSize, device, where, json }: EvalOptions): Promise<void> {
  requireBrowserDriver(where);
  await requireJsonTarget(json, [path, "the model file"]);
  const test = await loadImages(data, "test");
  const file = await readFile(path, "");
  const reports: EvalReport[] = [];
  for (const place of where) {
    const options = { device, batchSize, source: path };
    const found =
      place === "node"
        ? await evaluateFile(file, test, options)
        : await evaluateInBrowser(place, file, test, options);
    const report = { ...found, where: place, modelFile: path };
    reports.push(report);
    if (json !== standardOutput) printReport(report);
  }
  if (json !== undefined) await writeJson(json, reports.length === 1 ? reports[0] : reports);
}

function printReport({ model, quantized, samples, where, ...figures }: EvalReport): void {
  printTable([
    ["model", quantized ? `${model}, quantized` : model],
    ["test accuracy", `${(100 * figures.testAccuracy).toFixed(2)} % of ${samples} images`],
    ["test loss", figures.testLoss.toFixed(4)],
    ["samples per second", Math.round(figures.samplesPerSecond).toLocaleString("en")],
    ...(quantized ? [] : [["parameters", figures.parameters.toLocaleString("en")]]),
    ["size", `${(figures.bytes / 1024).toFixed(1)} KiB`],
    ["device", where === "node" ? figures.description : `${figures.description}, in ${where}`],
  ]);
}
