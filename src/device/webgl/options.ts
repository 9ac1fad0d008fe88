/** How the WebGL2 device is opened. */
import type { FloatStorage } from "./gl/storage.js";

/** Options of the webgl device. */
export interface WebglOptions {
  /**
   * A context to compute on, e.g. of a canvas that is drawn on as well. By default the device creates its own. The device sets the state
   * that it needs (bindings, viewport, blending, pixel storage, masks) and does not restore it: set yours before you draw. `close`
   * deletes the device's resources, not the context. After a loss the device asks the browser to restore the context.
   */
  readonly gl?: WebGL2RenderingContext;
  /**
   * Storage of float32. Default: float textures ("rgba32f") if a test when the device opens finds them exact, else bits in integer
   * textures ("rgba32ui").
   *
   * "rgba16f" is opt-in: half floats (float16), for inference in half the memory. Shaders compute in float32; each stored value (and each
   * uploaded one) is rounded once to 11 bits, with a relative error of at most 2^-11. Values from 65520 become infinite; below 2^-14 the
   * absolute error is at most 2^-25, so that tiny values become 0. Partial sums stay float32, and so do values that are updated in place:
   * parameters and moments of an optimizer, running statistics, outputs of `scatterAdd`. Gradients below 2^-25 become 0 (use loss
   * scaling), and a random number in [0, 1) may become 1. Integers stay exact. On drivers that render to half floats only, partial sums
   * are half floats as well, and training is not supported.
   */
  readonly storage?: FloatStorage | "auto";
  /** Texture width to use instead of the device's limit; also splits sums as on a GPU. For tests. */
  readonly textureLimit?: number;
  /** Maximum bytes of free textures kept for reuse; 256 MiB by default. */
  readonly poolBytes?: number;
  /** Maximum bytes of textures; 4 GiB by default. WebGL does not report the GPU's memory. */
  readonly maximumBytes?: number;
  /** Maximum floating-point operations per draw; larger draws are split, so that the driver's watchdog does not reset the GPU. */
  readonly flopsPerDraw?: number;
  /**
   * Milliseconds between automatic snapshots for `device.recovery`, each of which reads the buffers changed since the last one. By default
   * there are only explicit snapshots, such as those of `fit`.
   */
  readonly snapshotInterval?: number;
}
