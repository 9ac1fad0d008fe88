/** The functions that tests in Node call in a page. */
import { type DeviceName, openDevice } from "../../../src/index.js";
import { clearStored, fetchThrough } from "./caches.js";
import { runCases } from "./cases.js";
import { runChat } from "./chat.js";
import { followCurve } from "./curves.js";
import { deviceOf } from "./devices.js";
import { readByRanges, throughFile } from "./files.js";
import { half } from "./half.js";
import { runEmptyCalls, runIndexPrograms } from "./indices.js";
import { runLanguage } from "./language.js";
import { lifecycle } from "./lifecycle.js";
import { type LossyOptions, losses } from "./losses.js";
import { runEmbedding } from "./pipeline.js";
import { runQuantized } from "./quantized.js";
import { rangesOn } from "./ranges.js";
import { runPhonemes, runRecurrentCases } from "./recurrent.js";
import { runSweep } from "./sweep.js";
import { trainMlp } from "./train.js";
import { warmup } from "./warmup.js";
import type { Trainings } from "./worker.js";

const face = {
  runCases,
  runSweep,
  followCurve,
  runQuantized,
  runLanguage,
  runEmbedding,
  runChat,
  runRecurrentCases,
  runPhonemes,
  rangesOn,
  readByRanges,
  throughFile,
  losses,
  lifecycle,
  half,
  runEmptyCalls,
  runIndexPrograms,
  warmup,
  trainOnPage: async (name: DeviceName) => trainMlp(await openDevice(name)),
  trainOnSimd: async () => trainMlp(await deviceOf("wasm-simd")),
  trainInWorker: (name: DeviceName) => inWorker("mlp", name),
  fetchThrough,
  fetchInWorker: (options: Parameters<typeof fetchThrough>[0]) => inWorker("fetchThrough", options),
  startFetchingWorker,
  killFetchingWorker,
  clearStored,
  fitInWorker: (options: LossyOptions) => inWorker("fitThrough", options),
  fineTuneInWorker: (options: Parameters<Trainings["fineTune"]>[0]) => inWorker("fineTune", options),
  chooseDevice,
};

declare global {
  var wattgradPage: typeof face;
}
globalThis.wattgradPage = face;

/** In a worker of its own. */
function inWorker<K extends keyof Trainings>(
  training: K,
  input: Parameters<Trainings[K]>[0],
): ReturnType<Trainings[K]> {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const result = new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }) =>
      "result" in data ? resolve(data.result) : reject(new Error(data.error)),
    );
    worker.addEventListener("error", ({ message }) => reject(new Error(`the worker: ${message}`)));
    worker.postMessage({ training, input });
  }).finally(() => worker.terminate());
  return result as ReturnType<Trainings[K]>;
}

let fetching: Worker | undefined;

/** A download in a worker, which `killFetchingWorker` ends. */
function startFetchingWorker(input: Parameters<typeof fetchThrough>[0]): void {
  fetching = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  fetching.postMessage({ training: "fetchThrough", input });
}

function killFetchingWorker(): void {
  fetching?.terminate();
}

/** What `openDevice("auto")` takes here, and why not the others. */
async function chooseDevice() {
  let rejected: readonly { name: string; reason: string }[] = [];
  const device = await openDevice("auto", {
    onChoice: (choice) => {
      rejected = choice.rejected;
    },
  });
  const { name, info } = device;
  device.close();
  return { name, description: info.description, rejected };
}
