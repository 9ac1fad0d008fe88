/**
 * Strided views: how a logical shape lies in a buffer. Element (i0, i1, …) stands at
 * `offset + Σ i_d · strides[d]`, all in elements. Stride 0 broadcasts; strides may be negative.
 */
import { type Shape, sizeOf } from "./shape.js";

export interface View {
  readonly shape: Shape;
  readonly strides: readonly number[];
  readonly offset: number;
}

/** Strides of a dense row-major tensor. */
export function rowMajorStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= Math.max(shape[i], 1);
  }
  return strides;
}

export function rowMajor(shape: Shape, offset = 0): View {
  return { shape, strides: rowMajorStrides(shape), offset };
}

/** A dense view whose dimensions lie in memory in `order` (outermost first), e.g. [0, 2, 3, 1] for NHWC. */
export function denseInOrder(shape: Shape, order: readonly number[]): View {
  const strides = new Array<number>(shape.length).fill(0);
  let step = 1;
  for (let i = order.length - 1; i >= 0; i--) {
    strides[order[i]] = step;
    step *= Math.max(shape[order[i]], 1);
  }
  return { shape, strides, offset: 0 };
}

/** True if the elements lie row-major without gaps (extents of 1 may have any stride). */
export function isRowMajor(view: View): boolean {
  let step = 1;
  for (let i = view.shape.length - 1; i >= 0; i--) {
    if (view.shape[i] === 1) continue;
    if (view.shape[i] === 0) return true;
    if (view.strides[i] !== step) return false;
    step *= view.shape[i];
  }
  return true;
}

/** True if both views visit the same addresses for the same indices. */
export function sameView(a: View, b: View): boolean {
  if (a.offset !== b.offset || a.shape.length !== b.shape.length) return false;
  for (let i = 0; i < a.shape.length; i++) {
    if (a.shape[i] !== b.shape[i]) return false;
    if (a.shape[i] > 1 && a.strides[i] !== b.strides[i]) return false;
  }
  return true;
}

/** True if the view covers `sizeOf(shape)` consecutive elements, in whatever order of dimensions. */
export function isDense(view: View): boolean {
  const order = memoryOrder(view);
  let step = 1;
  for (let i = order.length - 1; i >= 0; i--) {
    const d = order[i];
    if (view.shape[d] === 1) continue;
    if (view.shape[d] === 0) return true;
    if (view.strides[d] !== step) return false;
    step *= view.shape[d];
  }
  return true;
}

/** Dimension numbers from the outermost (largest stride) to the innermost in memory; ties keep their order. */
export function memoryOrder(view: View): number[] {
  return view.shape
    .map((_, i) => i)
    .sort((a, b) => Math.abs(view.strides[b]) - Math.abs(view.strides[a]) || a - b);
}

export function permuteView(view: View, dims: readonly number[]): View {
  return {
    shape: dims.map((d) => view.shape[d]),
    strides: dims.map((d) => view.strides[d]),
    offset: view.offset,
  };
}

/** Broadcasts to `shape`, of equal or higher rank: new and size-1 dimensions get stride 0. */
export function expandView(view: View, shape: Shape): View {
  const lead = shape.length - view.shape.length;
  const strides = shape.map((extent, i) =>
    i < lead || (view.shape[i - lead] === 1 && extent !== 1) ? 0 : view.strides[i - lead],
  );
  return { shape, strides, offset: view.offset };
}

export interface SliceRange {
  /** First index, 0..extent. */
  readonly start: number;
  /** Number of elements selected. */
  readonly length: number;
  /** Step between selected elements; negative reverses the order from `start`. */
  readonly step: number;
}

/** Takes one range per dimension. */
export function sliceView(view: View, ranges: readonly SliceRange[]): View {
  let offset = view.offset;
  ranges.forEach((range, i) => {
    if (range.length > 0) offset += range.start * view.strides[i];
  });
  return {
    shape: ranges.map((range) => range.length),
    strides: ranges.map((range, i) => range.step * view.strides[i]),
    offset,
  };
}

/**
 * The same elements in the same logical order under another shape, or null if no strides can express that
 * (the elements have to be copied first). Sizes must be equal.
 */
export function reshapeView(view: View, shape: Shape): View | null {
  if (sizeOf(shape) === 0) return rowMajor(shape, view.offset);
  const [extents, steps] = mergeDims(view);
  const strides = new Array<number>(shape.length).fill(0);
  let group = extents.length - 1;
  let left = group >= 0 ? extents[group] : 1;
  let step = group >= 0 ? steps[group] : 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const extent = shape[i];
    if (extent === 1) {
      strides[i] = step;
      continue;
    }
    if (left === 1 && group > 0) {
      group--;
      left = extents[group];
      step = steps[group];
    }
    if (left % extent !== 0) return null;
    strides[i] = step;
    left /= extent;
    step *= extent;
  }
  return { shape, strides, offset: view.offset };
}

/** Coalesces adjacent dimensions that one stride covers; drops extents of 1. */
function mergeDims(view: View): [number[], number[]] {
  const extents: number[] = [];
  const steps: number[] = [];
  view.shape.forEach((extent, i) => {
    if (extent === 1) return;
    const last = extents.length - 1;
    if (last >= 0 && steps[last] === extent * view.strides[i]) {
      extents[last] *= extent;
      steps[last] = view.strides[i];
    } else {
      extents.push(extent);
      steps.push(view.strides[i]);
    }
  });
  return [extents, steps];
}
