/** fit on a small synthetic problem: it learns, stops on its conditions, uses constant memory and reports its progress. */
import { beforeEach, describe, expect, test } from "vitest";
import { ArgumentError, NumericsError } from "../../src/core/errors.js";
import { DataLoader } from "../../src/data/index.js";
import type { Device } from "../../src/device/device.js";
import { openDevice } from "../../src/device/select.js";
import { crossEntropy } from "../../src/nn/index.js";
import { manualSeed } from "../../src/ops/index.js";
import { AdamW, cosine, SGD, stepDecay } from "../../src/optim/index.js";
import { compileCount, memory } from "../../src/runtime/counters.js";
import { readTensor } from "../../src/runtime/host_data.js";
import {
  accuracy,
  evaluate,
  type FitOptions,
  lossReached,
  patience,
  type StepRecord,
  timeLimit,
  fit as trainModel,
} from "../../src/train/index.js";
import { quadrants, smallNet } from "./problem.js";

const sampleCount = 70;
const batchSize = 16;
const stepsPerEpoch = Math.ceil(sampleCount / batchSize);

describe.each(["reference", "wasm"] as const)("fit on %s", (name) => {
  let device: Device;

  beforeEach(async () => {
    device = await openDevice(name);
    manualSeed(1);
  });

  function problem(overrides: Partial<FitOptions> = {}): FitOptions {
    const model = smallNet(device, 0.1);
    return {
      model,
      optimizer: new AdamW(model.parameters(), { lr: 0.02 }),
      train: new DataLoader(quadrants(sampleCount), { device, batchSize, shuffle: { seed: 3 } }),
      loss: crossEntropy,
      metrics: { accuracy },
      epochs: 8,
      ...overrides,
    };
  }

  test("the loss falls and every epoch leaves a row", async () => {
    const validation = new DataLoader(quadrants(40), { device, batchSize });
    const options = problem({ validation, schedule: cosine({ steps: 8 * stepsPerEpoch, warmup: 4 }) });
    const report = await trainModel(options);
    expect(report.history.map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const [first, last] = [report.history[0], report.history[7]];
    expect(last.loss).toBeLessThan(first.loss / 2);
    expect(last.samples).toBe(sampleCount);
    expect(last.step).toBe(8 * stepsPerEpoch);
    expect(last.learningRate).toBeLessThan(first.learningRate);
    expect(report.steps).toBe(8 * stepsPerEpoch);
    expect(report.aborted).toBe(false);
    expect(report.stoppedBecause).toBe("all 8 epochs are done");
    expect(options.optimizer.lr).toBe(0.02);
    expect(options.model.training).toBe(true);
    const { model, loss, metrics } = options;
    const tested = await evaluate({ model, loss, metrics, data: validation });
    expect(tested.loss).toBe(last.validation?.loss);
    expect(tested.metrics.accuracy).toBeGreaterThan(0.8);
    expect(tested.samples).toBe(40);
  });

  test("a schedule scales the rate of each parameter group, and gives the rates back", async () => {
    const options = problem({ epochs: 2, schedule: stepDecay({ every: 3, factor: 0.5 }) });
    const [first, second, ...rest] = options.model.parameters();
    const optimizer = new SGD(
      [
        { parameters: [first], settings: { lr: 0.1 } },
        { parameters: [second], settings: { lr: 0 } },
        { parameters: rest, settings: {} },
      ],
      { lr: 0.4 },
    );
    const frozen = [...(await readTensor(second))];
    const rates: number[][] = [];
    const onStep = () => {
      rates.push(optimizer.groups.map(({ settings }) => settings.lr));
    };
    const report = await trainModel({ ...options, optimizer, callbacks: [{ onStep }] });
    // onStep comes one step behind: the rates it sees after step n are those of step n + 1 (counted from 0) or later.
    expect(rates[0]).toEqual([0.1, 0, 0.4]);
    expect(rates.at(-1)?.map((rate) => rate / 0.5 ** Math.floor((2 * stepsPerEpoch) / 3))).toEqual([
      0.1, 0, 0.4,
    ]);
    expect(report.history[1].learningRate).toBe(0.1 * 0.5 ** Math.floor((2 * stepsPerEpoch - 1) / 3));
    expect([...(await readTensor(second))]).toEqual(frozen);
    expect(optimizer.groups.map(({ settings }) => settings.lr)).toEqual([0.1, 0, 0.4]);
  });

  test("a training that fails gives the rates back too", async () => {
    const options = problem({ schedule: () => 0.5 });
    const crash = new Error("crash");
    const onStep = () => {
      throw crash;
    };
    await expect(trainModel({ ...options, callbacks: [{ onStep }] })).rejects.toBe(crash);
    expect(options.optimizer.lr).toBe(0.02);
  });

  test("steps are told in order, with means over their batch", async () => {
    const records: StepRecord[] = [];
    const report = await trainModel(
      problem({ epochs: 2, callbacks: [{ onStep: (record) => records.push(record) }] }),
    );
    expect(records.map(({ step }) => step)).toEqual(
      Array.from({ length: 2 * stepsPerEpoch }, (_, i) => i + 1),
    );
    const firstEpoch = records.filter(({ epoch }) => epoch === 1);
    const mean = firstEpoch.reduce((sum, { loss, samples }) => sum + loss * samples, 0) / sampleCount;
    expect(report.history[0].loss).toBeCloseTo(mean, 10);
    const correct = firstEpoch.reduce((sum, { metrics, samples }) => sum + metrics.accuracy * samples, 0);
    expect(report.history[0].metrics.accuracy).toBeCloseTo(correct / sampleCount, 10);
  });

  test("live buffers and compiled Programs stay as many", async () => {
    const live: number[] = [];
    const compiled: number[] = [];
    const onEpoch = () => {
      live.push(memory(device).liveBuffers);
      compiled.push(compileCount(device));
    };
    await trainModel(problem({ epochs: 8, callbacks: [{ onEpoch }] }));
    // Garbage is collected at any time: some epochs end with less.
    expect(Math.max(...live.slice(4))).toBeLessThanOrEqual(Math.max(...live.slice(1, 4)));
    expect(new Set(compiled.slice(1)).size).toBe(1);
  });

  test("a target loss stops it at the end of an epoch", async () => {
    const report = await trainModel(problem({ epochs: 50, stop: [lossReached(0.5)] }));
    expect(report.history.length).toBeLessThan(50);
    expect(report.history.at(-1)?.loss).toBeLessThanOrEqual(0.5);
    expect(report.history.at(-2)?.loss ?? 1).toBeGreaterThan(0.5);
    expect(report.stoppedBecause).toContain("reached the target 0.5");
  });

  test("patience runs out when nothing changes", async () => {
    const options = problem({ epochs: 50, stop: [patience({ metric: "accuracy", epochs: 2 })] });
    const frozen = { ...options, optimizer: new SGD(options.model.parameters(), { lr: 0 }) };
    const validation = new DataLoader(quadrants(40), { device, batchSize });
    const report = await trainModel({ ...frozen, validation });
    expect(report.history.length).toBe(3);
  });

  test("a time limit stops it in the middle of an epoch", async () => {
    const report = await trainModel(problem({ epochs: 1e6, stop: [timeLimit(0)] }));
    expect(report.steps).toBe(0);
    expect(report.stoppedBecause).toContain("time limit");
  });

  test("an abort ends it after the running step", async () => {
    const controller = new AbortController();
    const onStep = ({ step }: StepRecord) => {
      if (step === 7) controller.abort();
    };
    const report = await trainModel(problem({ signal: controller.signal, callbacks: [{ onStep }] }));
    expect(report.aborted).toBe(true);
    expect(report.steps).toBeGreaterThanOrEqual(7);
    expect(report.steps).toBeLessThanOrEqual(8);
  });

  test("gradients are clipped", async () => {
    const options = problem({ epochs: 1, gradClip: 1e-6 });
    const sgd = new SGD(options.model.parameters(), { lr: 1 });
    const { model, loss, train: data } = options;
    const before = (await evaluate({ model, loss, data })).loss;
    await trainModel({ ...options, optimizer: sgd });
    const after = (await evaluate({ model, loss, data })).loss;
    expect(Math.abs(after - before)).toBeLessThan(1e-3);
  });

  test("a loss that is not finite is an error that names the step", async () => {
    const options = problem({ epochs: 20 });
    const optimizer = new SGD(options.model.parameters(), { lr: 1e30 });
    const failure = await trainModel({ ...options, optimizer }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(NumericsError);
    expect(String(failure)).toMatch(/the loss is (NaN|Infinity|-Infinity) at step \d+ \(epoch \d+\)/);
  });

  test.each([
    ["epochs", { epochs: 1.5 }],
    ["gradClip", { gradClip: 0 }],
    ["everySteps", { checkpoint: { directory: "unused", everySteps: 0 } }],
  ])("%s outside its domain is refused", async (word, overrides) => {
    const failure = await trainModel(problem(overrides)).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ArgumentError);
    expect(String(failure)).toContain(word);
  });
});
