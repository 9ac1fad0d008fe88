/** Pads sequences of any length to a few lengths, because each length needs a separate Program, which takes time to compile. */

import { aNumber, anArray, check, checkOptions, type Kind, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { HostTensor } from "../formats/host.js";

/** Lengths are multiples of this: kernels process eight columns at a time. */
const multiple = 8;
/** Minimum ratio of consecutive lengths; on average a tenth of a batch is padding. */
const growth = 1.25;

/**
 * Lengths to pad to: 8, 16, 24, 32, 40, 56, 72, … up to the first that is at least `longest`; 19 lengths for 1024.
 *
 * @throws ArgumentError if `longest` is not a positive integer.
 * @example
 * bucketLengths(50); // [8, 16, 24, 32, 40, 56]
 */
export function bucketLengths(longest: number): number[] {
  if (!Number.isSafeInteger(longest) || longest < 1) {
    throw new ArgumentError(`longest is a positive integer, got ${longest}`, { op: "bucketLengths" });
  }
  const lengths = [multiple];
  for (let last = multiple; last < longest; lengths.push(last)) {
    last = Math.max(last + multiple, Math.ceil((last * growth) / multiple) * multiple);
  }
  return lengths;
}

/** Options of `padSequences`. */
export interface PaddingOptions {
  /** Lengths to choose from; by default those of `bucketLengths`. */
  readonly lengths?: readonly number[];
  /** Token of the padded positions. Default 0; for targets use −100, the `ignoreIndex` of `crossEntropy`. */
  readonly value?: number;
}

const paddingOptions: Kinds<PaddingOptions> = { lengths: anArray, value: aNumber };

const lists: Kind = [
  "an array of lists of numbers",
  (value) => Array.isArray(value) && value.every((list) => Array.isArray(list) || ArrayBuffer.isView(list)),
];

/** A batch of sequences padded to one length. */
export interface PaddedSequences {
  /** int32 [N, L]. */
  readonly tokens: HostTensor;
  /** bool [N, L], true at padded positions: the `keyPaddingMask` of `MultiheadAttention`. */
  readonly padding: HostTensor;
}

/**
 * Pads sequences of integers at their ends to the smallest of a few lengths that holds the longest of them. A loop over sequences of
 * any length then compiles a few Programs instead of one for each length.
 *
 * @throws ArgumentError if there are no sequences, or one is longer than the largest of `lengths`.
 * @example
 * const { tokens, padding } = padSequences([[5, 6, 7], [8]], { lengths: [4] });
 * tokens.data; // [5, 6, 7, 0, 8, 0, 0, 0]
 * padding.data; // [0, 0, 0, 1, 0, 1, 1, 1]
 */
export function padSequences(
  sequences: readonly ArrayLike<number>[],
  options?: PaddingOptions,
): PaddedSequences {
  const op = "padSequences";
  const { lengths, value = 0 } = checkOptions(op, options, paddingOptions);
  check(op, "the sequences", sequences, lists);
  if (sequences.length === 0) throw new ArgumentError("there are no sequences", { op });
  let longest = 1;
  for (const { length } of sequences) longest = Math.max(longest, length);
  const fitting = (lengths ?? bucketLengths(longest)).filter((length) => length >= longest);
  if (fitting.length === 0) {
    throw new ArgumentError(`a sequence has ${longest} elements, more than each of ${lengths}`, {
      op,
      hint: "cut it, or add a length",
    });
  }
  const length = Math.min(...fitting);
  const shape = [sequences.length, length];
  const tokens = new Int32Array(sequences.length * length).fill(value);
  const padding = new Uint8Array(tokens.length).fill(1);
  sequences.forEach((sequence, row) => {
    tokens.set(sequence, row * length);
    padding.fill(0, row * length, row * length + sequence.length);
  });
  return {
    tokens: { dtype: "int32", shape, data: tokens },
    padding: { dtype: "bool", shape, data: padding },
  };
}
