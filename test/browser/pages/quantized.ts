/** In a page: a quantized model from the bytes of a file. */
import { readSafetensors } from "../../../src/formats/index.js";
import { noGrad } from "../../../src/graph/tensor.js";
import { tensor } from "../../../src/ops/index.js";
import { loadQuantized, openMeta } from "../../../src/quantization/index.js";
import { exampleImages, smallCnn } from "../../quantization/problem.js";
import { type DeviceLabel, deviceOf } from "./devices.js";

export interface QuantizedOutcome {
  readonly logits: readonly number[];
  /** Live bytes of the device before, and with the model. */
  readonly bytes: readonly [number, number];
}

export async function runQuantized(label: DeviceLabel, file: string): Promise<QuantizedOutcome> {
  const device = await deviceOf(label);
  const bytes = Uint8Array.from(atob(file), (character) => character.charCodeAt(0));
  const before = device.memory().liveBytes;
  const model = await loadQuantized(smallCnn(openMeta()), readSafetensors(bytes), device);
  const loaded = device.memory().liveBytes;
  const { shape, data } = exampleImages;
  const output = noGrad(() => model.eval().forward(tensor(data, { device, shape })));
  const logits = [...(await output.data())];
  model.dispose();
  return { logits, bytes: [before, loaded] };
}
