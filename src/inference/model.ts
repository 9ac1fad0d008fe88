/** Trained models as the bytes of safetensors files that say which architecture they are and what input they expect. */

import { FormatError, WattgradError } from "../core/errors.js";
import type { Device } from "../device/device.js";
import { readSafetensors } from "../formats/index.js";
import { imageClassifiers } from "../models/index.js";
import type { Module } from "../nn/index.js";
import { isQuantizedFile, loadQuantized, openMeta } from "../quantization/index.js";

/** `(x / 255 − mean) / std`, applied to every pixel. */
export interface Normalization {
  readonly mean: number;
  readonly std: number;
}

export interface TrainedModel {
  /** One of `imageClassifiers`. */
  readonly name: string;
  readonly model: Module;
  readonly quantized: boolean;
  readonly normalization: Normalization;
}

/**
 * Builds the architecture that the file names, on `device`, and loads the weights.
 *
 * @throws FormatError naming `source` if the bytes are damaged, not made by wattgrad, or the weights do not fit the
 * architecture.
 */
export async function loadTrained(bytes: Uint8Array, device: Device, source: string): Promise<TrainedModel> {
  try {
    return await parse(bytes, device);
  } catch (error) {
    if (!(error instanceof WattgradError)) throw error;
    throw new FormatError(`${source}: ${error.message}`, { cause: error });
  }
}

async function parse(bytes: Uint8Array, device: Device): Promise<TrainedModel> {
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
