/** Everything that lives in a context and goes with it; a restored context gets new ones. */

import type { TextureLayout } from "../shader/storage.js";
import { ProgramCache } from "./programs.js";
import { Readback } from "./readback.js";
import { Runner } from "./runner.js";
import { TexturePool } from "./texture_pool.js";

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

  /** The textures of leaf buffers have to be released before. */
  close(): void {
    this.runner.close();
    this.readback.close();
    this.programs.close();
    this.pool.close();
  }
}
