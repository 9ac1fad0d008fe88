/** The accuracy of a trained model's file on test images, here: in Node or in a page. */
import { DataLoader, ImageDataset, type Mnist } from "../data/index.js";
import { type DeviceChoice, openDevice } from "../device/select.js";
import { crossEntropy } from "../nn/index.js";
import { stateBytes } from "../quantization/compare.js";
import { accuracy, evaluate } from "../train/index.js";
import { loadTrained } from "./model.js";

/** What was found; plain data. */
export interface FileEvaluation {
  /** Share of the test images classified correctly, 0..1. */
  readonly testAccuracy: number;
  readonly testLoss: number;
  readonly samples: number;
  readonly samplesPerSecond: number;
  readonly parameters: number;
  /** Of parameters and buffers. */
  readonly bytes: number;
  readonly device: string;
  /** The device in one line. */
  readonly description: string;
  readonly model: string;
  readonly quantized: boolean;
}

export interface EvaluateFileOptions {
  readonly device: DeviceChoice;
  readonly batchSize: number;
  /** How errors name the file. */
  readonly source: string;
}

/** @throws FormatError for files that cannot be used, DeviceError. */
export async function evaluateFile(
  file: Uint8Array,
  { images, labels }: Mnist,
  { device: choice, batchSize, source }: EvaluateFileOptions,
): Promise<FileEvaluation> {
  const device = await openDevice(choice);
  try {
    const { name, model, quantized, normalization } = await loadTrained(file, device, source);
    const data = new DataLoader(new ImageDataset(images, labels, normalization), { device, batchSize });
    const { loss, metrics, samples, seconds } = await evaluate({
      model,
      data,
      loss: crossEntropy,
      metrics: { accuracy },
    });
    return {
      testAccuracy: metrics.accuracy,
      testLoss: loss,
      samples,
      samplesPerSecond: samples / seconds,
      parameters: model.parameterCount(),
      bytes: stateBytes(model),
      device: device.name,
      description: device.info.description,
      model: name,
      quantized,
    };
  } finally {
    device.close();
  }
}
