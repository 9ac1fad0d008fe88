/** Tensors outside of devices: in host memory, and in files. */
import type { DType, TypedArray } from "../core/dtype.js";
import type { Shape } from "../core/shape.js";

/**
 * Row-major values with their shape. `data` is the typed array of `dtype` (`bool`: a `Uint8Array` of 0 and 1) and
 * has as many elements as `shape`; a `float32` tensor read from the reference device may hold a `Float64Array`.
 */
export interface HostTensor {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: TypedArray;
}

/** A tensor in a file: dtype and shape are known, values are read on request. */
export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: Shape;
  /** All values, row-major, as a fresh array of `dtype`. */
  data(): Promise<TypedArray>;
  /** The values in pieces of a few MiB, in order. A piece is valid until the next one is requested. */
  pieces(): AsyncIterable<TypedArray>;
}
