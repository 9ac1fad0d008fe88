/** Files of trained models: safetensors whose metadata name the architecture and the expected input. */
import type { Device } from "../device/device.js";
import { readFile } from "../formats/file.js";
import { writeSafetensors } from "../formats/index.js";
import { loadTrained, type Normalization, type TrainedModel } from "../inference/model.js";
import type { Module } from "../nn/index.js";
import { QuantizedLayer, quantizedState } from "../quantization/index.js";
import { hostTensors } from "../train/host_tensors.js";
import { writeOutput } from "./output.js";
import { packageVersion } from "./package.js";

/**
 * Writes weights, quantized or not, and description; the old file stays until the new one is complete. Returns the file's
 * bytes.
 */
export async function saveModelFile(
  path: string,
  name: string,
  model: Module,
  normalization: Normalization,
): Promise<Uint8Array> {
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
  const bytes = writeSafetensors(tensors, { ...description, ...metadata });
  await writeOutput(path, bytes);
  return bytes;
}

/**
 * Builds the architecture that the file names, on `device`, and loads the weights.
 *
 * @throws FileError, or FormatError naming the file if it is damaged, not made by wattgrad, or its weights do
 * not fit the architecture.
 */
export async function loadModelFile(path: string, device: Device): Promise<TrainedModel> {
  return loadTrained(await readFile(path, ""), device, path);
}
