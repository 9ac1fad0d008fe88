/** Derives the device's configuration from the capabilities of its context: limits, shader variants and `info`. */
import type { DeviceInfo } from "../device.js";
import type { Capabilities } from "./gl/context.js";
import { type FloatStorage, TextureLayout } from "./gl/storage.js";
import type { WebglOptions } from "./options.js";
import type { ResourceLimits } from "./resources.js";
import type { ShaderTarget } from "./shader/shader.js";

const defaultPoolBytes = 256 * 1024 * 1024;
const defaultMaximumBytes = 4 * 1024 * 1024 * 1024;
/** About 50 ms at the 4 GFLOP/s of a software rasteriser, well under a millisecond on a GPU. */
const defaultFlopsPerDraw = 200e6;
/** Render targets that shaders use: four is what WebGL2 guarantees. */
const usedDrawBuffers = 8;
/** Software rasterizers, which have few threads: splitting sums over more fragments makes them slower. */
const software = /swiftshader|llvmpipe|softpipe|software|basic render/i;
const fragmentsOfSoftware = 256;
/** Fragments that occupy a GPU: a few per lane of a small one. */
const fragmentsOfGpu = 8192;
/** Minimum of the texture limit that tests may force: all cases fit into 2^20 texels. */
const smallestTextureLimit = 1024;

export interface Configuration {
  readonly layout: TextureLayout;
  readonly limits: ResourceLimits;
  /** Storage of float32 values that must not be rounded to half floats. */
  readonly fullFloats: FloatStorage;
  readonly target: ShaderTarget;
  readonly info: DeviceInfo;
}

export function configurationOf(
  { renderer, maxTextureSize, drawBuffers, parallelCompile, blend, exact, halfInfinity }: Capabilities,
  floats: FloatStorage,
  options: WebglOptions,
): Configuration {
  const isSoftware = software.test(renderer);
  const layout = new TextureLayout(maxTextureSize, options.textureLimit);
  // If only half floats can be rendered to, partial sums are half floats as well.
  const fullFloats = floats === "rgba16f" && exact.includes("rgba32f") ? "rgba32f" : floats;
  return {
    layout,
    fullFloats,
    limits: {
      poolBytes: options.poolBytes ?? defaultPoolBytes,
      maximumBytes: options.maximumBytes ?? defaultMaximumBytes,
      flopsPerDraw: options.flopsPerDraw ?? defaultFlopsPerDraw,
    },
    target: {
      floats,
      fullFloats,
      halfInfinity,
      layout,
      drawBuffers: Math.min(drawBuffers, usedDrawBuffers),
      fragments: isSoftware && options.textureLimit === undefined ? fragmentsOfSoftware : fragmentsOfGpu,
      extent: Math.min(
        maxTextureSize,
        Math.max(options.textureLimit ?? maxTextureSize, smallestTextureLimit),
      ),
    },
    info: {
      description: `WebGL2, ${renderer}`,
      convLayout: "channels-last",
      ...(floats === "rgba16f" && { float32Bytes: 2 }),
      details: {
        renderer,
        software: isSoftware,
        storage: floats,
        ...(floats === "rgba16f" && { sums: fullFloats }),
        maxTextureSize,
        textureWidth: layout.widest,
        drawBuffers,
        blend,
        parallelCompile: parallelCompile !== null,
      },
    },
  };
}
