/** Learning-rate schedules: functions from the step number (from 0) to a factor of the base learning rate. */

import {
  aCount,
  aFunction,
  aNumber,
  anArray,
  anObject,
  check,
  checkAll,
  checkOptions,
  type Kind,
  type Kinds,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { Inspectable } from "../core/inspect.js";
import { registerWeakly, type SnapshotParticipant } from "../device/recovery.js";
import type { Tensor } from "../graph/tensor.js";
import { onReplay, onUndo } from "../runtime/capture.js";

/** Maps the number of steps made so far to a factor of the base learning rate. */
export type Schedule = (step: number) => number;

/**
 * The base learning rate at every step.
 *
 * @example
 * constant(100); // 1
 */
export const constant: Schedule = () => 1;

/**
 * Rises linearly to 1 over `steps` steps and stays there. The first factor is 1/steps, not 0.
 *
 * @example
 * const schedule = linearWarmup(4);
 * [schedule(0), schedule(1), schedule(10)]; // [0.25, 0.5, 1]
 *
 * @throws ArgumentError unless `steps` is a positive integer.
 */
export function linearWarmup(steps: number): Schedule {
  check("linearWarmup", "steps", steps, aCount);
  return (step) => Math.min(1, (step + 1) / Math.max(1, steps));
}

/** Options of `cosine`. */
export interface CosineOptions {
  /** Total number of steps, the warm-up included. */
  readonly steps: number;
  /** Factor at the end. Default 0. */
  readonly min?: number;
  /** Steps of linear warm-up at the start. Default 0. */
  readonly warmup?: number;
}

const cosineOptions: Kinds<CosineOptions> = { steps: aNumber, min: aNumber, warmup: aNumber };

/**
 * Half a cosine from 1 down to `min` (Loshchilov and Hutter 2017), after a linear warm-up.
 *
 * @example
 * const schedule = cosine({ steps: 100 });
 * [schedule(0), schedule(50), schedule(100)]; // [1, 0.5, 0]
 *
 * @throws ArgumentError for numbers outside their domain.
 */
export function cosine(options: CosineOptions): Schedule {
  const { steps = 0, min = 0, warmup = 0 } = checkOptions("cosine", options, cosineOptions);
  if (!(steps > 0)) throw new ArgumentError(`steps are at least 1, got ${steps}`, { op: "cosine" });
  return (step) => {
    if (step < warmup) return (step + 1) / warmup;
    const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
    return min + (1 - min) * 0.5 * (1 + Math.cos(Math.PI * progress));
  };
}

/** Options of `stepDecay`. */
export interface StepDecayOptions {
  /** Steps between two reductions. */
  readonly every: number;
  /** Multiplies the learning rate. Default 0.1. */
  readonly factor?: number;
}

const stepDecayOptions: Kinds<StepDecayOptions> = { every: aNumber, factor: aNumber };

/**
 * Multiplies the learning rate by `factor` after every `every` steps.
 *
 * @example
 * const schedule = stepDecay({ every: 30 });
 * [schedule(29), schedule(30), schedule(60)]; // [1, 0.1, 0.01]
 *
 * @throws ArgumentError for numbers outside their domain.
 */
export function stepDecay(options: StepDecayOptions): Schedule {
  const { every = 0, factor = 0.1 } = checkOptions("stepDecay", options, stepDecayOptions);
  if (!(every > 0))
    throw new ArgumentError(`every is a number of steps above 0, got ${every}`, { op: "stepDecay" });
  return (step) => factor ** Math.floor(step / every);
}

/** The part of an optimizer that an `LRScheduler` uses: groups with a learning rate. */
export interface Schedulable {
  readonly groups: readonly { readonly settings: { lr: number }; readonly parameters?: readonly Tensor[] }[];
}

const anOptimizer: Kind = [
  "an optimizer",
  (value) => Array.isArray((value as Partial<Schedulable> | undefined | null)?.groups),
];

/** The state of a scheduler as plain data, for checkpoints. */
export interface SchedulerState {
  /** Steps made so far. */
  readonly step: number;
  /** Learning rate of each group at factor 1, multiplied by the factors of other schedulers. */
  readonly base: readonly number[];
}

/** The learning rate of a group without schedules, and the factor of each scheduler that it has. */
interface Scheduled {
  base: number;
  readonly factors: Map<LRScheduler, number>;
  /** The rate last set by schedulers; any other value was set by the user. */
  lr: number;
}

const scheduled = new WeakMap<object, Scheduled>();

/**
 * Multiplies the learning rate of each group of an optimizer by a scheduled factor; call `step()` once after each optimizer step.
 * Nothing is recompiled. The factors of several schedulers of one optimizer multiply. A rate that is set by hand holds until the
 * next `step()`.
 *
 * @example
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 0.5 });
 * const scheduler = new LRScheduler(optimizer, stepDecay({ every: 1 }));
 * optimizer.step();
 * scheduler.step();
 * optimizer.lr; // 0.05
 */
export class LRScheduler extends Inspectable implements SnapshotParticipant {
  readonly #optimizer: Schedulable;
  readonly #schedule: Schedule;
  #step = 0;

  constructor(optimizer: Schedulable, schedule: Schedule) {
    super();
    check("LRScheduler", "the optimizer", optimizer, anOptimizer);
    check("LRScheduler", "the schedule", schedule, aFunction);
    this.#optimizer = optimizer;
    this.#schedule = schedule;
    for (const { settings } of optimizer.groups) {
      if (scheduled.get(settings)?.lr === settings.lr) continue;
      scheduled.set(settings, { base: settings.lr, factors: new Map(), lr: settings.lr });
    }
    this.#apply();
    const parameters = optimizer.groups.flatMap((group) => group.parameters ?? []);
    for (const { recovery } of new Set(parameters.map(({ device }) => device))) {
      if (recovery !== undefined) registerWeakly(recovery, this);
    }
  }

  override toString(): string {
    return `LRScheduler at step ${this.#step}: lr ${this.#optimizer.groups.map(({ settings }) => settings.lr).join(", ")}`;
  }

  /** @throws ArgumentError if the schedule does not return a number. */
  step(): void {
    const advance = (steps: number) => {
      this.#step += steps;
      this.#apply();
    };
    advance(1);
    onReplay(
      () => advance(1),
      () => advance(-1),
    );
    onUndo(() => advance(-1));
  }

  /** Takes its factor back, for when the schedule has ended. */
  restore(): void {
    this.#set(undefined);
  }

  /** The state for `setState`. */
  state(): SchedulerState {
    const base = this.#optimizer.groups.map(({ settings }) => {
      const { base: own, factors } = scheduled.get(settings)!;
      return own * this.#ofOthers(factors);
    });
    return { step: this.#step, base };
  }

  /** Saves the state with a device's snapshot. */
  save(): () => void {
    const state = this.state();
    return () => this.setState(state);
  }

  /** @throws ArgumentError if the state is of an optimizer with another number of groups. */
  setState(state: SchedulerState): void {
    const { step, base } = check("LRScheduler", "the state", state, anObject);
    checkAll("LRScheduler", { step }, aCount);
    check("LRScheduler", "base", base, anArray);
    const { groups } = this.#optimizer;
    if (base.length !== groups.length) {
      throw new ArgumentError(`the state has ${base.length} groups, the optimizer ${groups.length}`, {
        op: "LRScheduler",
      });
    }
    this.#step = step;
    groups.forEach(({ settings }, i) => {
      const record = scheduled.get(settings)!;
      const others = this.#ofOthers(record.factors);
      if (others !== 0) record.base = base[i] / others;
    });
    this.#apply();
  }

  #apply(): void {
    const factor = this.#schedule(this.#step);
    if (!Number.isFinite(factor)) {
      throw new ArgumentError(`the schedule gives ${String(factor)} for step ${this.#step}`, {
        op: "LRScheduler",
      });
    }
    this.#set(factor);
  }

  #set(factor: number | undefined): void {
    for (const { settings } of this.#optimizer.groups) {
      const record = scheduled.get(settings)!;
      if (factor === undefined) record.factors.delete(this);
      else record.factors.set(this, factor);
      record.lr = record.base;
      for (const each of record.factors.values()) record.lr *= each;
      settings.lr = record.lr;
    }
  }

  /** The product of the other schedulers' factors. */
  #ofOthers(factors: ReadonlyMap<LRScheduler, number>): number {
    let product = 1;
    for (const [scheduler, factor] of factors) if (scheduler !== this) product *= factor;
    return product;
  }
}
