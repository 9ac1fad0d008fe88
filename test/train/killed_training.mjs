/**
 * A training that resumes where it finds checkpoints, and can be made to kill itself (SIGKILL, as `kill -9`) at a
 * chosen place. The place is reached by replacing functions of the file system: the library knows nothing of it.
 *
 *     node killed_training.mjs '{"directory": …, "out": …, "stage": "write", "write": 3}'
 */
import fs from "node:fs";
import { openDevice } from "wattgrad";
import { DataLoader, TensorDataset } from "wattgrad/data";
import { writeSafetensors } from "wattgrad/formats";
import { crossEntropy, Dropout, Linear, ReLU, Sequential } from "wattgrad/nn";
import { AdamW, cosine } from "wattgrad/optim";
import { accuracy, fit as trainModel } from "wattgrad/train";

const { directory, out, stage, write } = JSON.parse(process.argv[2]);
const samples = 72;
const epochs = 3;

const die = () => process.kill(process.pid, "SIGKILL");

/** Replaces what the `write`-th checkpoint calls. */
function killDuring() {
  const { open, rename } = fs.promises;
  let writes = 0;
  fs.promises.open = async (path, flags) => {
    const file = await open(path, flags);
    if (flags !== "wx") {
      if (stage === "directory" && writes === write) die();
      return file;
    }
    writes++;
    if (writes !== write) return file;
    if (stage === "open") die();
    return {
      async writeFile(bytes) {
        await file.writeFile(stage === "write" ? bytes.subarray(0, bytes.length / 2) : bytes);
        if (stage === "write") die();
      },
      async sync() {
        if (stage === "sync") die();
        await file.sync();
      },
      close: () => file.close(),
    };
  };
  fs.promises.rename = async (from, to) => {
    if (stage === "rename" && writes === write) die();
    await rename(from, to);
  };
}

/** Two classes on the plane; `batch` runs in the middle of the loop, while a step is on its way. */
function dataset() {
  const points = Float32Array.from({ length: 2 * samples }, (_, i) => Math.sin(i * i));
  const labels = Int32Array.from({ length: samples }, (_, i) => Number(points[2 * i] > points[2 * i + 1]));
  const set = new TensorDataset(
    { dtype: "float32", shape: [samples, 2], data: points },
    { dtype: "int32", shape: [samples], data: labels },
  );
  let batches = 0;
  return {
    length: set.length,
    batch(indices) {
      if (stage === "batch" && ++batches === write) die();
      return set.batch(indices);
    },
  };
}

if (stage !== undefined) killDuring();
const device = await openDevice("wasm");
const model = new Sequential(
  new Linear(2, 64, { device }),
  new ReLU(),
  new Dropout(0.2),
  new Linear(64, 2, { device }),
);
const optimizer = new AdamW(model.parameters(), { lr: 0.02 });
const train = new DataLoader(dataset(), { device, batchSize: 16, shuffle: { seed: 1 } });
const report = await trainModel({
  model,
  optimizer,
  train,
  loss: crossEntropy,
  metrics: { accuracy },
  epochs,
  schedule: cosine({ steps: epochs * train.length, warmup: 3 }),
  checkpoint: { directory, everySteps: 2, resume: true },
});

const host = async ([name, tensor]) => [
  name,
  { dtype: tensor.dtype, shape: tensor.shape, data: await tensor.data() },
];
const tensors = [...model.stateDict(), ...optimizer.stateDict().tensors];
const history = report.history.map(({ seconds: _, ...rest }) => rest);
fs.writeFileSync(
  out,
  writeSafetensors(await Promise.all(tensors.map(host)), { history: JSON.stringify(history) }),
);
