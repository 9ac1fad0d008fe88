/** `accumulate` of fit: a step over several batches is one over a large batch, in the memory of a small one. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DataLoader } from "../../src/data/index.js";
import { crossEntropy } from "../../src/nn/index.js";
import { manualSeed } from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { AdamW, clipGradNorm, cosine } from "../../src/optim/index.js";
import { compileCount } from "../../src/runtime/counters.js";
import { hostTensors } from "../../src/train/host_tensors.js";
import { accuracy, type FitOptions, type StepRecord, fit as trainModel } from "../../src/train/index.js";
import { devices } from "../devices.js";
import { quadrants, smallNet } from "./problem.js";

const samples = 72;

describe.each(devices)("on $label", ({ device }) => {
  function problem(batchSize: number, overrides: Partial<FitOptions> = {}, dropout = 0): FitOptions {
    manualSeed(1);
    const model = smallNet(device, dropout);
    return {
      model,
      optimizer: new AdamW(model.parameters(), { lr: 0.02 }),
      train: new DataLoader(quadrants(samples), { device, batchSize, shuffle: { seed: 3 } }),
      loss: crossEntropy,
      metrics: { accuracy },
      epochs: 2,
      ...overrides,
    };
  }

  async function outcome(options: FitOptions) {
    const steps: StepRecord[] = [];
    const callbacks = [...(options.callbacks ?? []), { onStep: (record: StepRecord) => steps.push(record) }];
    const { history, steps: count } = await trainModel({ ...options, callbacks });
    const weights = await hostTensors(options.model.stateDict());
    return { history: history.map(({ seconds: _, ...rest }) => rest), weights, steps, count };
  }

  test("is the step on a large batch", async () => {
    const schedule = cosine({ steps: 6, warmup: 2 });
    const large = await outcome(problem(24, { schedule, gradClip: 0.5 }));
    const small = await outcome(problem(6, { schedule, gradClip: 0.5, accumulate: 4 }));
    expect(small.count).toBe(6);
    expect(small.history.map(({ learningRate, step }) => [learningRate, step])).toEqual(
      large.history.map(({ learningRate, step }) => [learningRate, step]),
    );
    small.steps.forEach(({ step, samples, loss, metrics }, i) => {
      expect([step, samples]).toEqual([i + 1, 24]);
      expect(loss).toBeCloseTo(large.steps[i].loss, 5);
      expect(metrics.accuracy).toBeCloseTo(large.steps[i].metrics.accuracy, 6);
    });
    for (const [name, { data }] of small.weights) {
      const expected = large.weights.get(name)!.data;
      Array.from(data).forEach((value, i) => void expect(value).toBeCloseTo(Number(expected[i]), 5));
    }
  });

  test("the last step of an epoch takes the batches that are left", async () => {
    const plan: unknown[] = [];
    const options = problem(16, {
      accumulate: 2,
      gradClip: 1,
      callbacks: [{ onStart: (told) => plan.push(told.stepsPerEpoch) }],
    });
    const found = await outcome(options);
    expect(plan).toEqual([3]);
    expect(found.steps.map((each) => each.samples)).toEqual([32, 32, 8, 32, 32, 8]);
    // As a user of PyTorch writes it.
    const { model, optimizer, train } = problem(16);
    model.train();
    const parameters = model.parameters();
    for (let epoch = 0; epoch < 2; epoch++) {
      let batch = 0;
      for await (const [x, y] of train as DataLoader) {
        const group = batch < 4 ? 2 : 1;
        crossEntropy(model.forward(x as never) as never, y as never)
          .div(group)
          .backward();
        batch++;
        if (batch % 2 > 0 && batch < 5) continue;
        clipGradNorm(parameters, 1);
        optimizer.step();
      }
    }
    for (const [name, { data }] of await hostTensors(model.stateDict())) {
      const own = found.weights.get(name)!.data;
      Array.from(data).forEach((value, i) => void expect(Number(own[i])).toBeCloseTo(Number(value), 6));
    }
  });

  test.each([1, 3, 4])("resumes to the same bits after step %i", async (step) => {
    const directory = await mkdtemp(join(tmpdir(), "wattgrad-accumulate-"));
    try {
      const schedule = cosine({ steps: 6, warmup: 1 });
      const expected = await outcome(problem(16, { accumulate: 2, schedule }, 0.3));
      const controller = new AbortController();
      const onStep = (record: StepRecord) => {
        if (record.step >= step) controller.abort();
      };
      const checkpoint = { directory, everySteps: 1 };
      const overrides = { accumulate: 2, schedule, checkpoint };
      await trainModel(
        problem(16, { ...overrides, signal: controller.signal, callbacks: [{ onStep }] }, 0.3),
      );
      const resumed = await outcome(
        problem(16, { ...overrides, checkpoint: { directory, resume: true } }, 0.3),
      );
      expect([resumed.history, resumed.weights]).toEqual([expected.history, expected.weights]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test("holds memory and compiled Programs flat", async () => {
    const seen: { liveBuffers: number; liveBytes: number; compiled: number }[] = [];
    const onStep = () => {
      const { liveBuffers, liveBytes } = device.memory();
      seen.push({ liveBuffers, liveBytes, compiled: compileCount(device) });
    };
    await trainModel(problem(12, { accumulate: 3, epochs: 20, callbacks: [{ onStep }] }));
    expect(seen.length).toBe(40);
    // Garbage is collected at any step, so single steps hold less: what counts is the most of many.
    const [early, late] = [seen.slice(4, 22), seen.slice(22)];
    const most = (steps: typeof seen, of: keyof (typeof seen)[0]) =>
      Math.max(...steps.map((step) => step[of]));
    for (const each of ["liveBuffers", "liveBytes"] as const)
      expect(most(late, each)).toBeLessThanOrEqual(most(early, each));
    expect(most(late, "compiled")).toBe(early[0].compiled);
  });
});

test("refuses what is no number of batches", async () => {
  const { device } = devices[1];
  const model = smallNet(device, 0);
  for (const accumulate of [0, 1.5, -1]) {
    const optimizer = new AdamW(model.parameters());
    const train = new DataLoader(quadrants(8), { device, batchSize: 4 });
    await expect(
      trainModel({ model, optimizer, train, loss: crossEntropy, epochs: 1, accumulate }),
    ).rejects.toThrow("accumulate is a positive integer");
  }
});
