/** Byte counts of operands, for the records of kernels. */
import { type DType, itemSize } from "../core/dtype.js";
import { type Shape, sizeOf } from "../core/shape.js";
import type { Operand } from "./operand.js";

/** How a device stores elements; sizes of dtypes that are not listed are those of `itemSize`. */
export interface ElementStorage {
  /** Bytes of a float32 element; 4 by default, 2 on GPUs that render to half floats only. */
  readonly float32Bytes?: number | undefined;
}

export function itemBytes(dtype: DType, { float32Bytes }: ElementStorage): number {
  return dtype === "float32" ? (float32Bytes ?? itemSize.float32) : itemSize[dtype];
}

/** Bytes of the distinct elements in the view: dimensions of stride 0 count once. */
export function distinctBytes({ dtype, view }: Operand, stored: ElementStorage): number {
  return view.shape.reduce(
    (n, extent, i) => (view.strides[i] === 0 && extent > 0 ? n : n * extent),
    itemBytes(dtype, stored),
  );
}

/** Geometry of sliding windows over an image, [height, width] each. */
interface Windows {
  readonly stride: readonly number[];
  readonly padding: readonly number[];
  readonly dilation?: readonly number[];
}

/**
 * Bytes of the image that no window covers, such as the pixels that a 1 × 1 convolution with stride 2 skips.
 *
 * @param image [N, C, H, W]
 * @param window [height, width]
 * @param output shape [N, O, OH, OW]
 */
export function uncoveredBytes(
  image: Operand,
  window: readonly number[],
  output: Shape,
  { stride, padding, dilation }: Windows,
  stored: ElementStorage,
): number {
  const extents = image.view.shape.slice(2);
  const touched = extents.map((size, axis) => {
    const at = new Set<number>();
    for (let o = 0; o < output[axis + 2]; o++) {
      for (let k = 0; k < window[axis]; k++) {
        const position = o * stride[axis] - padding[axis] + k * (dilation?.[axis] ?? 1);
        if (position >= 0 && position < size) at.add(position);
      }
    }
    return at.size;
  });
  const planes = sizeOf(image.view.shape.slice(0, 2));
  return planes * (sizeOf(extents) - sizeOf(touched)) * itemBytes(image.dtype, stored);
}
