/** Learning-rate schedules: functions from the step number (from 0) to a factor of the base learning rate. */
import { type Follower, followWeakly } from "../device/recovery.js";
import { ArgumentError } from "../tensor/errors.js";
import type { Tensor } from "../tensor/tensor.js";

/** From the number of steps made so far to a factor of the base learning rate. */
export type Schedule = (step: number) => number;

/** The base learning rate throughout. */
export const constant: Schedule = () => 1;

/** Rises linearly from 0 to 1 over `steps` steps and stays there; its first step is not 0 but 1/steps. */
export function linearWarmup(steps: number): Schedule {
  return (step) => Math.min(1, (step + 1) / Math.max(1, steps));
}

export interface CosineOptions {
  /** Steps in all. */
  readonly steps: number;
  /** Factor at the end. Default 0. */
  readonly min?: number;
  /** Steps of linear warm-up at the start. Default 0. */
  readonly warmup?: number;
}

/** Half a cosine from 1 down to `min` (Loshchilov and Hutter 2017), after a linear warm-up. */
export function cosine({ steps, min = 0, warmup = 0 }: CosineOptions): Schedule {
  if (!(steps > 0)) throw new ArgumentError(`steps are at least 1, got ${steps}`, { op: "cosine" });
  return (step) => {
    if (step < warmup) return (step + 1) / warmup;
    const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
    return min + (1 - min) * 0.5 * (1 + Math.cos(Math.PI * progress));
  };
}

/** Multiplies by `factor` after every `every` steps. */
export function stepDecay({
  every,
  factor = 0.1,
}: {
  readonly every: number;
  readonly factor?: number;
}): Schedule {
  return (step) => factor ** Math.floor(step / every);
}

/** What a scheduler sets: the groups of an optimizer. */
export interface Schedulable {
  readonly groups: readonly { readonly settings: { lr: number }; readonly parameters?: readonly Tensor[] }[];
}

/** Where a scheduler stands; plain data, for checkpoints. */
export interface SchedulerState {
  readonly step: number;
  /** Learning rate of each group at factor 1. */
  readonly base: readonly number[];
}

/**
 * Sets the learning rate of each group of an optimizer to a scheduled factor of what it was when the scheduler was
 * made; call `step()` once after each optimizer step. Nothing is recompiled.
 *
 * @example
 * const scheduler = new LRScheduler(optimizer, cosine({ steps: 1000, warmup: 50 }));
 * optimizer.step();
 * scheduler.step();
 */
export class LRScheduler implements Follower {
  readonly #optimizer: Schedulable;
  readonly #schedule: Schedule;
  #base: readonly number[];
  #step = 0;

  constructor(optimizer: Schedulable, schedule: Schedule) {
    this.#optimizer = optimizer;
    this.#schedule = schedule;
    this.#base = optimizer.groups.map(({ settings }) => settings.lr);
    this.#apply();
    const parameters = optimizer.groups.flatMap((group) => group.parameters ?? []);
    for (const { recovery } of new Set(parameters.map(({ device }) => device))) {
      if (recovery !== undefined) followWeakly(recovery, this);
    }
  }

  step(): void {
    this.#step++;
    this.#apply();
  }

  /** Gives the groups their learning rates at factor 1 back, for when the schedule has ended. */
  restore(): void {
    this.#optimizer.groups.forEach(({ settings }, i) => {
      settings.lr = this.#base[i];
    });
  }

  /** What `setState` needs to go on from here. */
  state(): SchedulerState {
    return { step: this.#step, base: this.#base };
  }

  /** Where it stands, for a device that comes back. */
  remember(): () => void {
    const state = this.state();
    return () => this.setState(state);
  }

  /** @throws ArgumentError if the state is of an optimizer with another number of groups. */
  setState({ step, base }: SchedulerState): void {
    const { length } = this.#optimizer.groups;
    if (base.length !== length) {
      throw new ArgumentError(`the state has ${base.length} groups, the optimizer ${length}`, {
        op: "LRScheduler",
      });
    }
    this.#step = step;
    this.#base = base;
    this.#apply();
  }

  #apply(): void {
    const factor = this.#schedule(this.#step);
    this.#optimizer.groups.forEach(({ settings }, i) => {
      settings.lr = this.#base[i] * factor;
    });
  }
}
