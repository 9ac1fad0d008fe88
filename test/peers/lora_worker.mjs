/** LoRA in a worker of a page; see lora.mjs. */
import { train } from "./lora_training.mjs";

onmessage = async ({ data }) => {
  try {
    const names = ["index", "models", "optim", "adapters", "hub"];
    const parts = await Promise.all(names.map((name) => import(`/dist/${name}.js`)));
    const wattgrad = Object.fromEntries(names.map((name, i) => [name, parts[i]]));
    const name = "SmolLM2-135M-Instruct.Q4_1.gguf";
    const response = await fetch(`${location.origin}/model/${name}`);
    const source = wattgrad.hub.files(new Map([[name, await response.blob()]]));
    const device = await wattgrad.index.openDevice(data.device, { wasm: { maximumBytes: 800e6 } });
    const run = await train(wattgrad, source, device, data.batches, {
      report: (what, { peakBytes }) => postMessage({ told: `${what}, peak ${Math.round(peakBytes / 1e6)} MB` }),
    });
    postMessage({ run: { ...run, heapBytes: performance.memory?.usedJSHeapSize } });
  } catch (error) {
    postMessage({ failed: String(error?.stack ?? error) });
  }
};
