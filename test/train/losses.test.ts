/** Training on a device that is lost at any moment, also between epochs, or whose reads complete out of order. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { DeviceLostError } from "../../src/core/errors.js";
import { DataLoader } from "../../src/data/index.js";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { crossEntropy, type Module } from "../../src/nn/index.js";
import { manualSeed } from "../../src/ops/index.js";
import { AdamW, cosine } from "../../src/optim/index.js";
import { readTensor } from "../../src/runtime/host_data.js";
import { type Callback, type StepRecord, fit as trainModel } from "../../src/train/index.js";
import { examples } from "../compiler/properties.js";
import { type LosableDevice, losable } from "../device/losable.js";
import { quadrants, smallNet } from "./problem.js";

const samples = 64;
const batchSize = 16;
const epochs = 4;

interface Outcome {
  readonly weights: readonly (readonly number[])[];
  readonly losses: readonly number[];
  readonly restored: number;
}

async function weightsOf(model: Module): Promise<number[][]> {
  return Promise.all([...model.stateDict().values()].map(async (tensor) => [...(await readTensor(tensor))]));
}

/** With everything that has state outside the device: shuffled data, dropout, Adam's step counts, a schedule. */
async function train(
  device: Device,
  callbacks: readonly Callback[] = [],
  everySteps = 3,
  before?: (loader: DataLoader) => Promise<void>,
): Promise<Outcome> {
  manualSeed(11);
  const model = smallNet(device, 0.2);
  const losses: number[] = [];
  let restored = 0;
  const data = quadrants(samples);
  const loader = new DataLoader(data, { device, batchSize, shuffle: { seed: 3 } });
  await before?.(loader);
  await trainModel({
    model,
    optimizer: new AdamW(model.parameters(), { lr: 0.02 }),
    train: loader,
    validation: new DataLoader(data, { device, batchSize }),
    loss: crossEntropy,
    epochs,
    schedule: cosine({ steps: (epochs * samples) / batchSize, warmup: 4 }),
    snapshot: { everySteps },
    callbacks: [
      {
        onStep: ({ step, loss }) => {
          losses[step - 1] = loss;
        },
        onRestore: () => void restored++,
      },
      ...callbacks,
    ],
  });
  return { weights: await weightsOf(model), losses, restored };
}

const undisturbed = await train(openReference());

/** A device that is lost after its runs and reads of these numbers, and how many there were. */
function losingAt(moments: readonly number[]): { device: LosableDevice; uses: () => number } {
  const inner = openReference();
  let uses = 0;
  const { run, read } = inner;
  const device = losable(inner);
  const count = () => {
    if (moments.includes(uses++)) device.lose();
  };
  inner.run = (...request) => {
    run.apply(inner, request);
    count();
  };
  inner.read = async (buffer) => {
    const data = await read.call(inner, buffer);
    count();
    return data;
  };
  return { device, uses: () => uses };
}

test("losses at any moment change no bit of the result", async () => {
  const { device, uses } = losingAt([]);
  await train(device);
  // From behind the first snapshot to the last step: a device that is lost after the training keeps no weights.
  const moment = fc.integer({ min: 8, max: uses() - 20 });
  let restored = 0;
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(moment, { maxLength: 4 }), async (moments) => {
      const outcome = await train(losingAt(moments).device);
      restored += outcome.restored;
      expect(outcome.weights).toEqual(undisturbed.weights);
      expect(outcome.losses).toEqual(undisturbed.losses);
    }),
    examples(25),
  );
  expect(restored).toBeGreaterThan(10);
});

test("a snapshot between two epochs goes on with the next one", async () => {
  for (const lostAfter of [1, 2]) {
    const device = losable(openReference());
    const taken: boolean[] = [];
    const lost = new Set<number>();
    const outcome = await train(
      device,
      [
        {
          onEpoch: async () => void taken.push(await device.recovery.snapshot()),
          onStep: ({ epoch, step }) => {
            if (lost.has(epoch) || epoch < 2 || step % 4 !== lostAfter) return;
            lost.add(epoch);
            device.lose();
          },
        },
      ],
      1000,
    );
    expect(taken).toEqual(Array<boolean>(taken.length).fill(true));
    expect(outcome.restored).toBe(epochs - 1);
    expect(outcome.weights).toEqual(undisturbed.weights);
    expect(outcome.losses).toEqual(undisturbed.losses);
  }
});

test("a first snapshot begins the next epoch of a loader that another loop has left early", async () => {
  const lookInside = async (loader: DataLoader) => {
    for await (const _ of loader) break;
  };
  const whole = await train(openReference(), [], 1000, lookInside);
  const device = losable(openReference());
  const loseOnce = {
    onStep: ({ step }: StepRecord) => {
      if (step === 3 && device.recovery.generation === 0) device.lose();
    },
  };
  const outcome = await train(device, [loseOnce], 1000, lookInside);
  expect(outcome.restored).toBe(1);
  expect(outcome.weights).toEqual(whole.weights);
  expect(outcome.losses).toEqual(whole.losses);
});

test("a device that is lost before its first snapshot is an error", async () => {
  const device = losable(openReference());
  const model = smallNet(device, 0);
  device.lose();
  await expect(device.recovery.restore()).rejects.toThrow(DeviceLostError);
  await expect(readTensor(model.parameters()[0])).rejects.toThrow(DeviceLostError);
});

test("scores are told in the order of the steps, however late a read ends", async () => {
  const device = openReference();
  const { read } = device;
  let reads = 0;
  device.read = async (buffer) => {
    const data = await read.call(device, buffer);
    // Every second one ends after the one that was begun behind it.
    if (reads++ % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 4));
    return data;
  };
  const records: StepRecord[] = [];
  const outcome = await train(device, [{ onStep: (record) => void records.push(record) }]);
  expect(records.map(({ step }) => step)).toEqual(records.map((_, i) => i + 1));
  expect(records.map(({ loss }) => loss)).toEqual(undisturbed.losses);
  expect(outcome.losses).toEqual(undisturbed.losses);
});
