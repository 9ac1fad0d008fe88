/** How the WebGL2 device is opened. */
import type { FloatStorage } from "./gl/storage.js";

/** Options of the webgl device. */
export interface WebglOptions {
  /**
   * A context to compute on, e.g. of a canvas that is drawn on as well. By default the device makes one of its own.
   * The device takes the context's state as it comes and leaves its own behind (bindings, viewport, blending, pixel
   * storage, masks): who draws on it as well sets what the drawing needs before. `close` deletes what the device made
   * and leaves the context alone. After a loss the device asks the browser for the context's restoration.
   */
  readonly gl?: WebGL2RenderingContext;
  /**
   * How float32 is stored; by default as float textures ("rgba32f") where a test at the start finds them exact, else as bits in
   * integer textures ("rgba32ui").
   *
   * "rgba16f" is never chosen unasked: half floats (float16), for inference in half of the memory. Shaders compute in
   * float32, and each value that a kernel stores is rounded once to the nearest of 11 bits (weights and inputs when they
   * are uploaded), an error of 2^-11 of the value at most. From 65520 on values become infinite; below 2^-14 the error is
   * 2^-25, or they become 0. Partial sums stay in float32, and so does what is updated in place: parameters under an
   * optimizer and its moments, running statistics, what `scatterAdd` adds to. A gradient below 2^-25 is lost (scale the
   * loss up if there are such), and a random number of [0, 1) may become 1. Integers are exact as ever. A driver that
   * renders halves, but not float32, has sums of halves as well and trains nothing.
   */
  readonly storage?: FloatStorage | "auto";
  /** Folds rows of textures at this width instead of the device's, and splits sums as on a GPU. For tests. */
  readonly textureLimit?: number;
  /** Most bytes of free textures that are kept for reuse; 256 MiB by default. */
  readonly poolBytes?: number;
  /** Most bytes of textures; 4 GiB by default, as WebGL does not tell how much there is. */
  readonly maximumBytes?: number;
  /** Floating-point operations per draw; longer ones are split, so that the driver does not take them for hung. */
  readonly flopsPerDraw?: number;
  /**
   * Milliseconds between snapshots that the device takes by itself, from which it comes back after its context was
   * lost (`device.recovery`). Each reads what has changed. By default only those that are asked for: `fit` does.
   */
  readonly snapshotInterval?: number;
}
