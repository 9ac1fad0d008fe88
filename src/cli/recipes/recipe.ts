/** What the recipes of `wattgrad recipe` share. */
import type { Device } from "../../device/device.js";
import type { Callback } from "../../train/index.js";

/** What a recipe is run with. */
export interface RecipeContext {
  readonly device: Device;
  readonly seed: number;
  /** The text of `--data`. */
  readonly text: string;
  /** Optimizer steps; a recipe has its own default. */
  readonly steps: number | undefined;
  /** A model of `--model`, and where its adapter is written. */
  readonly model: string | undefined;
  readonly output: string | undefined;
  readonly signal: AbortSignal;
  readonly report: (line: string) => void;
}

/** What a recipe reached, as `--json` writes it. */
export interface RecipeResult {
  readonly figures: Readonly<Record<string, number>>;
  /** The figure that was promised before the run, and whether it was reached; undefined where nothing is promised. */
  readonly promise?: RecipePromise;
  readonly seconds: number;
  /** A sample of what it has learnt. */
  readonly sample?: string;
}

/** A figure and the bound that it was to keep, for the default steps. */
export type RecipePromise = { readonly figure: string; readonly isKept: boolean } & (
  | { readonly atMost: number }
  | { readonly atLeast: number }
);

export type Recipe = (context: RecipeContext) => Promise<RecipeResult>;

/** Steps between lines of progress. */
const everySteps = 50;

/** Tells the mean loss of the last steps now and then. */
export function progressOf({ report }: RecipeContext, steps: number): Callback {
  const start = performance.now();
  let sum = 0;
  let count = 0;
  return {
    onStep({ step, loss }) {
      sum += loss;
      count++;
      if (step % everySteps !== 0 && step !== steps) return;
      const seconds = (performance.now() - start) / 1000;
      report(`step ${step} of ${steps}, loss ${(sum / count).toFixed(3)}, ${seconds.toFixed(0)} s`);
      [sum, count] = [0, 0];
    },
  };
}
