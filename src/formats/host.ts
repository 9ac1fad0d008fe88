/** A tensor in host memory: what files are read into and written from, and what datasets hand to a loader. */
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
