/** Quantizes the file of a trained model, for `wattgrad quantize` and `wattgrad tour`. */
import { DataLoader, ImageDataset, type Mnist, subset } from "../data/index.js";
import type { Device } from "../device/device.js";
import type { Module } from "../nn/index.js";
import { isQuantizable, type QuantizeReport, quantize, type Scheme } from "../quantization/index.js";
import { UsageError } from "./exit.js";
import { loadModelFile, saveModelFile } from "./model_file.js";

/** Training images of a batch, and batches, that static schemes calibrate with. */
export const [calibrationBatch, calibrationBatches] = [64, 16];

export interface QuantizeToFileOptions {
  readonly device: Device;
  /** The images that the model was trained on. */
  readonly train: Mnist;
  /** The scheme; `data` is for calibration. */
  readonly schemeOf: (data: DataLoader) => Scheme;
  readonly batches?: number;
  /** Names of layers that stay as they are. */
  readonly skip?: readonly string[];
  readonly minSnr?: number;
  readonly say: (what: string) => void;
}

/** @throws FileError, FormatError, UsageError for unknown layers in `skip`; errors of `quantize`. */
export async function quantizeToFile(
  path: string,
  out: string,
  { device, train, schemeOf, batches = calibrationBatches, skip = [], minSnr, say }: QuantizeToFileOptions,
): Promise<{ readonly report: QuantizeReport; readonly bytes: Uint8Array }> {
  const { name, model, normalization } = await loadModelFile(path, device);
  const images = new ImageDataset(train.images, train.labels, normalization);
  const few = subset(images, 0, Math.min(images.length, batches * calibrationBatch));
  const data = new DataLoader(few, { device, batchSize: calibrationBatch });
  const scheme = schemeOf(data);
  requireLayers(skip, model, scheme);
  if (scheme.kind === "int8-static") say(`calibrating on ${few.length.toLocaleString("en")} images`);
  const report = await quantize(model, scheme, {
    data,
    minSnr,
    filter: (layer, module) => isQuantizable(module, scheme) && !skip.includes(layer),
  });
  return { report, bytes: await saveModelFile(out, name, model, normalization) };
}

/** @throws UsageError for a name that is none of the layers. */
function requireLayers(skip: readonly string[], model: Module, scheme: Scheme): void {
  const layers = [...model.namedModules()].flatMap(([name, module]) =>
    isQuantizable(module, scheme) ? [name] : [],
  );
  const unknown = skip.find((name) => !layers.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`--skip ${unknown}: the layers are ${layers.join(", ")}`);
  }
}
