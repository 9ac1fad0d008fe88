/** The plain data of a checkpoint of `fit`, read back field by field: JSON is believed only as far as it has been checked. */

import { FormatError } from "../core/errors.js";
import type { LoaderState } from "../data/index.js";
import type { EnergyFigure } from "../energy/figure.js";
import { excerpt } from "../formats/excerpt.js";
import type { GeneratorState } from "../ops/index.js";
import type { OptimizerState, SchedulerState } from "../optim/index.js";
import type { EnergyState } from "./energy.js";
import type { EpochRecord, Scores } from "./history.js";

/** fit's own counters. */
export interface Progress {
  readonly epoch: number;
  readonly steps: number;
  readonly seconds: number;
  readonly epochSeconds: number;
  readonly sum: { readonly loss: number; readonly metrics: readonly number[]; readonly samples: number };
  readonly learningRate: number;
  readonly metricNames: readonly string[];
  readonly history: readonly EpochRecord[];
  /** If there was a meter. */
  readonly energy?: EnergyState;
}

export interface TrainingState {
  readonly progress: Progress;
  readonly optimizer: OptimizerState["numbers"];
  readonly scheduler: SchedulerState | null;
  readonly loader: LoaderState;
  readonly generators: readonly GeneratorState[];
}

/** JSON has no NaN and no infinity, which a metric may be: they are written as strings. */
export function stringifyState(state: unknown): string {
  return JSON.stringify(state, (_, value) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  );
}

/** @throws FormatError naming the first field that `stringifyState` cannot have written. */
export function parseState(value: unknown): TrainingState {
  const state = trainingState(value, "");
  const { metricNames, sum, history } = state.progress;
  const scores = history.flatMap((record, i): [string, Scores][] => [
    [`progress.history.${i}`, record],
    ...(record.validation
      ? [[`progress.history.${i}.validation`, record.validation] as [string, Scores]]
      : []),
  ]);
  if (sum.metrics.length !== metricNames.length) {
    throw wrong("progress.sum.metrics", `a list of ${metricNames.length}`, sum.metrics);
  }
  for (const [path, { metrics }] of scores) {
    if (Object.keys(metrics).join() !== metricNames.join()) {
      throw wrong(`${path}.metrics`, `of ${metricNames.join(", ") || "nothing"}`, metrics);
    }
  }
  return state;
}

/** Returns a copy built from the checked fields only. `path` locates the value in messages. */
type Check<T> = (value: unknown, path: string) => T;

/** Sums of sums of energy do not nest deeper. */
const maxParts = 4;

function wrong(path: string, expected: string, value: unknown): FormatError {
  return new FormatError(`${path || "its state"} is ${expected}, got ${excerpt(value)}`, {
    op: "checkpoint",
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function checked<T>(expected: string, test: (value: unknown) => boolean): Check<T> {
  return (value, path) => {
    if (!test(value)) throw wrong(path, expected, value);
    return value as T;
  };
}

const text = checked<string>("a string", (value) => typeof value === "string");
const flag = checked<boolean>("true or false", (value) => typeof value === "boolean");
const count = checked<number>(
  "a whole number from 0 on",
  (value) => Number.isSafeInteger(value) && !((value as number) < 0),
);
const amount = checked<number>(
  "a number from 0 on",
  (value) => Number.isFinite(value) && !((value as number) < 0),
);
const kind = checked<EnergyFigure["kind"]>("measured, modelled or assumed", (value) =>
  ["measured", "modelled", "assumed"].includes(value as string),
);

const number: Check<number> = (value, path) => {
  if (["NaN", "Infinity", "-Infinity"].includes(value as string)) return Number(value);
  if (!Number.isFinite(value)) throw wrong(path, "a number", value);
  return value as number;
};

function list<T>(item: Check<T>): Check<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw wrong(path, "a list", value);
    return value.map((each, i) => item(each, `${path}.${i}`));
  };
}

/** Own members of any names. */
const numbers: Check<Record<string, number>> = (value, path) => {
  if (!isRecord(value)) throw wrong(path, "an object", value);
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, number(each, `${path}.${key}`)]),
  );
};

type Fields<T> = { readonly [K in keyof T]-?: Check<T[K]> };

/** Members beside `fields` are dropped. */
function object<T extends object>(fields: Fields<T>): Check<T> {
  return (value, path) => {
    if (!isRecord(value)) throw wrong(path, "an object", value);
    const members: Record<string, unknown> = {};
    // In the order in which they were written, so that they are written in it again.
    for (const key of new Set([...Object.keys(value), ...Object.keys(fields)])) {
      if (!Object.hasOwn(fields, key)) continue;
      const member = Object.hasOwn(value, key) ? value[key] : undefined;
      const found = fields[key as keyof T](member, path === "" ? key : `${path}.${key}`);
      if (found !== undefined) members[key] = found;
    }
    return members as T;
  };
}

function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value, path) => (value === undefined ? undefined : check(value, path));
}

function orNull<T>(check: Check<T>): Check<T | null> {
  return (value, path) => (value === null ? null : check(value, path));
}

const energyFigure: Check<EnergyFigure> = (value, path) => {
  if (path.split(".parts.").length > maxParts) throw wrong(path, "without parts", value);
  return energyFields(value, path);
};

const energyFields = object<EnergyFigure>({
  joules: orNull(amount),
  kind,
  method: text,
  scope: text,
  seconds: amount,
  idleSubtracted: flag,
  reason: optional(text),
  parts: optional(list(energyFigure)),
});

const scores = { loss: number, metrics: numbers };

const epochRecord = object<EpochRecord>({
  ...scores,
  epoch: count,
  step: count,
  samples: count,
  validation: optional(object<Scores>(scores)),
  learningRate: number,
  seconds: amount,
  energy: optional(energyFigure),
});

const trainingState = object<TrainingState>({
  progress: object<Progress>({
    epoch: count,
    steps: count,
    seconds: amount,
    epochSeconds: amount,
    sum: object<Progress["sum"]>({ loss: number, metrics: list(number), samples: count }),
    learningRate: number,
    metricNames: list(text),
    history: list(epochRecord),
    energy: optional(object<EnergyState>({ total: energyFigure, epoch: orNull(energyFigure) })),
  }),
  optimizer: object<OptimizerState["numbers"]>({ lr: list(amount), steps: list(count) }),
  scheduler: orNull(object<SchedulerState>({ step: count, base: list(amount) })),
  loader: object<LoaderState>({ epoch: count, position: count, seed: count }),
  generators: list(object<GeneratorState>({ seed: count, offset: count })),
});
