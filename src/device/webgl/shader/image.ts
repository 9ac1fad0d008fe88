/** The walk of kernels over images: the four indices [n, c, h, w] of each of a texel's four elements. */
import type { Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "./builder.js";
import type { ShaderBuilder } from "./shader.js";
import { declareWalk, planWalk, positionOf, type Walk, type WalkNames } from "./walk.js";

/** Names of four int or ivec4, in the logical order of the operand's dimensions. */
export type ImageIndices = readonly string[];

export interface ImageWalk {
  readonly walk: Walk;
  readonly names: WalkNames;
  readonly indices: ImageIndices;
}

/**
 * The walk by pixels: each texel holds four channels of one. Undefined for outputs that do not lie channels-last, or not
 * in whole texels.
 */
export function planPixelWalk(output: Operand, builder: PassBuilder): Walk | undefined {
  const walk = planImageWalk(output, builder);
  const [, channels] = output.view.shape;
  const isInnermost = walk.operands[1].strides[walk.extents.length - 1] === 1;
  return walk.quad && isInnermost && channels % lanes === 0 ? walk : undefined;
}

/** Declares the ints `index0` … `index3` of a walk by pixels; `index1` is the first of the four channels. */
export function declarePixelWalk(shader: ShaderBuilder, walk: Walk): ImageWalk {
  return declareIndices(shader, walk, "int");
}

/** Declares `index0` … `index3` for the elements of `output`, which has four dimensions. */
export function declareImageWalk(shader: ShaderBuilder, output: Operand, builder: PassBuilder): ImageWalk {
  // Every lane has indices of its own.
  return declareIndices(shader, { ...planImageWalk(output, builder), quad: false }, "ivec4");
}

/** What a kernel over images computes, whatever the layout of its output. */
export interface ImageResult {
  readonly name: string;
  readonly output: Operand;
  readonly flops: number;
  /** Adds the statements that compute the elements at four ivec4 indices, and returns their vector. */
  value(shader: ShaderBuilder, indices: ImageIndices): string;
  /** The same for the four channels of one pixel, whose indices are ints: shorter, where texels are such. */
  pixelValue?(shader: ShaderBuilder, indices: ImageIndices): string;
}

/** The result's pass. */
export function finishImage(result: ImageResult, builder: PassBuilder): void {
  const { name, output, flops } = result;
  const pixels = result.pixelValue && planPixelWalk(output, builder);
  builder.finish({
    name,
    output,
    flops,
    whole: planImageWalk(output, builder).full,
    emit(shader) {
      const { walk, names, indices } = pixels
        ? declarePixelWalk(shader, pixels)
        : declareImageWalk(shader, output, builder);
      const value = pixels ? result.pixelValue!(shader, indices) : result.value(shader, indices);
      return { value, quad: walk.quad, inside: names.inside };
    },
  });
}

function planImageWalk(output: Operand, builder: PassBuilder): Walk {
  const dims = output.view.shape.map((_, d) => d);
  const unit = dims.map((d) => ({ strides: dims.map((k) => Number(k === d)), offset: 0 }));
  return planWalk(output.view, builder.sizeOf(output.slot), unit);
}

function declareIndices(shader: ShaderBuilder, walk: Walk, type: "int" | "ivec4"): ImageWalk {
  const names = declareWalk(shader, walk);
  const indices = walk.operands.map((steps, d) => {
    shader.add(`${type} index${d} = ${positionOf(shader, steps, names.indices, type)};`);
    return `index${d}`;
  });
  return { walk, names, indices };
}
