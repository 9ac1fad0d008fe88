/** Learning-rate schedules: functions from the step number (from 0) to a factor of the base learning rate. */
import { ArgumentError } from "../tensor/errors.js";

export type Schedule = (step: number) => number;

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

/** Sets an optimizer's learning rate from a schedule; call `step()` once after each optimizer step. */
export class LRScheduler {
  readonly #optimizer: { lr: number };
  readonly #schedule: Schedule;
  readonly #base: number;
  #step = 0;

  constructor(optimizer: { lr: number }, schedule: Schedule) {
    this.#optimizer = optimizer;
    this.#schedule = schedule;
    this.#base = optimizer.lr;
    this.#apply();
  }

  step(): void {
    this.#step++;
    this.#apply();
  }

  /** What `setState` needs to go on from here. */
  state(): { readonly step: number } {
    return { step: this.#step };
  }

  setState({ step }: { readonly step: number }): void {
    this.#step = step;
    this.#apply();
  }

  #apply(): void {
    this.#optimizer.lr = this.#base * this.#schedule(this.#step);
  }
}
