/** Data types of tensors, and the typed arrays that hold them on the host. */

/**
 * Element types. Arithmetic is defined on `float32` and `int32`; the narrow types store images, labels, masks and quantized weights,
 * and support casts, comparisons, `where`, copies and indexing.
 */
export type DType = "float32" | "int32" | "uint8" | "int8" | "bool";

/** A host array as devices read and write it. `bool` is a `Uint8Array` of 0 and 1. */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array | Int8Array;

const arrays = {
  float32: Float32Array,
  int32: Int32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  bool: Uint8Array,
} as const;

/** The typed array that `Tensor.data()` returns for a dtype. */
export type DataOf<D extends DType> = InstanceType<(typeof arrays)[D]>;

/** Bytes of one element. */
export const itemSize: Readonly<Record<DType, number>> = { float32: 4, int32: 4, uint8: 1, int8: 1, bool: 1 };

/** A zero-filled host array of `size` elements. */
export function newArray<D extends DType>(dtype: D, size: number): DataOf<D> {
  return new arrays[dtype](size) as DataOf<D>;
}

/** True for the two dtypes on which arithmetic is defined. */
export function isArithmetic(dtype: DType): boolean {
  return dtype === "float32" || dtype === "int32";
}
