/** The shader target of a device with float textures, without a context. */
import { TextureLayout } from "../../src/device/webgl/gl/storage.js";

export const webglTarget = {
  floats: "rgba32f",
  fullFloats: "rgba32f",
  halfInfinity: undefined,
  layout: new TextureLayout(8192),
  drawBuffers: 8,
  fragments: 8192,
  extent: 8192,
} as const;
