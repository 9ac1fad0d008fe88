/**
 * The compiler on random programs: with fusion, reordering, shared memory, in-place updates and replays, the values equal those of
 * computing one op after the other on the reference device.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TypedArray } from "../../src/core/dtype.js";
import type { Device } from "../../src/device/device.js";
import { sessionOf } from "../../src/runtime/session.js";
import { devices, reference } from "../devices.js";
import { type Mode, type Trace, trace } from "./follow.js";
import { checkPrograms } from "./program_check.js";
import { examples, propertyTimeout } from "./properties.js";
import { type Recipe, recipe } from "./recipe.js";

for (const { device } of devices) checkPrograms(device);

const steps = 3;

async function unfused(one: Recipe, device: Device, mode: Mode): Promise<Trace> {
  const session = sessionOf(device);
  session.compileOptions = { enabled: false };
  try {
    return await trace(one, device, mode, steps);
  } finally {
    session.compileOptions = { enabled: true };
  }
}

/** Equal but for the sign of zeros, which max(-0, 0) does not define. */
function expectEqual(what: string, got: Trace, expected: Trace, tolerance = 0): void {
  got.forEach((values, step) => {
    expect(values.length, `${what}, step ${step}: number of results`).toBe(expected[step].length);
    for (const [i, result] of values.entries()) {
      expectNear(`${what}, step ${step}, result ${i}`, result, expected[step][i], tolerance);
    }
  });
}

function expectNear(what: string, got: TypedArray, expected: TypedArray, tolerance: number): void {
  expect(got.length, what).toBe(expected.length);
  const scale = Math.max(1, ...Array.from(expected, Math.abs));
  for (let i = 0; i < got.length; i++) {
    if (got[i] === expected[i] || Math.abs(got[i] - expected[i]) <= tolerance * scale) continue;
    expect.fail(`${what}: element ${i} is ${got[i]}, expected ${expected[i]}`);
  }
}

describe("exact programs", () => {
  it(
    "give the values of op after op, however they are compiled",
    async () => {
      await fc.assert(
        fc.asyncProperty(recipe("exact"), async (one) => {
          const expected = await trace(one, reference, "model", steps);
          for (const { label, device } of devices) {
            for (const mode of ["joint", "apart", "jit"] as const) {
              expectEqual(`${label}, ${mode}`, await trace(one, device, mode, steps), expected);
            }
            expectEqual(`${label}, unfused`, await unfused(one, device, "joint"), expected);
          }
        }),
        examples(250),
      );
    },
    propertyTimeout,
  );
});

/** float64 throughout; what the order of a sum changes. */
const doubleTolerance = 1e-9;
/** Some tens of float32 functions after each other, arguments up to 4; far below any wrong element. */
const singleTolerance = 2e-3;

describe("smooth programs with gradients", () => {
  it(
    "give the values of op after op, and replays give the bits of the first run",
    async () => {
      await fc.assert(
        fc.asyncProperty(recipe("smooth"), async (one) => {
          const expected = await trace(one, reference, "model", steps);
          for (const { label, device } of devices) {
            const tolerance = device === reference ? doubleTolerance : singleTolerance;
            const joint = await trace(one, device, "joint", steps);
            expectEqual(`${label}, joint`, joint, expected, tolerance);
            expectEqual(`${label}, apart`, await trace(one, device, "apart", steps), expected, tolerance);
            expectEqual(`${label}, jit against joint`, await trace(one, device, "jit", steps), joint);
            expectEqual(`${label}, unfused`, await unfused(one, device, "joint"), expected, tolerance);
          }
        }),
        examples(60),
      );
    },
    propertyTimeout,
  );
});
