/** pool and poolGrad. */

import type { View } from "../../core/view.js";
import type { PoolCall, PoolGeometry, PoolGradCall } from "../../kernels/kernel.js";
import type { Memory } from "./expression.js";
import { positions } from "./strided.js";

/** The elements of one window that are inside the image, as [h, w] in scan order. */
function* windowOf(
  geometry: PoolGeometry,
  oh: number,
  ow: number,
  height: number,
  width: number,
): Generator<[number, number]> {
  const top = oh * geometry.stride[0] - geometry.padding[0];
  const left = ow * geometry.stride[1] - geometry.padding[1];
  for (let h = Math.max(0, top); h < Math.min(height, top + geometry.kernel[0]); h++) {
    for (let w = Math.max(0, left); w < Math.min(width, left + geometry.kernel[1]); w++) yield [h, w];
  }
}

function divisor({ kernel, countIncludePad }: PoolGeometry, valid: number): number {
  return countIncludePad ? kernel[0] * kernel[1] : valid;
}

type Visit = (
  out: number,
  window: readonly [number, number][],
  at: (hw: readonly [number, number]) => number,
) => void;

/** Calls `visit` for every window with the buffer position of its output and the image positions of its elements. */
function forEachWindow(image: View, output: View, geometry: PoolGeometry, visit: Visit): void {
  const [, , height, width] = image.shape;
  const [, channels, outHeight, outWidth] = output.shape;
  positions(output).forEach((out, i) => {
    const ow = i % outWidth;
    const oh = Math.floor(i / outWidth) % outHeight;
    const plane = Math.floor(i / (outWidth * outHeight));
    const base =
      image.offset + Math.floor(plane / channels) * image.strides[0] + (plane % channels) * image.strides[1];
    const at = ([h, w]: readonly [number, number]) => base + h * image.strides[2] + w * image.strides[3];
    visit(out, [...windowOf(geometry, oh, ow, height, width)], at);
  });
}

/** The first largest element; NaN counts as the largest. */
function largest<T>(window: readonly T[], value: (hw: T) => number): T {
  return window.reduce((best, hw) => {
    const [now, before] = [value(hw), value(best)];
    return now > before || (Number.isNaN(now) && !Number.isNaN(before)) ? hw : best;
  });
}

export function pool({ op, input, output, geometry }: PoolCall, memory: Memory): void {
  const [x, y] = [memory(input.slot), memory(output.slot)];
  const width = input.view.shape[3];
  forEachWindow(input.view, output.view, geometry, (out, window, at) => {
    if (op === "average") {
      y[out] = window.reduce((sum, hw) => sum + x[at(hw)], 0) / divisor(geometry, window.length);
    } else {
      const best = largest(window, (hw) => x[at(hw)]);
      y[out] = op === "max" ? x[at(best)] : best[0] * width + best[1];
    }
  });
}

export function poolGrad({ op, input, gradOutput, gradInput, geometry }: PoolGradCall, memory: Memory): void {
  const [dy, dx] = [memory(gradOutput.slot), memory(gradInput.slot)];
  for (const position of positions(gradInput.view)) dx[position] = 0;
  const winners: number[] = [];
  if (op === "max") {
    const x = memory(input!.slot);
    forEachWindow(input!.view, gradOutput.view, geometry, (_, window, at) => {
      winners.push(window.indexOf(largest(window, (hw) => x[at(hw)])));
    });
  }
  let number = 0;
  forEachWindow(gradInput.view, gradOutput.view, geometry, (out, window, at) => {
    if (op === "max") dx[at(window[winners[number++]])] += dy[out];
    else for (const hw of window) dx[at(hw)] += dy[out] / divisor(geometry, window.length);
  });
}
