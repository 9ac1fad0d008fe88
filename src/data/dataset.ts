/** Datasets: samples by number, as host arrays. */

import { aDType, check, describe, isPlain, type Kind } from "../core/check.js";
import { newArray } from "../core/dtype.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { inspectable } from "../core/inspect.js";
import { formatShape, sizeOf } from "../core/shape.js";
import type { HostTensor } from "../formats/host.js";

/**
 * A finite collection of samples. Implementations own their memory; a batch is a fresh copy. `Batch` is a host tensor, or a list or
 * record of them, nested to any depth; a DataLoader leaves other values unchanged.
 */
export interface Dataset<Batch = HostTensor[]> {
  /** Number of samples. */
  readonly length: number;
  /**
   * The samples with these numbers, stacked: each array has `indices.length` as its first extent. `epoch` is the
   * loader's, counted from 0, for datasets whose samples differ between epochs; datasets that wrap others pass it on.
   * @throws ArgumentError for a number outside 0..length-1.
   */
  batch(indices: Int32Array, epoch?: number): Batch;
}

/** Argument check of datasets: any object with `length` and `batch`. */
export const aDataset: Kind = [
  "a dataset (length and batch)",
  (value) => typeof (value as Partial<Dataset> | undefined | null)?.batch === "function",
];

/** Values on the host, as parsers return them. */
export const aHostTensor: Kind = [
  "{ dtype, shape, data }",
  (value) => {
    const { dtype, shape, data } = (value ?? {}) as Partial<HostTensor>;
    return aDType[1](dtype) && Array.isArray(shape) && ArrayBuffer.isView(data);
  },
];

/** Host tensors by name, all with the same number of samples. */
export type HostRecord = { readonly [name: string]: HostTensor };

class Samples<Batch> implements Dataset<Batch> {
  readonly length: number;
  readonly #tensors: HostRecord;
  readonly #isRecord: boolean;

  constructor(...tensors: readonly (HostTensor | HostRecord)[]) {
    const op = "TensorDataset";
    const [first] = tensors;
    this.#isRecord = tensors.length === 1 && isPlain(first) && !aHostTensor[1](first);
    this.#tensors = (this.#isRecord ? first : Object.fromEntries(tensors.entries())) as HostRecord;
    const named = Object.entries(this.#tensors);
    for (const [name, tensor] of named) {
      check(op, this.#isRecord ? name : `argument ${Number(name) + 1}`, tensor, aHostTensor);
    }
    if (named.length === 0) throw new ArgumentError("at least one tensor is needed", { op });
    const shapes = named.map(([, { shape }]) => formatShape(shape)).join(", ");
    this.length = named[0][1].shape[0];
    for (const [, { shape, data }] of named) {
      if (shape.length === 0 || shape[0] !== this.length) {
        throw new ShapeError(`the tensors differ in their number of samples: ${shapes}`, { op });
      }
      if (data.length !== sizeOf(shape)) {
        throw new ShapeError(`${data.length} elements for shape ${formatShape(shape)}`, { op });
      }
    }
  }

  toString(): string {
    const parts = Object.entries(this.#tensors).map(
      ([name, { dtype, shape }]) =>
        `${this.#isRecord ? `${name} ` : ""}${dtype} ${formatShape(shape.slice(1))}`,
    );
    return `TensorDataset of ${this.length} samples: ${parts.join(", ")}`;
  }

  static {
    inspectable(Samples.prototype);
  }

  batch(indices: Int32Array): Batch {
    const rows = Object.entries(this.#tensors).map(([name, tensor]) => [name, gatherRows(tensor, indices)]);
    return (this.#isRecord ? Object.fromEntries(rows) : rows.map(([, tensor]) => tensor)) as Batch;
  }
}

/**
 * Samples along the first dimension of one or more tensors: `new TensorDataset(images, labels)` with shapes
 * [N, C, H, W] and [N] gives batches [[B, C, H, W], [B]] in the tensors' own dtypes; `new TensorDataset({ inputIds, labels })`
 * gives records of the same names.
 *
 * @throws ShapeError if a tensor is a scalar, the tensors differ in N, or the length of the data does not match the shape.
 * @example
 * const x = { dtype: "float32", shape: [2, 3], data: new Float32Array(6) } as const;
 * new TensorDataset(x).batch(Int32Array.of(1))[0].shape; // [1, 3]
 * new TensorDataset({ x }).batch(Int32Array.of(1)).x.shape; // [1, 3]
 */
export const TensorDataset = Samples as {
  new (...tensors: readonly HostTensor[]): TensorDataset;
  new <R extends HostRecord>(tensors: R): TensorDataset<{ [Name in keyof R]: HostTensor }>;
};
export type TensorDataset<Batch = HostTensor[]> = Dataset<Batch>;

/** Samples `start` (inclusive) to `stop` (exclusive) of another dataset, which keeps the data. */
class Subset<Batch> implements Dataset<Batch> {
  readonly length: number;
  readonly #dataset: Dataset<Batch>;
  readonly #start: number;

  constructor(dataset: Dataset<Batch>, start: number, stop: number) {
    this.#dataset = dataset;
    this.#start = start;
    this.length = stop - start;
  }

  batch(indices: Int32Array, epoch?: number): Batch {
    checkIndices(indices, this.length);
    return this.#dataset.batch(
      indices.map((index) => index + this.#start),
      epoch,
    );
  }
}

/**
 * The samples `start` to `stop` (exclusive; default the end) of `dataset`, without copying.
 *
 * @throws ArgumentError unless 0 ≤ start ≤ stop ≤ length.
 * @example
 * const dataset = new TensorDataset({ dtype: "float32", shape: [4, 1], data: Float32Array.of(1, 2, 3, 4) });
 * subset(dataset, 3).batch(Int32Array.of(0))[0].data; // [4]
 */
export function subset<Batch>(dataset: Dataset<Batch>, start: number, stop?: number): Dataset<Batch> {
  check("subset", "the dataset", dataset, aDataset);
  const end = stop ?? dataset.length;
  const ordered = start >= 0 && start <= end && end <= dataset.length;
  if (!Number.isInteger(start) || !Number.isInteger(end) || !ordered) {
    throw new ArgumentError(
      `${describe(start)} to ${describe(end)} is no part of ${dataset.length} samples`,
      { op: "subset" },
    );
  }
  return new Subset(dataset, start, end);
}

/** Copies rows of the first dimension: [N, …] → [indices.length, …]. */
export function gatherRows(tensor: HostTensor, indices: Int32Array): HostTensor {
  const { dtype, shape, data } = tensor;
  checkIndices(indices, shape[0]);
  const rowShape = shape.slice(1);
  const row = sizeOf(rowShape);
  const result = newArray(dtype, indices.length * row);
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i] * row;
    result.set(data.subarray(from, from + row), i * row);
  }
  return { dtype, shape: [indices.length, ...rowShape], data: result };
}

/** @throws ArgumentError naming the first index outside 0..length-1. */
export function checkIndices(indices: Int32Array, length: number): void {
  for (const index of indices) {
    if (index < 0 || index >= length) {
      throw new ArgumentError(`sample ${index} of ${length}`, { op: "batch" });
    }
  }
}
