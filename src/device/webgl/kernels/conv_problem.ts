/** Sizes of tiled convolutions and of their packed operands. */
import type { View } from "../../../core/view.js";
import type { ConvCall, Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";

/** A convolution of an image [N, H, W, C] with a filter [kh, kw, c, o]. */
export interface Problem {
  readonly image: Operand;
  readonly filter: Operand;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly stride: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly padding: readonly [number, number];
  /** The filter's columns are treated as channels: channel q is the image shifted by q · dilation[1] columns. */
  readonly foldedColumns: boolean;
}

/** A packed convolution: output row oh reads packed rows oh · stride[0] + kh · dilation[0], columns likewise. */
export interface Tiles {
  readonly batch: number;
  /** Height of the packed image. */
  readonly height: number;
  readonly width: number;
  /** Texels of packed channels. */
  readonly channels: number;
  readonly outputs: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly dilation: readonly [number, number];
}

export function permuted({ slot, dtype, view }: Operand, dims: readonly number[]): Operand {
  const pick = (list: readonly number[]) => dims.map((d) => list[d]);
  return { slot, dtype, view: { shape: pick(view.shape), strides: pick(view.strides), offset: view.offset } };
}

/** The forward problem. A single channel would waste three lanes of four, so then the filter's columns are treated as channels. */
export function columnsOf({ input, weight, output, geometry }: ConvCall): Problem {
  const [, , outHeight, outWidth] = output.view.shape;
  const { stride, dilation, padding } = geometry;
  const image = permuted(input, [0, 2, 3, 1]);
  const filter = permuted(weight, [2, 3, 1, 0]);
  const problem = { image, filter, outHeight, outWidth, stride, dilation, padding, foldedColumns: false };
  if (image.view.shape[3] !== 1 || filter.view.shape[1] === 1) return problem;
  const columns: View = {
    shape: [filter.view.shape[0], 1, filter.view.shape[1], filter.view.shape[3]],
    strides: [filter.view.strides[0], 0, filter.view.strides[1], filter.view.strides[3]],
    offset: filter.view.offset,
  };
  return { ...problem, filter: { ...filter, view: columns }, foldedColumns: true };
}

/** The gradient with respect to the input, for stride 1: the flipped filter over the output's gradient. */
export function mirrored({ input, weight, output, geometry }: ConvCall): Problem {
  const { view } = weight;
  const [, , kernelHeight, kernelWidth] = view.shape;
  const [, , rows, columns] = view.strides;
  const turned: View = {
    shape: view.shape,
    strides: [view.strides[0], view.strides[1], -rows, -columns],
    offset: view.offset + (kernelHeight - 1) * rows + (kernelWidth - 1) * columns,
  };
  const { dilation, padding } = geometry;
  return {
    image: permuted(output, [0, 2, 3, 1]),
    filter: permuted({ ...weight, view: turned }, [2, 3, 0, 1]),
    outHeight: input.view.shape[2],
    outWidth: input.view.shape[3],
    stride: [1, 1],
    dilation,
    padding: [(kernelHeight - 1) * dilation[0] - padding[0], (kernelWidth - 1) * dilation[1] - padding[1]],
    foldedColumns: false,
  };
}

export function texelsOf(elements: number): number {
  return Math.ceil(elements / lanes);
}

/** Sizes of the packed problem; `columns` output columns are computed, of which the last may be unused. */
export function tilesOf(
  { image, filter, outHeight, outWidth, stride, dilation, foldedColumns }: Problem,
  columns: number,
): Tiles {
  const [kernelHeight, kernelWidth, channels, outputs] = filter.view.shape;
  const acrossStride = foldedColumns ? 1 : stride[1];
  return {
    batch: image.view.shape[0],
    height: (outHeight - 1) * stride[0] + (kernelHeight - 1) * dilation[0] + 1,
    width: (columns - 1) * acrossStride + (kernelWidth - 1) * dilation[1] + 1,
    channels: texelsOf(channels),
    outputs: texelsOf(outputs),
    outHeight,
    outWidth,
    kernel: [kernelHeight, kernelWidth],
    stride: [stride[0], acrossStride],
    dilation,
  };
}
