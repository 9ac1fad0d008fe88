/** Values of a state dict: on a device, on the host or in a file; converted to the dtype of the tensor that takes them. */

import { type DType, isFloat, isHalf, newArray, type TypedArray } from "../core/dtype.js";
import type { HostTensor, StoredTensor } from "../formats/host.js";
import { Tensor } from "../graph/tensor.js";
import { overwrite, readExact } from "../runtime/host_data.js";

/** A tensor that a state dict may hold: on a device, on the host, or in a file. */
export type StateValue = Tensor | HostTensor | StoredTensor;

export type Values = TypedArray | StoredTensor;

/** The values if they are in host memory; values of a file are not read. */
export async function valuesOf(value: StateValue): Promise<Values> {
  if (value instanceof Tensor) return readExact(value);
  return "pieces" in value ? value : value.data;
}

/** The values in host memory; values of a file are read. */
async function dataOf(value: StateValue): Promise<TypedArray> {
  const values = await valuesOf(value);
  return "pieces" in values ? values.data() : values;
}

/** Whether two tensors of one shape have the same values; values of files are read in pieces. */
export async function areEqual(a: StateValue, b: StateValue): Promise<boolean> {
  const others = partsOf(await valuesOf(b));
  let rest: TypedArray = new Uint8Array(0);
  for await (const part of partsOf(await valuesOf(a))) {
    for (let at = 0; at < part.length; ) {
      while (rest.length === 0) {
        const next = await others.next();
        if (next.done) return false;
        rest = next.value;
      }
      const count = Math.min(rest.length, part.length - at);
      for (let i = 0; i < count; i++) if (!Object.is(part[at + i], rest[i])) return false;
      rest = rest.subarray(count);
      at += count;
    }
  }
  return true;
}

async function* partsOf(values: Values): AsyncGenerator<TypedArray> {
  if ("pieces" in values) yield* values.pieces();
  else yield values;
}

/** Writes all values into a tensor: of the host at once, of a file piece by piece as they are read. */
export function fill(target: Tensor, values: Values): Promise<void> | void {
  return "pieces" in values ? fillFrom(target, values) : overwrite(target, values);
}

async function fillFrom(target: Tensor, stored: StoredTensor): Promise<void> {
  let offset = 0;
  for await (const piece of stored.pieces()) {
    overwrite(target, piece, { offset });
    offset += piece.length;
  }
}

/**
 * Whether values of `from` may be loaded into `to`. Counters and masks take any dtype but halves, whose
 * host arrays hold bits; weights take their own only, for whole numbers in their place belong to a quantized model and lack its scales.
 */
export function isLoadable(from: DType, to: DType): boolean {
  return from === to || !(isFloat(to) || isHalf(from));
}

/** @returns undefined if a value is no whole number that `dtype` holds. */
export async function converted(value: StateValue, dtype: DType): Promise<TypedArray | undefined> {
  const data = await dataOf(value);
  const result = newArray(dtype, data.length);
  for (let i = 0; i < data.length; i++) {
    result[i] = dtype === "bool" ? Number(data[i] !== 0) : data[i];
    if (dtype !== "bool" && result[i] !== data[i]) return undefined;
  }
  return result;
}
