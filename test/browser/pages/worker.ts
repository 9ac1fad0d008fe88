/** A module worker: trains on the device whose name it is sent, and sends the losses back. */
import { openDevice } from "../../../src/index.js";
import { trainMlp } from "./train.js";

self.addEventListener("message", async ({ data }) => {
  try {
    self.postMessage({ losses: await trainMlp(await openDevice(data)) });
  } catch (error) {
    self.postMessage({ error: error instanceof Error ? error.message : String(error) });
  }
});
