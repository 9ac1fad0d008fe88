/** Learning rates and other settings that change during training. */
import { describe, expect, it } from "vitest";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { ArgumentError } from "../../src/core/errors.js";
import {
  Adam,
  AdamW,
  cosine,
  LRScheduler,
  linearWarmup,
  SGD,
  type SgdSettings,
  stepDecay,
} from "../../src/optim/index.js";
import { reference as device } from "../devices.js";

const parameter = (...values: number[]) => ops.tensor(values, { device, requiresGrad: true });
const sgd = (settings: Partial<SgdSettings> = {}) => {
  const p = parameter(0);
  const optimizer = new SGD([p], { lr: 1, ...settings });
  /** A step with the gradient 1; the parameter after it. */
  const step = async () => {
    p.sum().backward();
    optimizer.step();
    return Number((await p.item()).toFixed(6));
  };
  return {
    p,
    optimizer,
    settings: optimizer.groups[0].settings as { -readonly [K in keyof SgdSettings]: SgdSettings[K] },
    step,
  };
};

describe("several schedulers of one optimizer", () => {
  // torch: LambdaLR(min(1, (t + 1)/4)) and StepLR(2, 0.5), both stepped: lr 1·…
  it("multiply, in any order of steps", () => {
    const { optimizer } = sgd();
    const warmup = new LRScheduler(optimizer, linearWarmup(4));
    const decay = new LRScheduler(optimizer, stepDecay({ every: 2, factor: 0.5 }));
    const rates = [optimizer.lr];
    for (let i = 0; i < 5; i++) {
      for (const scheduler of i % 2 ? [warmup, decay] : [decay, warmup]) scheduler.step();
      rates.push(optimizer.lr);
    }
    expect(rates).toEqual([0.25, 0.5, 0.375, 0.5, 0.25, 0.25]);
    warmup.restore();
    expect(optimizer.lr).toBe(0.25);
    decay.restore();
    expect(optimizer.lr).toBe(1);
  });

  it("go through 0 and come back", () => {
    const { optimizer } = sgd();
    const there = new LRScheduler(optimizer, (step) => (step === 1 ? 0 : 1));
    const half = new LRScheduler(optimizer, () => 0.5);
    const rates: number[] = [];
    for (let i = 0; i < 3; i++) {
      rates.push(optimizer.lr);
      there.step();
      half.step();
    }
    expect(rates).toEqual([0.5, 0, 0.5]);
  });

  it("are resumed together", async () => {
    const make = () => {
      const { optimizer } = sgd({ lr: 0.1 });
      return {
        optimizer,
        schedulers: [cosine({ steps: 10 }), stepDecay({ every: 3, factor: 0.5 })].map(
          (s) => new LRScheduler(optimizer, s),
        ),
      };
    };
    const [whole, resumed] = [make(), make()];
    for (let i = 0; i < 4; i++) for (const scheduler of whole.schedulers) scheduler.step();
    const states = JSON.parse(JSON.stringify(whole.schedulers.map((scheduler) => scheduler.state())));
    await resumed.optimizer.loadStateDict(whole.optimizer.stateDict());
    for (const [i, scheduler] of resumed.schedulers.entries()) scheduler.setState(states[i]);
    expect(resumed.optimizer.lr).toBeCloseTo(whole.optimizer.lr, 15);
    for (const { schedulers } of [whole, resumed]) for (const scheduler of schedulers) scheduler.step();
    expect(resumed.optimizer.lr).toBeCloseTo(whole.optimizer.lr, 15);
  });

  it("one that is made after the rate was set by hand begins there", () => {
    const { optimizer } = sgd();
    new LRScheduler(optimizer, () => 0.1).step();
    optimizer.lr = 3;
    const second = new LRScheduler(optimizer, stepDecay({ every: 1, factor: 0.5 }));
    second.step();
    expect(optimizer.lr).toBe(1.5);
  });

  it("that give no number are refused", () => {
    const { optimizer } = sgd();
    expect(() => new LRScheduler(optimizer, () => Number.NaN)).toThrow(
      /LRScheduler: the schedule gives NaN for step 0/,
    );
    expect(() => new LRScheduler(optimizer, (async () => 1) as never)).toThrow(ArgumentError);
    expect(optimizer.lr).toBe(1);
  });
});

describe("settings that change after construction", () => {
  it("are checked as in the constructor, and a refused step changes nothing", async () => {
    const p = parameter(1);
    const optimizer = new AdamW([p], { lr: 0.1 });
    const settings = optimizer.groups[0].settings as unknown as Record<string, unknown>;
    p.sum().backward();
    for (const [name, value] of [
      ["lr", -1],
      ["lr", Number.NaN],
      ["weightDecay", -1],
      ["betas", [0.9, 1]],
      ["eps", -1],
    ] as const) {
      const before = settings[name];
      settings[name] = value;
      expect(() => optimizer.step(), name).toThrow(ArgumentError);
      settings[name] = before;
    }
    for (const lr of [-1, Number.NaN])
      expect(() => {
        optimizer.lr = lr;
      }).toThrow(/learning rate/);
    expect(optimizer.lr).toBe(0.1);
    expect(optimizer.stateDict().numbers.steps).toEqual([0]);
    expect(await p.item()).toBe(1);
    optimizer.step();
    expect(await p.item()).toBeCloseTo(1 - 0.1 * 0.01 - 0.1, 6);
    for (const bad of [{ eps: -1 }, { betas: [Number.NaN, 0.9] as const }])
      expect(() => new Adam([p], bad)).toThrow(ArgumentError);
    expect(() => new SGD([p], { momentum: -0.1 })).toThrow(/momentum/);
  });

  // torch.optim.SGD([p], lr=1) with p.grad = 1 each step; momentum set to 0.9, dampening to 0.5 before the second step.
  it("a momentum that begins late, ends and begins again, as in PyTorch", async () => {
    const { settings, step } = sgd();
    expect(await step()).toBe(-1);
    Object.assign(settings, { momentum: 0.9, dampening: 0.5 });
    expect(await step()).toBe(-2);
    expect(await step()).toBe(-3.4);
    settings.momentum = 0;
    expect(await step()).toBe(-4.4);
    settings.momentum = 0.9;
    expect(await step()).toBe(-6.16);
  });

  it("another weight decay holds from the next step on", async () => {
    const { p, settings, step } = sgd();
    await step();
    settings.weightDecay = 0.5;
    expect(await step()).toBe(-1.5);
    expect(p.grad).toBeUndefined();
  });
});
