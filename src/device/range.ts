/** Which elements of a buffer `Device.write` and `Device.read` concern, checked. */
import { ArgumentError } from "../core/errors.js";
import type { BufferRange } from "./device.js";

/**
 * The first element of a range and the one behind its last; the whole buffer without a range.
 *
 * @param given how many elements the caller has for it, for `write`.
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
  if (!(offset >= 0 && offset <= end && end <= size && Number.isInteger(offset) && Number.isInteger(end))) {
    throw new ArgumentError(`elements ${offset} to ${end} of a buffer of ${size}`, { op });
  }
  if (end - offset !== (given ?? end - offset)) {
    throw new ArgumentError(`a buffer of ${end - offset} elements was given ${given}`, { op });
  }
  return [offset, end];
}
