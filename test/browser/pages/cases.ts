/** In a page: runs cases, a batch per call, since a round trip to the browser costs more than most cases. */
import type { TypedArray } from "../../../src/core/dtype.js";
import { themes } from "../../cases/index.js";
import { compare } from "../../compare.js";
import { type Evaluated, evaluate } from "../../evaluate.js";
import { type Rounding, toHalf } from "../../tolerance.js";
import { type DeviceLabel, open, reference } from "./devices.js";

export interface Outcome {
  readonly name: string;
  /** What is wrong; nothing if the case passed. */
  readonly error?: string;
}

/** Whose gradients are compared: every case's, or the first case's of each op. */
export type Gradients = "all" | "first";

/** Milliseconds after which a case counts as hung. */
const longest = 60_000;

let known:
  | {
      readonly theme: string;
      readonly rounding: Rounding;
      readonly gradients: Gradients;
      readonly results: Map<string, Evaluated>;
    }
  | undefined;

/** What the inputs are for both sides: halves, where the device would round them. */
const given = {
  float32: (values: TypedArray) => values,
  float16: (values: TypedArray) => Float32Array.from(values, toHalf),
};

/**
 * Cases whose int8 values are one step off where 127 / largest is rounded to a half, between the kernel that finds the largest
 * value of a row and the one that multiplies by the quotient: their products lie that near to the middle of two steps.
 */
const oneStepOff: readonly string[] = [
  "quantizeDynamic rows of 8",
  "quantizeDynamic transposed",
  "quantizeDynamic flipped",
];

/** The cases of a theme from number `from` on: as many as fit into `milliseconds`, at least one. */
export async function runCases(
  label: DeviceLabel,
  theme: string,
  from: number,
  milliseconds: number,
  gradients: Gradients,
): Promise<Outcome[]> {
  const { device, failure } = await open(label);
  const rounding = device.info.details.storage === "rgba16f" ? "float16" : "float32";
  const suffices = known?.gradients === "all" || known?.gradients === gradients;
  if (known?.theme !== theme || known.rounding !== rounding || !suffices) {
    known = { theme, rounding, gradients, results: new Map() };
  }
  const { results } = known;
  const end = performance.now() + milliseconds;
  const outcomes: Outcome[] = [];
  for (const entry of themes[theme].slice(from)) {
    const isFirst = themes[theme].find(({ op }) => op === entry.op) === entry;
    const options = { given: given[rounding], gradients: gradients === "all" || isFirst };
    try {
      let want = results.get(entry.name);
      if (want === undefined) {
        want = await evaluate(entry, reference, options);
        results.set(entry.name, want);
      }
      const got = await withinTime(evaluate(entry, device, { gradients: options.gradients }));
      const error = failure();
      if (error !== undefined) throw new Error(error);
      const steps = rounding === "float16" && oneStepOff.includes(entry.name) ? 1 : 0;
      compare(entry, got, want, rounding, steps);
      outcomes.push({ name: entry.name });
    } catch (error) {
      outcomes.push({ name: entry.name, error: describe(error) });
    }
    if (performance.now() >= end) break;
  }
  return outcomes;
}

async function withinTime<T>(result: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result after ${longest} ms`)), longest);
  });
  return Promise.race([result, timeout]).finally(() => clearTimeout(timer));
}

/** Differences say it all; of other errors, one wants to know where they come from. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.constructor === Error) return error.message;
  return `${error.name}: ${error.message}\n${error.stack?.split("\n").slice(0, 8).join("\n")}`;
}
