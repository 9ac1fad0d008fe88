/** Arrays in files whose elements are not in row-major order. */
import { newArray, type TypedArray } from "../core/dtype.js";
import type { StoredTensor } from "./host.js";
import type { StoredEntry } from "./stored_entry.js";

/** A view whose elements are not one behind the other; `memory` are those from the first to the last. */
export function strided(
  memory: StoredEntry,
  strides: readonly number[],
  size: number,
): StoredTensor & { readonly stored: string } {
  const { dtype, shape, stored } = memory;
  async function data(): Promise<TypedArray> {
    const from = await memory.data();
    const values = newArray(dtype, size);
    const index = shape.map(() => 0);
    let at = 0;
    for (let i = 0; i < size; i++) {
      values[i] = from[at];
      for (let d = shape.length - 1; d >= 0; d--) {
        at += strides[d];
        if (++index[d] < shape[d]) break;
        at -= strides[d] * shape[d];
        index[d] = 0;
      }
    }
    return values;
  }
  return {
    dtype,
    shape,
    stored,
    data,
    async *pieces() {
      yield await data();
    },
  };
}
