/** Whether a device has room for a model, found out before anything is downloaded. */
import { itemSize } from "../core/dtype.js";
import { OutOfMemoryError } from "../core/errors.js";
import { sizeOf } from "../core/shape.js";
import type { Device } from "../device/device.js";
import { pieceBytes } from "../formats/stored_entry.js";
import type { Module } from "../nn/module.js";
import { byTensor, stateOf } from "../nn/state.js";
import { slabBytes } from "../quantization/streamed.js";
import type { NameRules } from "./names.js";

/** Bytes of the parameters and buffers on a device, a tied tensor once; those that are computed, too. */
export function weightsOf(model: Module, { info: { float32Bytes = 4 } }: Device): number {
  let bytes = 0;
  for (const [{ dtype, size }, [{ buffer }]] of byTensor(stateOf(model))) {
    // Buffers are kept in full.
    const perElement = dtype === "float32" && buffer === undefined ? float32Bytes : itemSize[dtype];
    bytes += size * perElement;
  }
  return bytes;
}

/** Bytes of rows that are rounded at once: float32, and packed as int8. */
const roundedBytes = 1.25 * slabBytes;

/** Bytes in host memory at most while tensors are read. Matrices that files have transposed are there as a whole, twice. */
export function transientBytes(
  state: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  { transpose = [] }: NameRules,
  isQuantized: boolean,
): number {
  let most = 0;
  for (const [name, { shape }] of state) {
    const bytes = 4 * sizeOf(shape);
    const isTransposed = transpose.some((pattern) => pattern.test(name));
    const rounded = isQuantized && shape.length === 2 ? Math.min(roundedBytes, bytes) : 0;
    most = Math.max(most, (isTransposed ? 2 * bytes : 2 * Math.min(pieceBytes, bytes)) + rounded);
  }
  return most;
}

/** Bytes that the device may have in use; undefined where it does not know. */
export function limitOf({ info: { details } }: Device): number | undefined {
  return typeof details.maximumBytes === "number" ? details.maximumBytes : undefined;
}

/** @throws OutOfMemoryError with the figures. */
export function requireRoom(op: string, weights: number, device: Device): void {
  const limit = limitOf(device);
  if (limit === undefined) return;
  const { liveBytes } = device.memory();
  if (liveBytes + weights <= limit) return;
  throw new OutOfMemoryError(
    `the weights take ${megabytes(weights)} on ${device.name}, which has ${megabytes(limit)}, ${megabytes(liveBytes)} of them in use`,
    {
      ...{ op, device: device.name },
      hint: "{ quantization: int8WeightOnly() } takes a quarter; memoryPlan(source, options) tells what fits",
    },
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
