/** Passes: a kernel call becomes one or several passes, each one draw of one shader. */

import type { DType } from "../../../core/dtype.js";
import type { Extent, RenderTargetLayout } from "../gl/storage.js";

/** Number of a texture: a slot of the Program, or above those a scratch texture of the executable. */
export type TextureId = number;

/** The flag of the run. */
export const flagTexture: TextureId = -1;

export interface ScalarUse {
  /** Runtime scalar of the Program. */
  readonly index: number;
  readonly integer: boolean;
}

export interface Pass {
  /** For error messages and profiles: the kernel and its part, e.g. `matmul merge`. */
  readonly name: string;
  readonly vertex: string;
  readonly fragment: string;
  /** Bound to the samplers t0, t1, … */
  readonly textures: readonly TextureId[];
  /** Rendered to locations 0, 1, …, layer by layer; their contents are replaced except where `points` are drawn. */
  readonly outputs: readonly TextureId[];
  /** The uniform array `p`: sizes, strides, offsets, constants; four to a vector. */
  readonly parameters: Int32Array;
  /** The uniform array `s`: runtime scalars as bits, four to a vector. */
  readonly scalars: readonly ScalarUse[];
  /** Number of texels rendered. */
  readonly texels: number;
  /** Layout of a scratch output (see Scratch); by default outputs are buffers with the layout of storage.ts. */
  readonly targetLayout?: Extent | RenderTargetLayout;
  /** Only the texels from..to−1 are rendered, others keep their values; the pass must not sample such outputs. */
  readonly range?: readonly [number, number];
  /** Draws this number of points, which are added to the output's values, instead of covering the output once. */
  readonly points?: number;
  /** Replaces rather than adds: points that set these channels, bit by bit, red first. */
  readonly channels?: number;
  /** Replaces rather than adds: points that set this texel of the run's flag. */
  readonly flag?: number;
  /** Estimated operations, by which long draws are split. */
  readonly flops: number;
}

/** A temporary texture between the passes of an executable. */
export interface Scratch {
  readonly dtype: DType;
  readonly size: number;
  /** Partial sums, which have float32 storage. */
  readonly isSum: boolean;
  /**
   * Texel t of each layer is at column t % width of row t / width. Rasterizers are fastest if neighbouring fragments read neighbouring
   * texels in both directions, and waste half of their work on a single row.
   */
  readonly targetLayout?: Extent | RenderTargetLayout;
}
