/** Copies of key/value caches: with more capacity, or with other sequences in their rows. */
import type { Device } from "../device/device.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import type { DecoderSizes } from "../models/decoder.js";
import { type KeyValueCache, keyValueCache } from "../nn/key_value_cache.js";
import { tensor } from "../ops/creation.js";
import { indexSelect } from "../ops/indexing.js";
import { sliceScatter } from "../ops/write.js";
import { dispose } from "../runtime/dispose.js";
import { type JitFunction, jit } from "../runtime/jit.js";

/** An empty cache for a model. */
export function emptyCache(
  sizes: DecoderSizes,
  batch: number,
  capacity: number,
  device: Device,
): KeyValueCache {
  const { layers, heads, headDim } = sizes;
  return keyValueCache({ layers, batch, heads, capacity, headDim, device });
}

export function disposeCache({ layers, lengths }: KeyValueCache): void {
  for (const { keys, values } of layers) {
    dispose(keys);
    dispose(values);
  }
  dispose(lengths);
}

type Copy = JitFunction<[from: KeyValueCache, to: KeyValueCache, rows: Tensor], undefined>;
let copy: Copy | undefined;

/** Made when it is first needed, so that importing this file does nothing. */
function copyFunction(): Copy {
  copy ??= jit((from: KeyValueCache, to: KeyValueCache, rows: Tensor) =>
    noGrad(() => {
      to.layers.forEach(({ keys, values }, i) => {
        keys.assign(sliceScatter(keys, indexSelect(from.layers[i].keys, 0, rows), 2, 0));
        values.assign(sliceScatter(values, indexSelect(from.layers[i].values, 0, rows), 2, 0));
      });
      to.lengths.assign(indexSelect(from.lengths, 0, rows));
      return undefined;
    }),
  ) as Copy;
  return copy;
}

/** Row i of `to` becomes row `rows[i]` of `from`; `to` has at least its capacity. */
export function copyCache(from: KeyValueCache, to: KeyValueCache, rows: readonly number[]): void {
  const index = tensor(Int32Array.from(rows), { shape: [rows.length], device: to.lengths.device });
  try {
    copyFunction()(from, to, index);
  } finally {
    dispose(index);
  }
}

type Lengths = JitFunction<[lengths: Tensor, given: Tensor], undefined>;
let assignLengths: Lengths | undefined;

/** Sets how many positions of each sequence are filled; later ones are not read, and written again. */
export function setLengths({ lengths }: KeyValueCache, values: readonly number[]): void {
  assignLengths ??= jit((filled: Tensor, given: Tensor) => {
    filled.assign(given);
    return undefined;
  }) as Lengths;
  const given = tensor(Int32Array.from(values), { shape: [values.length], device: lengths.device });
  try {
    assignLengths(lengths, given);
  } finally {
    dispose(given);
  }
}
