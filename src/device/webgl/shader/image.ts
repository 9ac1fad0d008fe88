/** The iteration of kernels over images: the four indices [n, c, h, w] of each of a texel's four elements. */
import type { Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "./builder.js";
import {
  declareIteration,
  type Iteration,
  type IterationNames,
  planIteration,
  positionOf,
} from "./iteration.js";
import type { ShaderBuilder } from "./shader.js";

/** Names of four int or ivec4, in the logical order of the operand's dimensions. */
export type ImageIndices = readonly string[];

export interface ImageIteration {
  readonly iteration: Iteration;
  readonly names: IterationNames;
  readonly indices: ImageIndices;
}

/**
 * Iteration by pixels: each texel has four channels of one pixel. Undefined for outputs that are not channels-last in whole texels.
 */
export function planPixelIteration(output: Operand, builder: PassBuilder): Iteration | undefined {
  const iteration = planImageIteration(output, builder);
  const [, channels] = output.view.shape;
  const isInnermost = iteration.operands[1].strides[iteration.extents.length - 1] === 1;
  return iteration.quad && isInnermost && channels % lanes === 0 ? iteration : undefined;
}

/** Declares the ints `index0` … `index3` of an iteration by pixels; `index1` is the first of the four channels. */
export function declarePixelIteration(shader: ShaderBuilder, iteration: Iteration): ImageIteration {
  return declareIndices(shader, iteration, "int");
}

/** Declares `index0` … `index3` for the elements of `output`, which has four dimensions. */
export function declareImageIteration(
  shader: ShaderBuilder,
  output: Operand,
  builder: PassBuilder,
): ImageIteration {
  // Each lane has its own indices.
  return declareIndices(shader, { ...planImageIteration(output, builder), quad: false }, "ivec4");
}

/** The result of a kernel over images, for any layout of its output. */
export interface ImageResult {
  readonly name: string;
  readonly output: Operand;
  readonly flops: number;
  /** Adds the statements that compute the elements at four ivec4 indices, and returns their vector. */
  value(shader: ShaderBuilder, indices: ImageIndices): string;
  /** The same for four channels of one pixel, with int indices: faster, used if texels are like this. */
  pixelValue?(shader: ShaderBuilder, indices: ImageIndices): string;
}

/** Defers the result's pass. */
export function deferImage(result: ImageResult, builder: PassBuilder): void {
  const { name, output, flops } = result;
  const pixels = result.pixelValue && planPixelIteration(output, builder);
  builder.defer({
    name,
    output,
    flops,
    whole: planImageIteration(output, builder).full,
    emit(shader) {
      const { iteration, names, indices } = pixels
        ? declarePixelIteration(shader, pixels)
        : declareImageIteration(shader, output, builder);
      const value = pixels ? result.pixelValue!(shader, indices) : result.value(shader, indices);
      return { value, quad: iteration.quad, inside: names.inside };
    },
  });
}

function planImageIteration(output: Operand, builder: PassBuilder): Iteration {
  const dims = output.view.shape.map((_, d) => d);
  const unit = dims.map((d) => ({ strides: dims.map((k) => Number(k === d)), offset: 0 }));
  return planIteration(output.view, builder.sizeOf(output.slot), unit);
}

function declareIndices(shader: ShaderBuilder, iteration: Iteration, type: "int" | "ivec4"): ImageIteration {
  const names = declareIteration(shader, iteration);
  const indices = iteration.operands.map((steps, d) => {
    shader.add(`${type} index${d} = ${positionOf(shader, steps, names.indices, type)};`);
    return `index${d}`;
  });
  return { iteration, names, indices };
}
