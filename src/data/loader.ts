/** Batches for training: shuffled reproducibly, uploaded to a device, freed when the loop advances. */

import {
  aBoolean,
  aDevice,
  aNumber,
  anObject,
  check,
  checkOptions,
  either,
  isPlain,
  type Kinds,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { afterCollection, isTurnDue, takeTurn } from "../core/event_loop.js";
import { inspectable } from "../core/inspect.js";
import { deviceOf } from "../device/default.js";
import type { Device } from "../device/device.js";
import type { HostTensor } from "../formats/host.js";
import type { Tensor } from "../graph/tensor.js";
import { dispose } from "../runtime/dispose.js";
import { leaf } from "../runtime/host_data.js";
import { aDataset, aHostTensor, type Dataset } from "./dataset.js";
import { permutation } from "./permutation.js";

/** Options of `DataLoader`. */
export interface DataLoaderOptions {
  /** Device of the batches. Default: that of `setDefaultDevice`. */
  readonly device?: Device;
  /** Samples per batch. Default 1. */
  readonly batchSize?: number;
  /** A new order in each epoch, defined by the seed and the epoch's number. `true` is seed 0. Default false. */
  readonly shuffle?: boolean | { readonly seed: number };
  /** Drops a last batch smaller than `batchSize`. Default false. */
  readonly dropLast?: boolean;
}

const loaderOptions: Kinds<DataLoaderOptions> = {
  device: aDevice,
  batchSize: aNumber,
  shuffle: either(aBoolean, anObject),
  dropLast: aBoolean,
};
const shuffleOptions: Kinds<{ readonly seed: number }> = { seed: aNumber };

/** The position of a loader as plain JSON. */
export interface LoaderState {
  /** Number of the epoch, counted from 0. */
  readonly epoch: number;
  /** Number of batches of that epoch yielded so far. */
  readonly position: number;
  /** Seed of the shuffle; 0 without one. */
  readonly seed: number;
}

/** A batch on a device: the same structure with tensors instead of host tensors. */
export type Uploaded<Batch> = Batch extends HostTensor
  ? Tensor
  : Batch extends object
    ? { [Part in keyof Batch]: Uploaded<Batch[Part]> }
    : Batch;

/**
 * Iterates over a dataset in batches: `for await (const [x, y] of loader)`. Each loop is one epoch.
 *
 * The tensors of a batch are disposed when the loop advances or ends; `clone()` those that must live longer.
 *
 * `state()` in the loop's body counts the current batch as yielded. After `setState()` the next loop continues with the following
 * batch, in the same order. Without it, a loop that was left early is followed by a new epoch, as in PyTorch.
 *
 * @throws ArgumentError for options outside their domain.
 * @example
 * const dataset = new TensorDataset({ dtype: "float32", shape: [4], data: Float32Array.of(1, 2, 3, 4) });
 * const batches = [];
 * for await (const [x] of new DataLoader(dataset, { batchSize: 3 })) batches.push(await x.tolist());
 * batches; // [[1, 2, 3], [4]]
 */
export class DataLoader<Batch = HostTensor[]> implements AsyncIterable<Uploaded<Batch>> {
  /** Batches per epoch. */
  readonly length: number;
  readonly batchSize: number;
  readonly #dataset: Dataset<Batch>;
  readonly #device: Device;
  readonly #shuffle: boolean;
  #seed: number;
  #epoch = 0;
  #position = 0;
  /** True after `setState`: the next loop starts at the position instead of at a new epoch. */
  #resume = false;

  constructor(dataset: Dataset<Batch>, options: DataLoaderOptions = {}) {
    const op = "DataLoader";
    check(op, "the dataset", dataset, aDataset);
    const {
      device,
      batchSize = 1,
      shuffle = false,
      dropLast = false,
    } = checkOptions(op, options, loaderOptions);
    if (typeof shuffle === "object") checkOptions("DataLoader's shuffle", shuffle, shuffleOptions);
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new ArgumentError(`batchSize is a positive integer, got ${batchSize}`, { op: "DataLoader" });
    }
    this.#dataset = dataset;
    this.#device = deviceOf(op, device);
    this.batchSize = batchSize;
    this.length = dropLast ? Math.floor(dataset.length / batchSize) : Math.ceil(dataset.length / batchSize);
    this.#shuffle = shuffle !== false;
    this.#seed = typeof shuffle === "object" ? (shuffle.seed ?? 0) : 0;
    checkCount("seed", this.#seed, Number.MAX_SAFE_INTEGER);
  }

  toString(): string {
    const order = this.#shuffle ? `, shuffled by seed ${this.#seed}` : "";
    return `DataLoader of ${this.length} batches of ${this.batchSize}${order}; epoch ${this.#epoch}, batch ${this.#position}`;
  }

  static {
    inspectable(DataLoader.prototype);
  }

  state(): LoaderState {
    return { epoch: this.#epoch, position: this.#position, seed: this.#seed };
  }

  /** The position at which the next loop begins. */
  next(): LoaderState {
    const startsAnew = !this.#resume && this.#position > 0;
    return startsAnew ? { epoch: this.#epoch + 1, position: 0, seed: this.#seed } : this.state();
  }

  /** @throws ArgumentError if the state is not valid for this loader. */
  setState(state: LoaderState): void {
    check("DataLoader", "the state", state, anObject);
    checkCount("epoch", state.epoch, 2 ** 32 - 1);
    checkCount("position", state.position, this.length);
    checkCount("seed", state.seed, Number.MAX_SAFE_INTEGER);
    this.#epoch = state.epoch;
    this.#position = state.position;
    this.#seed = state.seed;
    this.#resume = true;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uploaded<Batch>, void, undefined> {
    if (!this.#resume && this.#position > 0) this.#nextEpoch();
    this.#resume = false;
    const epoch = this.#epoch;
    const samples = this.#dataset.length;
    const order = this.#shuffle ? permutation(samples, this.#seed, epoch) : undefined;
    for (let position = this.#position; position < this.length; position++) {
      const start = position * this.batchSize;
      const stop = Math.min(start + this.batchSize, samples);
      const indices =
        order?.subarray(start, stop) ?? Int32Array.from({ length: stop - start }, (_, i) => start + i);
      const [batch, tensors] = await this.#upload(indices);
      this.#position = position + 1;
      try {
        yield batch;
      } finally {
        for (const tensor of tensors) dispose(tensor);
      }
    }
    this.#nextEpoch();
  }

  #nextEpoch(): void {
    this.#epoch++;
    this.#position = 0;
  }

  async #upload(indices: Int32Array): Promise<[Uploaded<Batch>, Tensor[]]> {
    // Disposes the batch also if the loop reads no values.
    if (isTurnDue()) await takeTurn();
    const batch = this.#dataset.batch(indices, this.#epoch);
    try {
      return this.#leaves(batch);
    } catch (error) {
      return afterCollection(error, () => this.#leaves(batch));
    }
  }

  /** Uploads a batch. If the device runs out of memory, arrays that were already uploaded are freed. */
  #leaves(batch: Batch): [Uploaded<Batch>, Tensor[]] {
    const tensors: Tensor[] = [];
    const upload = (value: unknown): unknown => {
      if (aHostTensor[1](value)) {
        const { dtype, shape, data } = value as HostTensor;
        const tensor = leaf(this.#device, dtype, shape, data);
        tensors.push(tensor);
        return tensor;
      }
      if (Array.isArray(value)) return value.map(upload);
      if (!isPlain(value)) return value;
      return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, upload(part)]));
    };
    try {
      return [upload(batch) as Uploaded<Batch>, tensors];
    } catch (error) {
      for (const tensor of tensors) tensor.storage?.dispose();
      throw error;
    }
  }
}

function checkCount(name: string, value: number, maximum: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > maximum) {
    throw new ArgumentError(`${name} is an integer from 0 to ${maximum}, got ${value}`, { op: "DataLoader" });
  }
}
