/** What the tests in Node call in a page. */
import { type DeviceName, openDevice } from "../../../src/index.js";
import { runCases } from "./cases.js";
import { followCurve } from "./curves.js";
import { deviceOf } from "./devices.js";
import { lifecycle } from "./lifecycle.js";
import { losses } from "./losses.js";
import { trainMlp } from "./train.js";

const face = {
  runCases,
  followCurve,
  losses,
  lifecycle,
  trainOnPage: async (name: DeviceName) => trainMlp(await openDevice(name)),
  trainOnSimd: async () => trainMlp(await deviceOf("wasm-simd")),
  trainInWorker,
  chooseDevice,
};

declare global {
  var wattgradPage: typeof face;
}
globalThis.wattgradPage = face;

function trainInWorker(name: DeviceName): Promise<number[]> {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  return new Promise<number[]>((resolve, reject) => {
    worker.addEventListener("message", ({ data: { losses, error } }) =>
      losses ? resolve(losses) : reject(new Error(error)),
    );
    worker.addEventListener("error", ({ message }) => reject(new Error(`the worker: ${message}`)));
    worker.postMessage(name);
  }).finally(() => worker.terminate());
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
