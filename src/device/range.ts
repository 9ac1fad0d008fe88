/** Checks the element ranges of `Device.write` and `Device.read`. */
import { ArgumentError } from "../core/errors.js";
import type { BufferRange } from "./device.js";

/**
 * Begin and end (exclusive) of a range; of the whole buffer without a range.
 *
 * @param given number of elements that `write` is given.
 * @throws ArgumentError naming `op` for a range outside the buffer, or one of another length than `given`.
 */
export function rangeOf(
  op: string,
  size: number,
  range?: BufferRange,
  given?: number,
): readonly [begin: number, end: number] {
  const { offset = 0, length = range && given } = range ?? {};
  const end = length === undefined ? size : offset + length;
  const isInside = offset >= 0 && offset <= end && end <= size && offset % 1 === 0 && end % 1 === 0;
  if (!isInside || (given ?? end - offset) !== end - offset) {
    const what = given === undefined ? "" : `${given} values for `;
    throw new ArgumentError(`${what}elements ${offset} to ${end} of a buffer of ${size}`, { op });
  }
  return [offset, end];
}
