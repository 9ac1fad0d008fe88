/** Initial weights shared by all contenders, as arrays under PyTorch's names. */
import { openDevice } from "../../device/select.js";
import type { TrainedModel } from "../problem.js";
import { initialModel, workloads } from "../workload.js";
import type { HostArray } from "./layouts.js";

export async function initialWeights(model: TrainedModel): Promise<Map<string, HostArray>> {
  const device = await openDevice("wasm");
  try {
    const weights = new Map<string, HostArray>();
    for (const [name, parameter] of initialModel(workloads[model], device).namedParameters()) {
      weights.set(name, { shape: [...parameter.shape], data: (await parameter.data()) as Float32Array });
    }
    return weights;
  } finally {
    device.close();
  }
}

/** Whether a parameter is a linear layer's weight (not an embedding's or a convolution's). */
export function isLinear(name: string, { shape }: HostArray): boolean {
  return shape.length === 2 && !/^(tok|pos)\./.test(name);
}

/** Number of classes or tokens of a training's labels. */
export const classesOf: Readonly<Record<TrainedModel, number>> = { mlp: 10, cnn: 10, gpt: 65 };
