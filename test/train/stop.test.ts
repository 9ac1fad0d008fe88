/** Stop conditions and metrics in isolation. */
import { describe, expect, test } from "vitest";
import { ArgumentError } from "../../src/core/errors.js";
import { openReference } from "../../src/device/reference/reference.js";
import { tensor } from "../../src/ops/index.js";
import { readTensor } from "../../src/runtime/host_data.js";
import { accuracy, type FitState, lossReached, patience, timeLimit } from "../../src/train/index.js";

function stateAfter(losses: readonly number[], overrides: Partial<FitState> = {}): FitState {
  const history = losses.map((loss, i) => ({
    epoch: i + 1,
    step: i + 1,
    samples: 1,
    loss,
    metrics: { accuracy: 1 - loss },
    learningRate: 1,
    seconds: 1,
  }));
  return { epoch: 1, step: 1, samples: 1, seconds: 1, epochEnded: true, history, ...overrides };
}

describe("stop conditions", () => {
  test.each([
    ["no epoch yet", [], false],
    ["above", [0.6], false],
    ["below", [0.6, 0.5], true],
  ])("lossReached(0.5): %s", (_, losses, stops) => {
    expect(lossReached(0.5)(stateAfter(losses)) !== undefined).toBe(stops);
  });

  test.each([
    ["still improving", [0.9, 0.8, 0.7], false],
    ["one bad epoch", [0.9, 0.8, 0.85], false],
    ["two bad epochs", [0.9, 0.8, 0.85, 0.81], true],
    ["improvements below minDelta", [0.9, 0.895, 0.892], true],
  ])("patience of 2 epochs, minDelta 0.01: %s", (_, losses, stops) => {
    for (const metric of ["loss", "accuracy"]) {
      const condition = patience({ metric, epochs: 2, minDelta: 0.01 });
      expect(condition(stateAfter(losses)) !== undefined).toBe(stops);
      expect(condition(stateAfter(losses, { epochEnded: false }))).toBeUndefined();
    }
  });

  test("timeLimit", () => {
    expect(timeLimit(2)(stateAfter([], { seconds: 1.9 }))).toBeUndefined();
    expect(timeLimit(2)(stateAfter([], { seconds: 2 }))).toContain("2 s");
  });

  test("arguments outside their domain are refused", () => {
    expect(() => lossReached(Number.NaN)).toThrow(ArgumentError);
    expect(() => timeLimit(-1)).toThrow(ArgumentError);
    expect(() => patience({ epochs: 0 })).toThrow(ArgumentError);
    expect(() => patience({ metric: "f1", epochs: 1 })(stateAfter([1]))).toThrow(/no metric "f1"/);
  });
});

test("accuracy counts correct rows", async () => {
  const device = openReference();
  const output = tensor(
    [
      [1, 3, 2],
      [5, 3, 2],
      [0, 0, 1],
    ],
    { device },
  );
  const target = tensor(Int32Array.of(1, 2, 2), { device });
  expect(Array.from(await readTensor(accuracy(output, target)))).toEqual([2]);
});
