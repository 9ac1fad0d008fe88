/** fit with a meter: energy of epochs and runs, budgets, resumed runs, and a meter that stops half-way. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ArgumentError, FormatError } from "../../src/core/errors.js";
import { DataLoader } from "../../src/data/index.js";
import { openReference } from "../../src/device/reference/reference.js";
import { type EnergyFigure, type EnergyMeter, openMeter } from "../../src/energy/index.js";
import { crossEntropy } from "../../src/nn/index.js";
import { manualSeed } from "../../src/ops/index.js";
import { SGD } from "../../src/optim/index.js";
import { readNewestCheckpoint, writeCheckpoint } from "../../src/train/checkpoint.js";
import {
  type Callback,
  type FitOptions,
  type FitState,
  joules,
  fit as trainModel,
} from "../../src/train/index.js";
import { Sysfs } from "../energy/sysfs.js";
import { quadrants, smallNet } from "./problem.js";

const stepsPerEpoch = 5;
const epochs = 4;
const joulesPerStep = 3;

let sys: Sysfs;
let meter: EnergyMeter;
let directory: string;
let counted: number;

beforeEach(async () => {
  sys = new Sysfs();
  counted = 1000;
  sys.zone("intel-rapl:0", "package-0", counted);
  meter = await openMeter({ sys: sys.root });
  directory = await mkdtemp(join(tmpdir(), "wattgrad-energy-"));
});

afterEach(async () => {
  vi.useRealTimers();
  meter.close();
  sys.dispose();
  await rm(directory, { recursive: true });
});

/** Each step moves the simulated counter when its result has arrived. */
const consumption: Callback = {
  onStep() {
    counted += joulesPerStep;
    sys.count("intel-rapl:0", counted);
  },
};

/** A loop that has no reason to let the event loop turn: on a loaded machine it has, and results arrive a step earlier. */
function stopClock(): void {
  vi.useFakeTimers({ toFake: ["performance"] });
}

function problem(overrides: Partial<FitOptions> = {}): FitOptions {
  manualSeed(1);
  const device = openReference();
  const model = smallNet(device, 0);
  return {
    model,
    optimizer: new SGD(model.parameters(), { lr: 0.1 }),
    train: new DataLoader(quadrants(16 * stepsPerEpoch), { device, batchSize: 16 }),
    loss: crossEntropy,
    epochs,
    energy: meter,
    callbacks: [consumption],
    ...overrides,
  };
}

describe("a counter that moves with every step", () => {
  test("each epoch and the run have their joules, of the meter's kind", async () => {
    const spent: (EnergyFigure | undefined)[] = [];
    const callbacks: Callback[] = [consumption, { onStep: ({ energy }) => void spent.push(energy) }];
    const report = await trainModel(problem({ callbacks }));
    for (const { energy } of report.history) {
      expect(energy).toMatchObject({
        joules: expect.closeTo(stepsPerEpoch * joulesPerStep, 6),
        kind: "measured",
      });
    }
    expect(report.energy).toMatchObject({
      joules: expect.closeTo(epochs * stepsPerEpoch * joulesPerStep, 6),
      kind: "measured",
      method: "RAPL counters of package-0",
    });
    expect(report.energy!.seconds).toBeLessThanOrEqual(report.seconds + 0.1);
    expect(spent.at(-1)?.joules).toBeGreaterThan((epochs - 1) * stepsPerEpoch * joulesPerStep);
  });

  test("without a meter nothing is told", async () => {
    const report = await trainModel(problem({ energy: undefined }));
    expect(report).not.toHaveProperty("energy");
    expect(report.history[0]).not.toHaveProperty("energy");
  });

  test("a budget ends the training within a step or two of its last joule", async () => {
    stopClock();
    const budget = 7 * joulesPerStep;
    const report = await trainModel(problem({ stop: [joules(budget)] }));
    expect(report.stoppedBecause).toBe("the budget of 21.0 J is spent (measured)");
    // One step is under way while the result of the one before arrives.
    expect(report.steps).toBe(8);
    expect(report.history).toHaveLength(1);
    expect(report.energy!.joules).toBeGreaterThanOrEqual(budget);
  });

  test("a resumed run goes on counting: the budget and the epoch include what was spent before", async () => {
    stopClock();
    const controller = new AbortController();
    const interrupt: Callback = {
      onStep({ step }) {
        if (step === 7) controller.abort();
      },
    };
    const checkpoint = { directory, everySteps: 3 };
    const callbacks = [consumption, interrupt];
    const first = await trainModel(problem({ callbacks, checkpoint, signal: controller.signal }));
    expect(first.aborted).toBe(true);
    const before = first.energy!.joules!;
    expect(before).toBeCloseTo(first.steps * joulesPerStep, 6);

    const resumed = { checkpoint: { directory, resume: true }, stop: [joules(before + 4 * joulesPerStep)] };
    const second = await trainModel(problem(resumed));
    expect(second.stoppedBecause).toMatch(/^the budget of/);
    expect(second.steps).toBe(first.steps + 5);
    expect(second.energy!.joules).toBeCloseTo(before + 5 * joulesPerStep, 6);
    expect(second.history[1].energy).toMatchObject({
      joules: expect.closeTo(stepsPerEpoch * joulesPerStep, 6),
      kind: "measured",
    });
  });
});

test("a meter that dies half-way: later epochs are modelled or assumed and say why", async () => {
  const dies: Callback = {
    onEpoch({ epoch }) {
      if (epoch === 2) sys.remove("powercap/intel-rapl:0");
    },
    onStep({ epoch }) {
      if (epoch <= 2) consumption.onStep?.({} as never);
      for (const end = performance.now() + 5; performance.now() < end; );
    },
  };
  const report = await trainModel(problem({ callbacks: [dies] }));
  expect(report.history.map(({ energy }) => energy!.kind)).toEqual([
    "measured",
    "measured",
    "assumed",
    "assumed",
  ]);
  for (const { energy } of report.history) expect(energy!.joules).toBeGreaterThan(0);
  expect(report.history[3].energy!.reason).toMatch(/cannot read .*energy_uj/);
  // The whole run is not a mixture of kinds: the model tells it, and what the meter had counted is in the reason.
  expect(report.energy).toMatchObject({
    kind: "assumed",
    reason: expect.stringMatching(/it had counted 30\.00 J/),
  });
});

describe("the condition by itself", () => {
  const state = (energy?: EnergyFigure): FitState => ({
    epoch: 1,
    step: 1,
    samples: 1,
    seconds: 1,
    energy,
    history: [],
    epochEnded: false,
  });
  const figure: EnergyFigure = {
    joules: 5,
    kind: "modelled",
    method: "",
    scope: "",
    seconds: 60,
    idleSubtracted: false,
  };

  test("stops at the budget", () => {
    expect(joules(5.1)(state(figure))).toBeUndefined();
    expect(joules(5)(state(figure))).toBe("the budget of 5.00 J is spent (modelled)");
  });

  test("needs a meter", () => {
    expect(() => joules(5)(state())).toThrow(/fit has no meter .*openMeter/);
    expect(() => joules(-1)).toThrow(ArgumentError);
  });

  test("ends a training whose energy has become unknown, when the counter has had time to move", () => {
    const unknown = { ...figure, joules: null, reason: "the meter is gone" };
    expect(joules(5)(state(unknown))).toBe("its energy is unknown: the meter is gone");
    expect(joules(5)(state({ ...unknown, seconds: 0.1 }))).toBeUndefined();
  });
});

test("a checkpoint whose energy is no figure belongs to no run", async () => {
  await trainModel(problem({ epochs: 1, checkpoint: { directory } }));
  const found = (await readNewestCheckpoint(directory))!;
  const state = found.state as { progress: { energy: { total: { joules: unknown } } } };
  expect(state.progress.energy.total.joules).toBeCloseTo(stepsPerEpoch * joulesPerStep, 6);
  state.progress.energy.total.joules = "many";
  await writeCheckpoint(directory, 99, found);
  await expect(trainModel(problem({ checkpoint: { directory, resume: true } }))).rejects.toThrow(FormatError);
});
