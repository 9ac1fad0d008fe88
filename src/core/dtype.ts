/** Data types of tensors, and the typed arrays that hold them on the host. */

/** Floats of 16 bits: IEEE 754 binary16, and the upper half of a float32. */
export type HalfDType = "float16" | "bfloat16";

/**
 * Element types. Arithmetic is defined on `float32` and `int32`; the narrow types store images, labels, masks and weights, and
 * support casts, comparisons, `where`, copies and indexing. Products and convolutions take weights of `float16` and `bfloat16`.
 */
export type DType = "float32" | HalfDType | "int32" | "uint8" | "int8" | "bool";

/**
 * A host array as devices read and write it. `bool` is a `Uint8Array` of 0 and 1; `float16` and `bfloat16` are the bits of their
 * elements in a `Uint16Array` (see `decodeFloat16`).
 */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint16Array | Uint8Array | Int8Array;

const arrays = {
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int32: Int32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  bool: Uint8Array,
} as const;

/** The typed array that `Tensor.data()` returns for a dtype. */
export type DataOf<D extends DType> = InstanceType<(typeof arrays)[D]>;

/** Bytes of one element. */
export const itemSize: Readonly<Record<DType, number>> = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int32: 4,
  uint8: 1,
  int8: 1,
  bool: 1,
};

/** A zero-filled host array of `size` elements. */
export function newArray<D extends DType>(dtype: D, size: number): DataOf<D> {
  return new arrays[dtype](size) as DataOf<D>;
}

export function isHalf(dtype: DType): dtype is HalfDType {
  return dtype === "float16" || dtype === "bfloat16";
}

/** True for the dtypes that hold fractions. */
export function isFloat(dtype: DType): dtype is "float32" | HalfDType {
  return dtype === "float32" || isHalf(dtype);
}

/** True for the two dtypes on which arithmetic is defined. */
export function isArithmetic(dtype: DType): boolean {
  return dtype === "float32" || dtype === "int32";
}
