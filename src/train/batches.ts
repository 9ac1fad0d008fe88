/** The sources of batches of `fit` and `evaluate`, and the number of samples in a batch. */

import { describe, type Kind } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { LoaderState } from "../data/index.js";
import { tensorsIn } from "../runtime/structure.js";

/**
 * A DataLoader, or any iterable that yields the batches of an epoch. A batch is a tensor, or an array or record of tensors, numbers
 * (rank-0 tensors inside), booleans and strings; the first tensor with dimensions defines the number of samples.
 */
export type Batches<Batch> = AsyncIterable<Batch> | Iterable<Batch>;

/** Batches that can be resumed within an epoch, as a DataLoader can; checkpoints and snapshots need it. */
export interface ResumableBatches {
  /** Batches per epoch. */
  readonly length: number;
  state(): LoaderState;
  /** The position at which the next loop begins. */
  next(): LoaderState;
  setState(state: LoaderState): void;
}

export const aBatches: Kind = [
  "a DataLoader, or an iterable of batches",
  (value) =>
    typeof value === "object" &&
    value !== null &&
    (Symbol.asyncIterator in value || Symbol.iterator in value),
];

/** Undefined for data that cannot go on in the middle of an epoch. */
export function resumable(data: object): ResumableBatches | undefined {
  const { state, next, setState } = data as Partial<ResumableBatches>;
  const isOne = [state, next, setState].every((method) => typeof method === "function");
  return isOne ? (data as ResumableBatches) : undefined;
}

/** Batches per epoch; undefined if they are not known. */
export function lengthOf(data: object): number | undefined {
  const { length } = data as { readonly length?: unknown };
  return typeof length === "number" ? length : undefined;
}

/** @throws ArgumentError for a batch without a tensor that has dimensions. */
export function samplesOf(batch: unknown, op: string): number {
  const tensor = tensorsIn(batch).find(({ rank }) => rank > 0);
  if (tensor !== undefined) return tensor.shape[0];
  throw new ArgumentError(
    `a batch has no tensor with samples along its first dimension: ${describe(batch)}`,
    {
      op,
    },
  );
}
