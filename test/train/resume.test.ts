/** An interrupted and resumed training has the same bits as an uninterrupted one. */
import { mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ArgumentError, FormatError } from "../../src/core/errors.js";
import { DataLoader } from "../../src/data/index.js";
import type { Device } from "../../src/device/device.js";
import { openDevice } from "../../src/device/select.js";
import { crossEntropy } from "../../src/nn/index.js";
import { defaultGenerator, manualSeed } from "../../src/ops/index.js";
import { AdamW, cosine } from "../../src/optim/index.js";
import { readNewestCheckpoint } from "../../src/train/checkpoint.js";
import { hostTensors } from "../../src/train/host_tensors.js";
import { accuracy, type FitOptions, fit as trainModel } from "../../src/train/index.js";
import { quadrants, smallNet } from "./problem.js";

const epochs = 3;
const batchSize = 16;
const sampleCount = 72;
const stepsPerEpoch = Math.ceil(sampleCount / batchSize);

describe.each(["reference", "wasm"] as const)("resume on %s", (name) => {
  let device: Device;
  let directory: string;

  beforeEach(async () => {
    device = await openDevice(name);
    directory = await mkdtemp(join(tmpdir(), "wattgrad-resume-"));
  });

  afterEach(async () => {
    device.close();
    await rm(directory, { recursive: true });
  });

  /** As a new process would set it up; the weights' seed differs, so that only the checkpoint can make them equal. */
  function problem(seed: number, overrides: Partial<FitOptions> = {}): FitOptions {
    manualSeed(seed);
    const model = smallNet(device, 0.3);
    return {
      model,
      optimizer: new AdamW(model.parameters(), { lr: 0.02 }),
      train: new DataLoader(quadrants(sampleCount), { device, batchSize, shuffle: { seed: 3 } }),
      loss: crossEntropy,
      metrics: { accuracy },
      schedule: cosine({ steps: epochs * stepsPerEpoch, warmup: 3 }),
      epochs,
      ...overrides,
    };
  }

  /** Everything that has to agree, wall-clock times left out. */
  async function outcome(options: FitOptions) {
    const { history } = await trainModel(options);
    return {
      history: history.map(({ seconds: _, ...rest }) => rest),
      weights: await hostTensors(options.model.stateDict()),
      moments: await hostTensors(options.optimizer.stateDict().tensors),
      generator: defaultGenerator.state(),
    };
  }

  function abortAfter(step: number): Partial<FitOptions> {
    const controller = new AbortController();
    const onStep = (record: { step: number }) => {
      if (record.step >= step) controller.abort();
    };
    return { signal: controller.signal, callbacks: [{ onStep }] };
  }

  test.each([1, 4, 5, 8, 13])("interrupted after step %i", async (step) => {
    const expected = await outcome(problem(1));
    await trainModel(problem(1, { ...abortAfter(step), checkpoint: { directory } }));
    const resumed = await outcome(problem(2, { checkpoint: { directory, resume: true } }));
    expect(resumed).toEqual(expected);
  });

  test("parameter groups keep their own rates", async () => {
    /** The learning rates are other ones in a resumed run; those of the checkpoint count. */
    const grouped = (seed: number, rates: readonly [number, number], overrides: Partial<FitOptions> = {}) => {
      const options = problem(seed, overrides);
      const [first, ...rest] = options.model.parameters();
      const optimizer = new AdamW(
        [
          { parameters: [first], settings: { lr: rates[0] } },
          { parameters: rest, settings: { lr: rates[1] } },
        ],
        { lr: 1 },
      );
      return { ...options, optimizer };
    };
    const expected = await outcome(grouped(1, [0.02, 0.005]));
    await trainModel(grouped(1, [0.02, 0.005], { ...abortAfter(7), checkpoint: { directory } }));
    const options = grouped(2, [3, 4], { checkpoint: { directory, resume: true } });
    expect(await outcome(options)).toEqual(expected);
    expect(options.optimizer.groups.map(({ settings }) => settings.lr)).toEqual([0.02, 0.005]);
  });

  test("a checkpoint of a run with a schedule does not fit one without", async () => {
    await trainModel(problem(1, { epochs: 1, checkpoint: { directory } }));
    const other = problem(1, { schedule: undefined, checkpoint: { directory, resume: true } });
    await expect(trainModel(other)).rejects.toThrow(/it had a learning-rate schedule/);
  });

  test("interrupted again and again", async () => {
    const expected = await outcome(problem(1));
    for (const step of [2, 6, 7, 11]) {
      const first = step === 2;
      await trainModel(
        problem(first ? 1 : step, { ...abortAfter(step), checkpoint: { directory, resume: !first } }),
      );
    }
    const resumed = await outcome(problem(9, { checkpoint: { directory, resume: true } }));
    expect(resumed).toEqual(expected);
  });

  test("from a checkpoint in the middle of an epoch, after a crash", async () => {
    const expected = await outcome(problem(1));
    const crash = new Error("crash");
    const onStep = ({ step }: { step: number }) => {
      if (step === 9) throw crash;
    };
    const crashing = problem(1, { checkpoint: { directory, everySteps: 3 }, callbacks: [{ onStep }] });
    await expect(trainModel(crashing)).rejects.toBe(crash);
    expect((await readdir(directory)).sort()).toEqual([
      "step-000000003.safetensors",
      "step-000000006.safetensors",
    ]);
    const resumed = await outcome(problem(2, { checkpoint: { directory, resume: true } }));
    expect(resumed).toEqual(expected);
  });

  test("a damaged newest checkpoint is passed over, and said so", async () => {
    const expected = await outcome(problem(1));
    await trainModel(problem(1, { ...abortAfter(9), checkpoint: { directory, everySteps: 4 } }));
    const names = (await readdir(directory)).sort();
    expect(names.length).toBe(2);
    await truncate(join(directory, names[1]), 500);
    await writeFile(join(directory, ".step-000000099.safetensors.1-x.tmp"), "half a checkpoint");
    const messages: string[] = [];
    const resumed = await outcome(
      problem(2, {
        checkpoint: { directory, resume: true },
        callbacks: [
          {
            onResume: ({ path, skipped }) =>
              messages.push(path, ...skipped.map((damaged) => `${damaged.path}: ${damaged.reason}`)),
          },
        ],
      }),
    );
    expect(resumed).toEqual(expected);
    expect(messages[0]).toBe(join(directory, names[0]));
    expect(messages[1]).toContain(names[1]);
    expect((await readdir(directory)).filter((file) => file.endsWith(".tmp"))).toEqual([]);
  });

  test("a finished training resumes to its end", async () => {
    const finished = await outcome(problem(1, { checkpoint: { directory } }));
    const resumed = await outcome(problem(2, { checkpoint: { directory, resume: true } }));
    expect(resumed).toEqual(finished);
  });

  test("nothing to resume is a start, old checkpoints without resume are an error", async () => {
    const report = await trainModel(problem(1, { epochs: 1, checkpoint: { directory, resume: true } }));
    expect(report.steps).toBe(stepsPerEpoch);
    expect(report.checkpoint).toContain(directory);
    await expect(trainModel(problem(1, { checkpoint: { directory } }))).rejects.toThrow(ArgumentError);
  });

  test("no valid checkpoint and one of another model are errors", async () => {
    await trainModel(problem(1, { epochs: 1, checkpoint: { directory } }));
    const other = problem(1, { metrics: {}, checkpoint: { directory, resume: true } });
    await expect(trainModel(other)).rejects.toThrow(/belongs to another run/);
    for (const file of await readdir(directory)) await truncate(join(directory, file), 20);
    await expect(readNewestCheckpoint(directory)).rejects.toThrow(FormatError);
  });
});
