/** The plain data of a checkpoint: values are restored exactly, and any invalid value is an error that names its field. */
import { describe, expect, test } from "vitest";
import { FormatError } from "../../src/core/errors.js";
import { parseState, stringifyState } from "../../src/train/checkpoint_state.js";

const energy = {
  joules: 3.5,
  kind: "modelled",
  method: "m",
  scope: "s",
  seconds: 2,
  idleSubtracted: false,
  parts: [{ joules: null, kind: "assumed", method: "m", scope: "s", seconds: 1, idleSubtracted: true }],
};
const scores = { loss: 0.25, metrics: { accuracy: 0.5, other: Number.NaN } };
const state = {
  progress: {
    epoch: 2,
    steps: 7,
    seconds: 1.5,
    epochSeconds: 0,
    sum: { loss: 3, metrics: [Number.POSITIVE_INFINITY, Number.NaN], samples: 12 },
    learningRate: 0.1,
    metricNames: ["accuracy", "other"],
    history: [
      {
        epoch: 1,
        step: 5,
        samples: 64,
        ...scores,
        validation: scores,
        learningRate: 0.1,
        seconds: 1,
        energy,
      },
    ],
    energy: { total: energy, epoch: null },
  },
  optimizer: { lr: [0.1], steps: [7, 7] },
  scheduler: { step: 7, base: [0.1] },
  loader: { epoch: 1, position: 2, seed: 3 },
  generators: [{ seed: 1, offset: 9 }],
};

const read = (value: unknown) => parseState(JSON.parse(stringifyState(value)));

test("everything comes back, NaN and infinity included, in its order", () => {
  expect(read(state)).toEqual(state);
  expect(stringifyState(read(state))).toBe(stringifyState(state));
});

/** `state` with one member replaced. */
function replaced(path: string, by: unknown): unknown {
  // Without values that two members share.
  const copy = JSON.parse(stringifyState(state));
  const keys = path.split(".");
  let at = copy;
  for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>;
  at[keys.at(-1)!] = by;
  return copy;
}

describe("a field that is something else is named", () => {
  test.each<[string, unknown, RegExp]>([
    ["progress", [], /progress is an object, got a list of 0/],
    ["progress.epoch", -1, /progress\.epoch is a whole number from 0 on, got -1/],
    ["progress.steps", 1.5, /progress\.steps is a whole number/],
    ["progress.steps", 2 ** 53, /progress\.steps is a whole number/],
    ["progress.seconds", undefined, /progress\.seconds is a number from 0 on, got undefined/],
    ["progress.sum.loss", null, /progress\.sum\.loss is a number, got null/],
    ["progress.sum.metrics", [1], /progress\.sum\.metrics is a list of 2, got a list of 1/],
    ["progress.metricNames.1", 3, /progress\.metricNames\.1 is a string, got 3/],
    ["progress.history.0.metrics", { accuracy: 1 }, /history\.0\.metrics is of accuracy, other, got/],
    ["progress.history.0.validation.loss", {}, /history\.0\.validation\.loss is a number, got an object/],
    ["progress.history.0.energy.kind", "x", /history\.0\.energy\.kind is measured, modelled or assumed/],
    ["progress.energy.total.parts.0.seconds", -1, /energy\.total\.parts\.0\.seconds is a number from 0 on/],
    ["optimizer.lr.0", "fast", /optimizer\.lr\.0 is a number from 0 on, got "fast"/],
    ["optimizer.steps", { length: 2 }, /optimizer\.steps is a list/],
    ["scheduler", "x".repeat(500), /scheduler is an object, got "x{77}…"$/],
    ["loader.position", true, /loader\.position is a whole number/],
    ["generators", null, /generators is a list, got null/],
    ["generators.0.offset", "NaN", /generators\.0\.offset is a whole number/],
  ])("%s = %j", (path, value, message) => {
    expect(() => read(replaced(path, value))).toThrow(FormatError);
    expect(() => read(replaced(path, value))).toThrow(message);
  });

  test("no object at all, and one that is nested without end", () => {
    for (const value of [null, 3, [], "x"]) expect(() => parseState(value)).toThrow(/its state is an object/);
    let nested: unknown = energy;
    for (let i = 0; i < 5000; i++) nested = { ...energy, parts: [nested] };
    expect(() => parseState(replaced("progress.energy.total", nested))).toThrow(FormatError);
  });

  test("members of prototypes count for nothing", () => {
    const text = stringifyState(state).replace('"epoch":2,', '"__proto__":{"epoch":2},');
    expect(() => parseState(JSON.parse(text))).toThrow(/progress\.epoch is .* got undefined/);
  });
});
