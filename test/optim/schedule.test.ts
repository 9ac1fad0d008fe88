/** Learning-rate schedules as functions of the step. */
import { describe, expect, it } from "vitest";
import { ArgumentError } from "../../src/core/errors.js";
import { constant, cosine, linearWarmup, stepDecay } from "../../src/optim/index.js";

const first = (schedule: (step: number) => number, count: number) =>
  Array.from({ length: count }, (_, step) => Number(schedule(step).toFixed(12)));

describe("schedules", () => {
  it("constant", () => expect(first(constant, 3)).toEqual([1, 1, 1]));

  it("linear warm-up starts above 0 and ends at 1", () => {
    expect(first(linearWarmup(4), 6)).toEqual([0.25, 0.5, 0.75, 1, 1, 1]);
    expect(first(linearWarmup(0), 2)).toEqual([1, 1]);
  });

  it("cosine falls from 1 to min and stays there", () => {
    expect(first(cosine({ steps: 4 }), 6)).toEqual(
      [0, 1, 2, 3, 4, 4].map((step) => Number((0.5 * (1 + Math.cos((Math.PI * step) / 4))).toFixed(12))),
    );
    expect(cosine({ steps: 4, min: 0.1 })(9)).toBeCloseTo(0.1, 12);
    expect(first(cosine({ steps: 6, warmup: 2 }), 3)).toEqual([0.5, 1, 1]);
    expect(cosine({ steps: 6, warmup: 2 })(4)).toBeCloseTo(0.5, 12);
    expect(() => cosine({ steps: 0 })).toThrow(ArgumentError);
  });

  it("step decay", () => {
    expect(first(stepDecay({ every: 2, factor: 0.5 }), 5)).toEqual([1, 1, 0.5, 0.5, 0.25]);
    expect(first(stepDecay({ every: 1 }), 3)).toEqual([1, 0.1, 0.01]);
  });
});
