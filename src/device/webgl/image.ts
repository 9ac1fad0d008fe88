/** The walk of kernels over images: the four indices [n, c, h, w] of each of a texel's four elements. */
import type { Operand } from "../kernel.js";
import type { PassBuilder } from "./builder.js";
import type { ShaderBuilder } from "./shader.js";
import { declareWalk, planWalk, positionOf, type Walk, type WalkNames } from "./walk.js";

/** Names of four ivec4, in the logical order of the operand's dimensions. */
export type ImageIndices = readonly string[];

export interface ImageWalk {
  readonly walk: Walk;
  readonly names: WalkNames;
  readonly indices: ImageIndices;
}

/** Declares `index0` … `index3` for the elements of `output`, which has four dimensions. */
export function declareImageWalk(shader: ShaderBuilder, output: Operand, builder: PassBuilder): ImageWalk {
  const dims = output.view.shape.map((_, d) => d);
  const unit = dims.map((d) => ({ strides: dims.map((k) => Number(k === d)), offset: 0 }));
  const planned = planWalk(output.view, builder.sizeOf(output.slot), unit);
  // Every lane has indices of its own.
  const walk = { ...planned, quad: false };
  const names = declareWalk(shader, walk);
  const indices = dims.map((d) => {
    shader.add(`ivec4 index${d} = ${positionOf(shader, walk.operands[d], names.indices, "ivec4")};`);
    return `index${d}`;
  });
  return { walk, names, indices };
}
