/**
 * Memory of loading a model: node test/models/loading_peak.mjs FOLDER [int8|int8-dynamic|int4|file|float32]. Prints the device's bytes, their
 * peak while loading, and by how much the process grew at most.
 */
import { fileURLToPath } from "node:url";
import { openDevice } from "wattgrad";
import { folder } from "wattgrad/hub";
import { fromPretrained } from "wattgrad/models";
import { int4WeightOnly, int8Dynamic, int8WeightOnly } from "wattgrad/quantization";

const [path, name = "int8"] = process.argv.slice(2);
const schemes = {
  int8: int8WeightOnly,
  "int8-dynamic": int8Dynamic,
  int4: int4WeightOnly,
  file: () => "file",
  float32: () => "none",
};
const device = await openDevice("wasm");
const quantization = schemes[name]();
// Code that loads is compiled by now.
const fixture = fileURLToPath(new URL("../fixtures/models/smollm2", import.meta.url));
(await fromPretrained(folder(fixture), { device, quantization })).model.dispose();
const before = process.memoryUsage.rss();
let peak = before;
const look = () => {
  peak = Math.max(peak, process.memoryUsage.rss());
};
const start = performance.now();
const { model } = await fromPretrained(folder(path), {
  device,
  onProgress: look,
  quantization,
});
look();
const seconds = (performance.now() - start) / 1000;
const { liveBytes, peakBytes } = device.memory();
const MiB = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
console.log(`${name}: ${MiB(liveBytes)} on the device, peak ${MiB(peakBytes)}`);
console.log(
  `the process grew by ${MiB(peak - before)} at most, ${((peak - before) / liveBytes).toFixed(3)} of that`,
);
console.log(`${seconds.toFixed(1)} s`);
model.dispose();
