/** What a device computed for a case against the float64 reference: value, gradients, shapes and dtype. */
import { type Case, leafShape } from "./cases/case.js";
import type { Evaluated } from "./evaluate.js";
import { expectClose, tolerance } from "./tolerance.js";

/**
 * Throws an Error that names the first difference. `precision` is that of `got`: `"exact"` for results that must be
 * the reference's own, `"rounded"` for float32 arithmetic.
 */
export function compare(entry: Case, got: Evaluated, want: Evaluated, precision: "exact" | "rounded"): void {
  requireEqual("shape", `[${got.shape.join(", ")}]`, `[${want.shape.join(", ")}]`);
  requireEqual("dtype", got.dtype, want.dtype);
  requireEqual(
    "elements of the value",
    got.output.length,
    want.shape.reduce((n, extent) => n * extent, 1),
  );
  const isRounded = precision === "rounded";
  const isFloat = got.dtype === "float32";
  expectClose("value", got.output, want.output, {
    absolute: isFloat && isRounded ? tolerance(want.output, entry) : 0,
    signedZero: entry.signedZero,
    rounded: isFloat && isRounded,
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
      absolute: isRounded ? tolerance(right.values, entry) : 0,
      rounded: isRounded,
    });
  });
}

function requireEqual(what: string, got: string | number, want: string | number): void {
  if (got !== want) throw new Error(`${what}: ${got}, expected ${want}`);
}
