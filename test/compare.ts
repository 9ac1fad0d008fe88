/** Compares the result of a device for a case with the float64 reference: value, gradients, shapes and dtype. */
import { type Case, leafShape } from "./cases/case.js";
import type { Evaluated } from "./evaluate.js";
import { expectClose, type Rounding, tolerance } from "./tolerance.js";

/**
 * Throws an Error that names the first difference. `rounding` is that of the device's float32 arithmetic. Integers may
 * differ by `steps`.
 */
export function compare(entry: Case, got: Evaluated, want: Evaluated, rounding: Rounding, steps = 0): void {
  requireEqual("shape", `[${got.shape.join(", ")}]`, `[${want.shape.join(", ")}]`);
  requireEqual("dtype", got.dtype, want.dtype);
  requireEqual(
    "elements of the value",
    got.output.length,
    want.shape.reduce((n, extent) => n * extent, 1),
  );
  const rounded = got.dtype === "float32" && rounding;
  const isExact = rounded === "float16" && isPicked(want);
  const allowed = isExact ? 0 : rounded ? tolerance(want.output, entry, rounded) : steps;
  expectClose("value", got.output, want.output, {
    absolute: allowed,
    signedZero: entry.signedZero,
    rounded,
  });
  got.gradients.forEach((gradient, k) => {
    const right = want.gradients[k];
    if (gradient === undefined || right === undefined) return;
    requireEqual(
      `shape of gradient ${k}`,
      `[${gradient.shape.join(", ")}]`,
      `[${leafShape(entry.inputs[k]).join(", ")}]`,
    );
    expectClose(`gradient ${k}`, gradient.values, right.values, {
      absolute: tolerance(right.values, entry, rounding),
      rounded: rounding,
    });
  });
}

/** Whether all values are those of inputs, or 0 around them: nothing is rounded where values are only moved and chosen. */
function isPicked({ output, inputs }: Evaluated): boolean {
  const known = new Set([0, ...inputs.flatMap((values) => Array.from(values))]);
  return output.every((value) => known.has(value));
}

function requireEqual(what: string, got: string | number, want: string | number): void {
  if (got !== want) throw new Error(`${what}: ${got}, expected ${want}`);
}
