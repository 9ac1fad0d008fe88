/** `wattgrad eval`: the accuracy of a trained model on the test images. */
import Table from "cli-table3";
import { Command } from "commander";
import { DataLoader, ImageDataset } from "../../data/index.js";
import { type DeviceChoice, openDevice } from "../../device/select.js";
import { crossEntropy } from "../../nn/index.js";
import { stateBytes } from "../../quantization/compare.js";
import { accuracy, evaluate } from "../../train/index.js";
import { loadImages } from "../images.js";
import { loadModelFile } from "../model_file.js";
import { dataOption, deviceOption, integerFrom, jsonOption } from "../options.js";
import { requireJsonTarget, standardOutput, writeJson } from "../output.js";

interface EvalOptions {
  readonly data?: string;
  readonly batchSize: number;
  readonly device: DeviceChoice;
  readonly json?: string;
}

const examples = `
Examples:
  wattgrad eval models/mnist-cnn.safetensors
  wattgrad eval cnn.safetensors --data mnist --json result.json`;

export function evalCommand(): Command {
  return new Command("eval")
    .description("measure a trained model's accuracy on the test images")
    .argument("<model>", "a file written by wattgrad train or quantize")
    .addOption(dataOption())
    .option("--batch-size <n>", "images per batch", integerFrom(1), 250)
    .addOption(deviceOption())
    .addOption(jsonOption())
    .addHelpText("after", examples)
    .action(runEval);
}

async function runEval(path: string, options: EvalOptions): Promise<void> {
  const { json } = options;
  await requireJsonTarget(json, path);
  const { images, labels } = await loadImages(options.data, "test");
  const device = await openDevice(options.device);
  try {
    const { name, model, quantized, normalization } = await loadModelFile(path, device);
    const data = new DataLoader(new ImageDataset(images, labels, normalization), {
      device,
      batchSize: options.batchSize,
    });
    const { loss, metrics, samples, seconds } = await evaluate({
      model,
      data,
      loss: crossEntropy,
      metrics: { accuracy },
    });
    const report = {
      testAccuracy: metrics.accuracy,
      testLoss: loss,
      samples,
      samplesPerSecond: samples / seconds,
      parameters: model.parameterCount(),
      bytes: stateBytes(model),
      device: device.name,
      model: name,
      quantized,
      modelFile: path,
    };
    if (json !== standardOutput) {
      const table = new Table({ style: { head: [], border: [] } });
      table.push(
        ["model", quantized ? `${name}, quantized` : name],
        ["test accuracy", `${(100 * report.testAccuracy).toFixed(2)} % of ${samples} images`],
        ["test loss", loss.toFixed(4)],
        ["samples per second", Math.round(report.samplesPerSecond).toLocaleString("en")],
        ...(quantized ? [] : [["parameters", report.parameters.toLocaleString("en")]]),
        ["size", `${(report.bytes / 1024).toFixed(1)} KiB`],
        ["device", device.info.description],
      );
      process.stdout.write(`${table}\n`);
    }
    if (json !== undefined) await writeJson(json, report);
  } finally {
    device.close();
  }
}
