/**
 * Random programs of eager ops, jit, steps, reads, mode changes and losses of the device (interleaved.ts): on every device their values
 * equal those of the same program run op by op on the reference device, or a stale lazy tensor throws its typed error.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { realize, setDebugObserver } from "../../src/runtime/realize.js";
import { examples, propertyTimeout } from "../compiler/properties.js";
import { losable } from "../device/losable.js";
import { devices, reference } from "../devices.js";
import { type Action, type Observation, observe, readsHeld } from "./interleaved.js";

/** Twenty steps of float32 training at most; a stale or doubled update is off by more than 1e-2. */
const singleTolerance = 2e-3;
/** Another order of sums in float64. */
const doubleTolerance = 1e-9;

const program: fc.Arbitrary<Action[]> = fc.array(
  fc.record({ kind: fc.nat({ max: 1 << 16 }), pick: fc.nat({ max: 11 }) }),
  { minLength: 1, maxLength: 24, size: "max" },
);

/** Every op at once, no jit: what the program means. */
async function opByOp(actions: readonly Action[]): Promise<Observation[]> {
  setDebugObserver((tensor) => realize([tensor]));
  try {
    return await observe(actions, reference, { jit: false });
  } finally {
    setDebugObserver(undefined);
  }
}

function expectSame(
  actions: readonly Action[],
  label: string,
  got: readonly Observation[],
  want: readonly Observation[],
  tolerance: number,
) {
  want.forEach((expected, i) => {
    const found = got[i];
    // A lazy tensor that was built on a value which has changed since: an error, never another number.
    if (found === "STALE_TENSOR" && i < actions.length && readsHeld(actions[i])) return;
    if (typeof found === "string" || typeof expected === "string") {
      expect(found, `${label}, action ${i}`).toEqual(expected);
      return;
    }
    expect(found.length, `${label}, action ${i}`).toBe(expected.length);
    const scale = Math.max(1, ...expected.map(Math.abs));
    found.forEach((value, k) => {
      const distance = Math.abs(value - expected[k]);
      if (distance <= tolerance * scale) return;
      expect.fail(`${label}, action ${i}, element ${k}: ${value}, expected ${expected[k]}`);
    });
  });
}

const runs: readonly (readonly [string, Device, (() => Promise<void>) | undefined])[] = [
  ...devices.map(({ label, device }) => [label, device, undefined] as const),
  ["a device that is lost", ...lossy()],
];

function lossy(): readonly [Device, () => Promise<void>] {
  const device = losable(openReference());
  const lose = async () => {
    await device.recovery.snapshot();
    device.lose();
    await device.recovery.restore();
  };
  return [device, lose];
}

for (const [label, device, lose] of runs) {
  test(
    `interleaved programs on ${label} show what they mean`,
    async () => {
      const tolerance = label.startsWith("wasm") ? singleTolerance : doubleTolerance;
      await fc.assert(
        fc.asyncProperty(program, async (actions) => {
          const want = await opByOp(actions);
          expectSame(
            actions,
            `${label}, jit`,
            await observe(actions, device, { jit: true, lose }),
            want,
            tolerance,
          );
          expectSame(
            actions,
            `${label}, eager`,
            await observe(actions, device, { jit: false, lose }),
            want,
            tolerance,
          );
        }),
        examples(40),
      );
    },
    propertyTimeout,
  );
}
