/**
 * Memory of loading a model: node test/models/loading_peak.mjs FOLDER [int8|int8-dynamic|int4|float32]. Prints the device's bytes, their
 * peak while loading, and by how much the process grew at most.
 */
import { openDevice } from "wattgrad";
import { folder } from "wattgrad/hub";
import { fromPretrained } from "wattgrad/models";
import { int4WeightOnly, int8Dynamic, int8WeightOnly } from "wattgrad/quantization";

const [path, name = "int8"] = process.argv.slice(2);
const schemes = { int8: int8WeightOnly, "int8-dynamic": int8Dynamic, int4: int4WeightOnly };
const device = await openDevice("wasm");
const before = process.memoryUsage.rss();
let peak = before;
const look = () => {
  peak = Math.max(peak, process.memoryUsage.rss());
};
const start = performance.now();
const quantization = schemes[name]?.();
const { model } = await fromPretrained(folder(path), {
  device,
  onProgress: look,
  ...(quantization && { quantization }),
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
