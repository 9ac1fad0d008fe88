/** Trained models as safetensors files that say which architecture they are and what input they expect. */

import type { Device } from "../device/device.js";
import { readFile } from "../formats/file.js";
import { readSafetensors, writeFileAtomic, writeSafetensors } from "../formats/index.js";
import { imageClassifiers } from "../models/index.js";
import type { Module } from "../nn/index.js";
import {
  isQuantizedFile,
  loadQuantized,
  openMeta,
  QuantizedLayer,
  quantizedState,
} from "../quantization/index.js";
import { FormatError, WattgradError } from "../tensor/errors.js";
import { hostTensors } from "../train/host_tensors.js";
import { packageVersion } from "./package.js";

/** `(x / 255 − mean) / std`, applied to every pixel. */
export interface Normalization {
  readonly mean: number;
  readonly std: number;
}

/** Writes weights, quantized or not, and description; the old file stays until the new one is complete. */
export async function saveModelFile(
  path: string,
  name: string,
  model: Module,
  normalization: Normalization,
): Promise<void> {
  const isQuantized = [...model.namedModules()].some(([, module]) => module instanceof QuantizedLayer);
  const { tensors, metadata } = isQuantized
    ? await quantizedState(model)
    : { tensors: await hostTensors(model.stateDict()), metadata: {} };
  const description = {
    format: "pt",
    model: name,
    normalization: JSON.stringify(normalization),
    wattgrad: packageVersion(),
  };
  await writeFileAtomic(path, writeSafetensors(tensors, { ...description, ...metadata }));
}

export interface ModelFile {
  readonly name: string;
  readonly model: Module;
  readonly quantized: boolean;
  readonly normalization: Normalization;
}

/**
 * Builds the architecture that the file names, on `device`, and loads the weights.
 *
 * @throws FileError, or FormatError naming the file if it is damaged, not made by wattgrad, or its weights do
 * not fit the architecture.
 */
export async function loadModelFile(path: string, device: Device): Promise<ModelFile> {
  const bytes = await readFile(path, "");
  try {
    const file = readSafetensors(bytes);
    const { tensors, metadata } = file;
    const name = metadata.model;
    if (name === undefined || !Object.hasOwn(imageClassifiers, name)) {
      throw new FormatError(
        name === undefined ? "the file does not name its model" : `unknown model "${name}"`,
        {
          hint: `files written by wattgrad train or quantize; models: ${Object.keys(imageClassifiers).join(", ")}`,
        },
      );
    }
    const normalization = parseNormalization(metadata.normalization);
    const quantized = isQuantizedFile(metadata);
    const model = imageClassifiers[name]({ device: openMeta() });
    if (quantized) await loadQuantized(model, file, device);
    else await model.loadStateDict(tensors, { assign: device });
    return { name, model, quantized, normalization };
  } catch (error) {
    if (!(error instanceof WattgradError)) throw error;
    throw new FormatError(`${path}: ${error.message}`, { cause: error });
  }
}

function parseNormalization(text: string | undefined): Normalization {
  let value: unknown;
  try {
    value = JSON.parse(text ?? "");
  } catch {
    value = undefined;
  }
  const { mean, std } = (value ?? {}) as Partial<Normalization>;
  if (typeof mean !== "number" || typeof std !== "number" || !(std > 0)) {
    throw new FormatError("the file does not say how its inputs are normalised");
  }
  return { mean, std };
}
