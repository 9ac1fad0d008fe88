/** What the device executes: a kernel call becomes one or several passes, each one draw of one shader. */

import type { DType } from "../../../core/dtype.js";
import type { Extent, Grid } from "../gl/storage.js";

/** A texture by number: a slot of the Program, or behind those a scratch texture of the executable. */
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
  /** How many texels are rendered. */
  readonly texels: number;
  /** The output is a grid (see Scratch); by default outputs are buffers, whose texels lie as storage.ts says. */
  readonly grid?: Extent | Grid;
  /** The texels from..to−1 are all that is rendered, the others stay: such outputs are not sampled by the pass. */
  readonly range?: readonly [number, number];
  /** Draws so many points, which are added to what the output holds, instead of covering the output once. */
  readonly points?: number;
  /** Replaces rather than adds: points that set these channels, bit by bit, red first. */
  readonly channels?: number;
  /** Replaces rather than adds: points that set this texel of the run's flag. */
  readonly flag?: number;
  /** An estimate, by which long draws are split. */
  readonly flops: number;
}

/** A texture that lives only between the passes of an executable. */
export interface Scratch {
  readonly dtype: DType;
  readonly size: number;
  /** Partial sums, which are not rounded before they are added up. */
  readonly isSum: boolean;
  /**
   * Texel t of each layer lies at column t % width of row t / width. A rasteriser is fastest where neighbouring fragments
   * read neighbouring texels in both directions, and wastes half of its work on a single row.
   */
  readonly grid?: Extent | Grid;
}
