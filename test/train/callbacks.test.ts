/** Async callbacks of fit are awaited in order, and their errors end the training. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { DataLoader } from "../../src/data/index.js";
import { openReference } from "../../src/device/reference/reference.js";
import { crossEntropy } from "../../src/nn/index.js";
import { AdamW } from "../../src/optim/index.js";
import { accuracy, type Callback, type FitOptions, fit as trainModel } from "../../src/train/index.js";
import { quadrants, smallNet } from "./problem.js";

const device = openReference();

function training(options: Partial<FitOptions>): FitOptions {
  const model = smallNet(device, 0);
  return {
    model,
    optimizer: new AdamW(model.parameters(), { lr: 0.02 }),
    train: new DataLoader(quadrants(8), { device, batchSize: 4 }),
    loss: crossEntropy,
    metrics: { accuracy },
    epochs: 2,
    ...options,
  };
}

const later = () => new Promise((resolve) => setTimeout(resolve, 5));

/** Says when it begins and, some time later, when it ends. */
function slow(name: string, told: string[]): Callback {
  const tell = (what: string) => async () => {
    told.push(`${name} ${what}`);
    await later();
    told.push(`${name} ${what} ended`);
  };
  const methods = ["onStart", "onStep", "onEpoch", "onCheckpoint", "onResume", "onEnd"] as const;
  return Object.fromEntries(methods.map((method) => [method, tell(method)]));
}

test("each is waited for before the next one, and before fit goes on", async () => {
  const directory = mkdtempSync(join(tmpdir(), "wattgrad-callbacks-"));
  try {
    const told: string[] = [];
    const checkpoint = { directory, resume: true };
    await trainModel(training({ checkpoint, callbacks: [slow("a", told), slow("b", told)] }));
    const pair = (what: string) => ["a", "b"].flatMap((name) => [`${name} ${what}`, `${name} ${what} ended`]);
    const epoch = ["onStep", "onStep", "onEpoch", "onCheckpoint"];
    expect(told).toEqual(["onStart", ...epoch, ...epoch, "onEnd"].flatMap(pair));
    told.length = 0;
    await trainModel(training({ checkpoint, epochs: 3, callbacks: [slow("a", told)] }));
    expect(told.slice(0, 4)).toEqual(["onResume", "onStart"].flatMap((what) => pair(what).slice(0, 2)));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.each(["onStart", "onStep", "onEpoch", "onEnd"] as const)("a rejection of %s ends it", async (method) => {
  const failing: Callback = {
    async [method]() {
      await later();
      throw new Error("no more");
    },
  };
  await expect(trainModel(training({ callbacks: [failing] }))).rejects.toThrow("no more");
});

test("a condition to stop may be async", async () => {
  const stop = async ({ step }: { step: number }) => {
    await later();
    return step === 3 ? "three steps" : undefined;
  };
  const report = await trainModel(training({ stop: [stop] }));
  expect(report).toMatchObject({ steps: 3, stoppedBecause: "three steps" });
});
