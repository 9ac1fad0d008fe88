/** Strided iteration: all index arithmetic of the reference device. */
import { sizeOf } from "../../core/shape.js";
import { isRowMajor, type View } from "../../core/view.js";

/** Buffer positions of a view's elements `start`..`start + count - 1`, in logical row-major order. */
export function positions(view: View, start = 0, count = sizeOf(view.shape)): Int32Array {
  const result = new Int32Array(count);
  if (count === 0) return result;
  if (isRowMajor(view)) {
    for (let i = 0; i < count; i++) result[i] = view.offset + start + i;
    return result;
  }
  const { shape, strides } = view;
  const index = indexOf(start, shape);
  let position = view.offset + index.reduce((sum, at, d) => sum + at * strides[d], 0);
  for (let i = 0; i < count; i++) {
    result[i] = position;
    for (let d = shape.length - 1; d >= 0; d--) {
      position += strides[d];
      if (++index[d] < shape[d]) break;
      position -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return result;
}

/** The index tuple of a row-major element number. */
export function indexOf(linear: number, shape: readonly number[]): number[] {
  const index = new Array<number>(shape.length).fill(0);
  let rest = linear;
  for (let d = shape.length - 1; d >= 0; d--) {
    index[d] = rest % shape[d];
    rest = Math.floor(rest / shape[d]);
  }
  return index;
}
