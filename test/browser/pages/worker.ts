/** A module worker that runs one of these trainings and posts the result. */
import { type DeviceName, openDevice } from "../../../src/index.js";
import { fetchThrough } from "./caches.js";
import { type FineTuningOptions, fineTune } from "./fine_tuning.js";
import { type LossyOptions, losses } from "./losses.js";
import { trainMlp } from "./train.js";

const trainings = {
  mlp: async (name: DeviceName) => trainMlp(await openDevice(name)),
  fitThrough: (options: LossyOptions) => losses.fitThrough(options),
  fetchThrough,
  fineTune: async ({ device, ...options }: FineTuningOptions & { readonly device: DeviceName }) =>
    fineTune(await openDevice(device), options),
};

export type Trainings = typeof trainings;

self.addEventListener("message", async ({ data: { training, input } }) => {
  try {
    self.postMessage({ result: await trainings[training as keyof Trainings](input as never) });
  } catch (error) {
    self.postMessage({ error: error instanceof Error ? error.message : String(error) });
  }
});
