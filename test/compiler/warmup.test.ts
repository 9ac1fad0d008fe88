/** Warm-up: compiles on the device, and has no other effect. */
import { describe, expect, it } from "vitest";
import { backward } from "../../src/autograd/backward.js";
import type { Device, Executable } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { crossEntropy, defaultGenerator, manualSeed, tensor } from "../../src/ops/index.js";
import { jit } from "../../src/runtime/jit.js";
import { warmup } from "../../src/runtime/realize.js";
import { totalCost } from "../../src/runtime/total_cost.js";
import "../../src/ops/methods.js";
import { DataLoader } from "../../src/data/index.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { AdamW } from "../../src/optim/index.js";
import { fit as train } from "../../src/train/index.js";
import { quadrants, smallNet } from "../train/problem.js";

/** A device that wants to be warmed up, notes for what, and runs nothing that it was not. */
class SlowStarter {
  readonly device: Device = openReference();
  readonly warm = new Set<Executable>();
  /** Programs that were run cold. */
  cold = 0;

  constructor() {
    const { device, warm } = this;
    const run = device.run.bind(device);
    Object.assign(device, {
      async warmup(executable: Executable, progress?: (done: number, all: number) => void) {
        if (warm.has(executable)) return;
        progress?.(0, 1);
        await new Promise((resolve) => setTimeout(resolve, 1));
        warm.add(executable);
        progress?.(1, 1);
      },
      run: (...args: Parameters<typeof run>) => {
        if (!warm.has(args[0])) this.cold++;
        run(...args);
      },
    });
  }
}

const [points, labels] = quadrants(8).batch(Int32Array.from({ length: 8 }, (_, i) => i));

/** A training with everything that a step advances: dropout, Adam's step count, weights, moments. */
function training(device: Device) {
  manualSeed(5);
  const model = smallNet(device, 0.3);
  const optimizer = new AdamW(model.parameters(), { lr: 0.05 });
  let calls = 0;
  const step = jit((x: Tensor, y: Tensor) => {
    calls++;
    const loss = crossEntropy(model.forward(x), y);
    backward(loss);
    optimizer.step();
    return loss;
  });
  const [x, y] = [points, labels].map(({ data, dtype, shape }) => tensor(data, { dtype, shape, device }));
  return { model, optimizer, step, x, y, calls: () => calls };
}

async function losses({ step, x, y }: ReturnType<typeof training>, count: number): Promise<number[]> {
  const seen: number[] = [];
  for (let i = 0; i < count; i++) seen.push(await step(x, y).item());
  return seen;
}

describe("warm-up of a jit function", () => {
  it("changes nothing: weights, step counts, random streams, gradients", async () => {
    const { device } = new SlowStarter();
    const { model, optimizer, step, x, y, calls } = training(device);
    const weights = () => Promise.all([...model.parameters()].map((weight) => weight.tolist()));
    const before = await weights();
    const random = defaultGenerator.state();
    const [first, second] = model.parameters();
    const gradient = tensor(new Float32Array(first.size), { device, shape: first.shape });
    first.grad = gradient;
    await step.warmup([x, y]);
    expect([first.grad, second.grad]).toEqual([gradient, undefined]);
    expect(await weights()).toEqual(before);
    expect(defaultGenerator.state()).toEqual(random);
    expect(optimizer.stateDict().numbers.steps.every((count) => count === 0)).toBe(true);
    expect(calls()).toBe(1);
  });

  it("is the recording of the calls that follow, which need nothing more", async () => {
    const expected = await losses(training(openReference()), 5);
    const starter = new SlowStarter();
    const run = training(starter.device);
    await run.x.tolist();
    const told: string[] = [];
    await run.step.warmup([run.x, run.y], (done, all) => told.push(`${done}/${all}`));
    starter.cold = 0;
    expect(await losses(run, 5)).toEqual(expected);
    expect([run.calls(), starter.cold, told]).toEqual([1, 0, ["0/1", "1/1"]]);
  });

  it("leaves nothing behind if the function fails", async () => {
    const { device } = new SlowStarter();
    const { model, optimizer, x, y } = training(device);
    const failing = jit((a: Tensor, b: Tensor) => {
      backward(crossEntropy(model.forward(a), b));
      optimizer.step();
      throw new Error("on purpose");
    });
    const random = defaultGenerator.state();
    await expect(failing.warmup([x, y])).rejects.toThrow("on purpose");
    expect(() => failing(x, y)).toThrow("on purpose");
    expect(defaultGenerator.state()).toEqual(random);
    expect(optimizer.stateDict().numbers.steps.every((count) => count === 0)).toBe(true);
    for (const parameter of model.parameters()) expect(parameter.pending).toBeUndefined();
  });

  it("does not even record the function where the device has nothing to wait for", async () => {
    const run = training(openReference());
    await run.step.warmup([run.x, run.y]);
    expect(run.calls()).toBe(0);
  });
});

it("warm-up of lazy tensors: what reading them runs, and nothing before", async () => {
  const starter = new SlowStarter();
  const x = tensor([1, 2], { device: starter.device });
  const y = x.add(1).mul(x);
  totalCost(starter.device);
  await warmup([y, x]);
  expect(y.storage).toBeUndefined();
  expect(totalCost(starter.device).runs).toBe(0);
  expect(await y.tolist()).toEqual([2, 6]);
  expect(totalCost(starter.device).runs).toBe(1);
  expect([starter.warm.size, starter.cold]).toEqual([1, 0]);
});

it("fit warms up steps and validations of every batch shape, and tells", async () => {
  const starter = new SlowStarter();
  const { device } = starter;
  manualSeed(5);
  const model = smallNet(device, 0.3);
  const optimizer = new AdamW(model.parameters(), { lr: 0.05 });
  const data = quadrants(40);
  const told: string[] = [];
  const cold: number[] = [];
  const report = await train({
    model,
    optimizer,
    train: new DataLoader(data, { device, batchSize: 16 }),
    validation: new DataLoader(data, { device, batchSize: 40 }),
    loss: crossEntropy,
    epochs: 3,
    callbacks: [
      {
        onWarmup: ({ done, all }) => void told.push(`${done}/${all}`),
        onStep: () => void cold.push(starter.cold),
      },
    ],
  });
  expect(report.steps).toBe(9);
  // Initial values may be computed before the first step; from there on everything is warm.
  expect(new Set(cold).size).toBe(1);
  // Two shapes of training batch, one of validation.
  expect(told.filter((entry) => entry === "1/1").length).toBe(3);
  expect(told[0]).toBe("0/1");
  expect(starter.warm.size).toBe(3);
});
