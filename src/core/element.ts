/** Host numbers as elements of a tensor: one rule for all functions that take them. */
import { aNumber, describe, wrong } from "./check.js";
import { type DType, isFloat } from "./dtype.js";
import { ArgumentError } from "./errors.js";

const bounds = { int32: [-(2 ** 31), 2 ** 31 - 1], int8: [-128, 127], uint8: [0, 255] } as const;

/**
 * `value` as an element of `dtype`: floats take every number (halves round it where it is stored), bool is `!= 0` (so NaN is true), and integers cut a fraction off
 * towards zero, as in PyTorch.
 * @throws ArgumentError for what is neither a number nor a boolean, and for what lies outside the range of an integer dtype.
 */
export function elementOf(op: string, value: unknown, dtype: DType): number {
  if (typeof value !== "number" && typeof value !== "boolean") throw wrong(op, "an element", value, aNumber);
  if (isFloat(dtype)) return Number(value);
  if (dtype === "bool") return Number(value !== false && value !== 0);
  const whole = Math.trunc(Number(value)) + 0;
  const [least, most] = bounds[dtype];
  if (whole >= least && whole <= most) return whole;
  throw new ArgumentError(`${describe(value)} does not fit ${dtype}, which holds ${least} to ${most}`, {
    op,
  });
}
