/** All resources of a context, which are lost with it; a restored context gets new ones. */

import { ProgramCache } from "./gl/programs.js";
import { Readback } from "./gl/readback.js";
import type { TextureLayout } from "./gl/storage.js";
import { TexturePool } from "./gl/texture_pool.js";
import { Runner } from "./runner.js";

export interface ResourceLimits {
  readonly poolBytes: number;
  readonly maximumBytes: number;
  readonly flopsPerDraw: number;
}

export class Resources {
  readonly pool: TexturePool;
  readonly programs: ProgramCache;
  readonly readback: Readback;
  readonly runner: Runner;

  constructor(
    gl: WebGL2RenderingContext,
    layout: TextureLayout,
    limits: ResourceLimits,
    parallelCompile: { readonly COMPLETION_STATUS_KHR: number } | null,
  ) {
    this.pool = new TexturePool(gl, layout, limits.poolBytes, limits.maximumBytes);
    this.programs = new ProgramCache(gl, parallelCompile);
    this.readback = new Readback(gl, this.pool);
    this.runner = new Runner(gl, layout, this.pool, this.programs, limits.flopsPerDraw);
  }

  /** Release the textures of leaf buffers first. */
  close(): void {
    this.runner.close();
    this.readback.close();
    this.programs.close();
    this.pool.close();
  }
}
