/**
 * One side of a comparison as a process of its own, so that a step which never ends can be ended and no library
 * disturbs another's memory. Arguments: workload, file of weights, variant. Lines of JSON: {"steps": n} in,
 * {"ms", "cpuMs", "losses", "rssMB"} or {"error"} out; {"ready"} comes first.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { readSafetensors } from "../../dist/formats.js";
import { workloads } from "./workloads.mjs";

/**
 * Serves the training step that `create` builds.
 * @param create (key, workload, weights, variant) → step, maybe as a promise; weights is a Map of { shape, data } by
 *   PyTorch's names. step() makes one training step and returns its loss before the update, a number or a promise.
 */
export async function serve(create) {
  const [key, file, variant] = process.argv.slice(2);
  const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
  const sayError = (error) => say({ error: String(error?.message ?? error).split("\n")[0] });
  let step;
  try {
    const { tensors } = readSafetensors(readFileSync(file));
    // The batch is there for PyTorch; JavaScript makes the same one itself.
    for (const name of tensors.keys()) if (name.startsWith("batch.")) tensors.delete(name);
    step = await create(key, workloads[key], tensors, variant);
    say({ ready: true });
  } catch (error) {
    sayError(error);
    return;
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const { steps } = JSON.parse(line);
    try {
      const losses = [];
      const before = process.cpuUsage();
      const start = performance.now();
      for (let i = 0; i < steps; i++) losses.push(await step());
      const ms = performance.now() - start;
      const { user, system } = process.cpuUsage(before);
      say({ ms, cpuMs: (user + system) / 1e3, losses, rssMB: process.memoryUsage().rss / 1e6 });
    } catch (error) {
      sayError(error);
    }
  }
}
