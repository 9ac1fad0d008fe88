/** Values of a state dict in the dtype of the tensor that takes them, as PyTorch's `copy_` converts them. */

import { type DType, newArray, type TypedArray } from "../core/dtype.js";
import { Tensor } from "../graph/tensor.js";
import { readExact } from "../runtime/realize.js";

/**
 * Whether values of `from` may be loaded into `to`. Counters and masks take any dtype; weights take float32 only, for
 * whole numbers in their place belong to a quantized model and lack its scales.
 */
export function isLoadable(from: DType, to: DType): boolean {
  return from === to || to !== "float32";
}

/** @returns undefined if a value is no whole number that `dtype` holds. */
export async function converted(
  value: Tensor | { readonly data: TypedArray },
  dtype: DType,
): Promise<TypedArray | undefined> {
  const data = value instanceof Tensor ? await readExact(value) : value.data;
  const result = newArray(dtype, data.length);
  for (let i = 0; i < data.length; i++) {
    result[i] = dtype === "bool" ? Number(data[i] !== 0) : data[i];
    if (dtype !== "bool" && result[i] !== data[i]) return undefined;
  }
  return result;
}
