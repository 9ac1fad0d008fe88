/** fit and evaluate on batches of any form: records, tuples, tensors, from loaders and other iterables; and bad labels. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, expectTypeOf, it } from "vitest";
import { ArgumentError, IndexError } from "../../src/core/errors.js";
import { DataLoader, type Dataset, subset, TensorDataset } from "../../src/data/index.js";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import type { HostTensor } from "../../src/formats/index.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { crossEntropy, Linear, Module, mseLoss } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { AdamW, SGD } from "../../src/optim/index.js";
import { accuracy, evaluate, hostTensors, fit as trainModel } from "../../src/train/index.js";
import { losable } from "../device/losable.js";
import { devices, reference } from "../devices.js";

const count = 40;
const floats = (shape: number[], value: (i: number) => number): HostTensor => ({
  dtype: "float32",
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
});
const points = floats([count, 2], (i) => Math.sin(1 + 7 * i));
const weights = floats([count], (i) => 1 + (i % 3));
const labels: HostTensor = {
  dtype: "int32",
  shape: [count],
  data: Int32Array.from({ length: count }, (_, i) => Number(points.data[2 * i] > points.data[2 * i + 1])),
};

/** Two inputs in, two results out. */
class Net extends Module {
  readonly first: Linear;
  readonly second: Linear;
  constructor(device: Device) {
    super();
    ops.manualSeed(5);
    this.first = new Linear(2, 8, { device });
    this.second = new Linear(8, 2, { device });
  }
  forward(x: Tensor, { double = false } = {}): { logits: Tensor; hidden: Tensor[] } {
    const hidden = this.first.forward(x).tanh();
    const logits = this.second.forward(hidden);
    return { logits: double ? logits.mul(2) : logits, hidden: [hidden] };
  }
}

type Batch = { readonly x: Tensor; readonly y: Tensor; readonly more: { readonly w: Tensor; mode: string } };

/** Records with records and a string in them. */
class Nested implements Dataset<{ x: HostTensor; y: HostTensor; more: { w: HostTensor; mode: string } }> {
  readonly length = count;
  readonly #data = new TensorDataset({ x: points, y: labels, w: weights });
  batch(indices: Int32Array) {
    const { x, y, w } = this.#data.batch(indices);
    return { x, y, more: { w, mode: indices[0] % 2 === 0 ? "double" : "single" } };
  }
}

function computeLoss(model: Net, { x, y, more: { w, mode } }: Batch) {
  const output = model.forward(x, { double: mode === "double" });
  const each = crossEntropy(output.logits, y, { reduction: "none" });
  return { loss: each.mul(w).mean(), output };
}
const correct = ({ logits }: { logits: Tensor }, { y }: Batch) => accuracy(logits, y);

function problem(device: Device, seed = 3) {
  const model = new Net(device);
  const train = new DataLoader(new Nested(), { device, batchSize: 12, shuffle: { seed } });
  return {
    model,
    train,
    optimizer: new AdamW(model.parameters(), { lr: 0.05 }),
    computeLoss,
    metrics: { correct },
  };
}

describe.each(devices)("$label", ({ device }) => {
  it("records: loss and metrics are those of a loop of one's own", async () => {
    const options = problem(device);
    const { history, steps } = await trainModel({ ...options, epochs: 3 });
    expect(steps).toBe(12);
    expect(history[2].loss).toBeLessThan(history[0].loss);

    const { model, train, optimizer } = problem(device);
    for (const record of history) {
      let [loss, right] = [0, 0];
      for await (const batch of train) {
        const result = computeLoss(model, batch);
        result.loss.backward();
        right += await correct(result.output, batch).item();
        optimizer.step();
        loss += (await result.loss.item()) * batch.x.shape[0];
      }
      expect(record.loss).toBeCloseTo(loss / count, 5);
      expect(record.metrics.correct).toBeCloseTo(right / count, 6);
    }
    const data = new DataLoader(new Nested(), { device, batchSize: 16 });
    const scores = await evaluate({ model, data, computeLoss, metrics: { correct } });
    expect(scores.samples).toBe(count);
    expect(scores.metrics.correct).toBeGreaterThan(0.6);
    expect(model.training).toBe(true);
  });

  it("tuples of three, single tensors, and pairs by computeLoss", async () => {
    const model = new Net(device);
    const optimizer = new SGD(model.parameters(), { lr: 0.1 });
    const three = new DataLoader(new TensorDataset(points, weights, labels), { device, batchSize: 20 });
    const report = await trainModel({
      model,
      optimizer,
      train: three,
      epochs: 2,
      computeLoss: (net, [x, w, y]) =>
        crossEntropy(net.forward(x).logits, y, { reduction: "none" }).mul(w).mean(),
    });
    expect(report.history[1].loss).toBeLessThan(report.history[0].loss);
    const dataset: Dataset<HostTensor> = {
      length: count,
      batch: (indices) => new TensorDataset(points).batch(indices)[0],
    };
    const single = new DataLoader(subset(dataset, 0, 30), { device, batchSize: 10 });
    const { history } = await trainModel({
      model,
      optimizer,
      train: single,
      epochs: 2,
      computeLoss: (net, x) => {
        expectTypeOf(x).toEqualTypeOf<Tensor>();
        return mseLoss(net.forward(x).logits, x);
      },
    });
    expect([history[0].samples, history[1].loss < history[0].loss]).toEqual([30, true]);
    const pairs = new DataLoader(new TensorDataset(points, labels), { device, batchSize: 20 });
    const own = await evaluate({
      model,
      data: pairs,
      computeLoss: (net, [x, y]) => crossEntropy(net.forward(x).logits, y),
    });
    const first = new First(model);
    expect((await evaluate({ model: first, data: pairs, loss: crossEntropy })).loss).toBeCloseTo(own.loss, 6);
  });

  class First extends Module {
    readonly net: Net;
    constructor(net: Net) {
      super();
      this.net = net;
    }
    forward(x: Tensor): Tensor {
      return this.net.forward(x).logits;
    }
  }

  it("any iterable of batches, which are the caller's to free", async () => {
    const x = ops.tensor(points.data as Float32Array, { device, shape: [count, 2] });
    const y = ops.tensor(labels.data as Int32Array, { device, dtype: "int32" });
    const w = ops.tensor(weights.data as Float32Array, { device });
    const list = [
      { x, y, more: { w, mode: "double" } },
      { x, y, more: { w, mode: "single" } },
    ];
    const lazily = {
      async *[Symbol.asyncIterator]() {
        yield* list;
      },
    };
    const outcomes = [];
    for (const train of [list, lazily, new Set(list)]) {
      const seen: (number | undefined)[] = [];
      const { history } = await trainModel({
        ...problem(device),
        train,
        validation: train,
        epochs: 2,
        callbacks: [{ onStart: ({ stepsPerEpoch }) => void seen.push(stepsPerEpoch) }],
      });
      outcomes.push(history.map(({ loss, validation }) => [loss, validation?.loss]));
      expect(seen).toEqual([train === list ? 2 : undefined]);
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
    expect(outcomes[2]).toEqual(outcomes[0]);
    expect(x.storage?.disposed).toBe(false);
    const once = (function* () {
      yield* list;
    })();
    await expect(trainModel({ ...problem(device), train: once, epochs: 2 })).rejects.toThrow(
      /no batches in epoch 2 .*generator/,
    );
  });

  it("labels outside the classes are an IndexError that names the loss, and update nothing", async () => {
    for (const bad of [2, -1]) {
      const wrong = { ...labels, data: Int32Array.from(labels.data, (label, i) => (i === 17 ? bad : label)) };
      const net = new Net(device);
      const model = new First(net);
      const before = await hostTensors(model.stateDict());
      const optimizer = new SGD(model.parameters(), { lr: 0.1 });
      const pairs = new DataLoader(new TensorDataset(points, wrong), { device, batchSize: count });
      const records = new DataLoader(new TensorDataset({ x: points, y: wrong }), {
        device,
        batchSize: count,
      });
      const ofRecords = (given: Net, { x, y }: { x: Tensor; y: Tensor }) =>
        crossEntropy(given.forward(x).logits, y);
      const runs: (() => Promise<unknown>)[] = [
        () => trainModel({ model, optimizer, train: pairs, loss: crossEntropy, epochs: 2 }),
        () => evaluate({ model, data: pairs, loss: crossEntropy, metrics: { accuracy } }),
        () => trainModel({ model: net, optimizer, train: records, computeLoss: ofRecords, epochs: 2 }),
        () => evaluate({ model: net, data: records, computeLoss: ofRecords }),
      ];
      for (const run of runs) {
        const error = await run().catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(IndexError);
        expect((error as IndexError).message).toContain(`crossEntropy: label ${bad} of 2 classes`);
      }
      expect(await hostTensors(model.stateDict())).toEqual(before);
    }
  });
});

it("goes on from a checkpoint, and after a lost device, to the same bits", async () => {
  const device = reference;
  const whole = problem(device);
  const { history } = await trainModel({ ...whole, epochs: 4 });
  const expected = await hostTensors(whole.model.stateDict());

  const directory = await mkdtemp(join(tmpdir(), "wattgrad-batches-"));
  try {
    const controller = new AbortController();
    const onStep = ({ step }: { step: number }) => step === 6 && controller.abort();
    const first = problem(device);
    const { signal } = controller;
    await trainModel({ ...first, epochs: 4, checkpoint: { directory }, signal, callbacks: [{ onStep }] });
    const second = problem(device);
    await trainModel({ ...second, epochs: 4, checkpoint: { directory, resume: true } });
    expect(await hostTensors(second.model.stateDict())).toEqual(expected);
  } finally {
    await rm(directory, { recursive: true });
  }

  const lost = losable(openReference());
  const third = problem(lost);
  let restored = 0;
  const seen = new Set<number>();
  const report = await trainModel({
    ...third,
    epochs: 4,
    snapshot: { everySteps: 2 },
    callbacks: [
      {
        onStep: ({ step }) => {
          if (step % 5 !== 0 || seen.has(step)) return;
          seen.add(step);
          lost.lose();
        },
        onRestore: () => void restored++,
      },
    ],
  });
  expect(restored).toBeGreaterThan(1);
  expect(report.history.map(({ loss }) => loss)).toEqual(history.map(({ loss }) => loss));
  expect(await hostTensors(third.model.stateDict())).toEqual(expected);
});

it("says what does not fit", async () => {
  const { model, optimizer, train, metrics } = problem(reference);
  const run = (options: object) => trainModel({ model, optimizer, train, epochs: 1, ...options } as never);
  await expect(run({})).rejects.toThrow(/there is no loss .*computeLoss: \(model, batch\)/);
  await expect(run({ loss: crossEntropy, computeLoss })).rejects.toThrow(
    /loss and computeLoss are both given/,
  );
  await expect(run({ loss: crossEntropy })).rejects.toThrow(
    /batches are \[input, target\], got \{ x, y, more \} .*computeLoss/,
  );
  const onlyLoss = (net: Net, batch: Batch) => computeLoss(net, batch).loss;
  await expect(run({ computeLoss: onlyLoss, metrics })).rejects.toThrow(/return \{ loss, output \}/);
  await expect(evaluate({ model, data: train, computeLoss: onlyLoss, metrics })).rejects.toThrow(
    ArgumentError,
  );
  await expect(run({ computeLoss, train: 5 })).rejects.toThrow(/train is a DataLoader, or an iterable/);
  await expect(run({ computeLoss, train: [{ mode: "x" }] })).rejects.toThrow(/no tensor with samples/);
  await expect(run({ computeLoss, train: [], checkpoint: { directory: "never" } })).rejects.toThrow(
    /checkpoints need data that can go on in the middle/,
  );
  await expect(run({ computeLoss, train: [], snapshot: {} })).rejects.toThrow(/snapshots need data/);
  await expect(run({ computeLoss, train: [] })).rejects.toThrow(/no batches/);
});
