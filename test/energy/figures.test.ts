/** Sums of figures, efficiency, CO2, and the energy of counted operations. */
import { describe, expect, test } from "vitest";
import { ArgumentError } from "../../src/core/errors.js";
import { sumOfIntervals, sumOfSources } from "../../src/energy/figure.js";
import {
  carbon,
  describeEnergy,
  type EnergyFigure,
  efficiency,
  formatJoules,
  horowitz2014,
  operationEnergy,
} from "../../src/energy/index.js";

const measured: EnergyFigure = {
  joules: 90,
  kind: "measured",
  method: "meter",
  scope: "package",
  seconds: 10,
  idleSubtracted: false,
};
const assumed: EnergyFigure = {
  ...measured,
  joules: 10,
  kind: "assumed",
  method: "guess",
  reason: "no meter",
};
const unknown: EnergyFigure = { ...measured, joules: null, reason: "it stopped" };

describe("sums", () => {
  test("of sources are as good as the worst part, and show the parts", () => {
    expect(sumOfSources([measured])).toBe(measured);
    const sum = sumOfSources([measured, assumed]);
    expect(sum).toMatchObject({
      joules: 100,
      kind: "assumed",
      seconds: 10,
      method: "meter + guess",
      reason: "no meter",
    });
    expect(sum.parts).toEqual([measured, assumed]);
    expect(sumOfSources([measured, unknown])).toMatchObject({ joules: null, reason: "it stopped" });
  });

  test("of intervals that follow each other", () => {
    const sum = sumOfIntervals(sumOfIntervals(measured, assumed), assumed);
    expect(sum).toMatchObject({ joules: 110, kind: "assumed", seconds: 30, method: "meter, then guess" });
    expect(sumOfIntervals(unknown, measured).joules).toBeNull();
  });
});

test("efficiency in the usual forms; what is not known is null", () => {
  expect(efficiency(measured, { samples: 180, tokens: 900, flops: 9e9, epochs: 3 })).toEqual({
    samplesPerJoule: 2,
    tokensPerJoule: 10,
    flopsPerJoule: 1e8,
    joulesPerEpoch: 30,
    secondsPerJoule: 10 / 90,
    watts: 9,
    kind: "measured",
  });
  expect(efficiency(measured, { seconds: 9 }).secondsPerJoule).toBeCloseTo(0.1, 12);
  const nothing = efficiency(unknown, { samples: 1, tokens: 1, flops: 1, epochs: 1 });
  const { kind, ...figures } = nothing;
  expect(kind).toBe("measured");
  expect(new Set(Object.values(figures))).toEqual(new Set([null]));
});

test("kilowatt-hours and CO2 with a stated intensity only", () => {
  const intensity = { gramsPerKwh: 57, source: "France 2022", pue: 1.2 };
  const tenKwh = { ...measured, joules: 3.6e7 };
  expect(carbon(tenKwh, intensity)).toEqual({ kwh: 12, gCO2e: 684, intensity, kind: "measured" });
  expect(carbon(unknown, intensity)).toMatchObject({ kwh: null, gCO2e: null });
  for (const wrong of [
    { ...intensity, source: " " },
    { ...intensity, gramsPerKwh: -1 },
    { ...intensity, pue: 0.9 },
  ]) {
    expect(() => carbon(tenKwh, wrong)).toThrow(ArgumentError);
  }
});

test("counted operations with published energies", () => {
  const figure = operationEnergy({ flops: 2e9, bytes: 8e6 }, 1.5);
  expect(figure.joules).toBeCloseTo(1e9 * (0.9e-12 + 3.7e-12) + 1e6 * 1300e-12, 15);
  expect(figure).toMatchObject({ kind: "modelled", seconds: 1.5, idleSubtracted: false });
  expect(figure.method).toContain(horowitz2014.process);
  expect(operationEnergy({ flops: 0, bytes: 0 }, 1)).toMatchObject({
    joules: null,
    reason: "no operation was counted",
  });
  expect(() => operationEnergy({ flops: -1, bytes: 0 }, 1)).toThrow(/flops is a non-negative number/);
});

test.each([
  [0.0123, "0.0123 J"],
  [41.23, "41.2 J"],
  [999.6, "1.00 kJ"],
  [5100, "5.10 kJ"],
  [4.633e12, "4.63 TJ"],
])("%d J as %s", (joules, text) => {
  expect(formatJoules(joules)).toBe(text);
  expect(describeEnergy({ ...measured, joules })).toBe(`${text} (measured)`);
});
