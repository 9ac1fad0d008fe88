/** A module worker: trains on the device whose label it is sent, and sends the losses back. */
import { deviceOf } from "./devices.js";
import { trainMlp } from "./train.js";

self.addEventListener("message", async ({ data }) => {
  try {
    self.postMessage({ losses: await trainMlp(await deviceOf(data)) });
  } catch (error) {
    self.postMessage({ error: error instanceof Error ? error.message : String(error) });
  }
});
