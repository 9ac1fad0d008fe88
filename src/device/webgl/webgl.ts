/** Opens the GPU device: WebGL2 fragment shaders over textures. */
import { chooseStorage, createContext } from "./gl/context.js";
import { loseContext, probeLive } from "./gl/live.js";
import type { WebglOptions } from "./options.js";
import { WebglDevice } from "./webgl_device.js";

export type { WebglOptions } from "./options.js";
export { WebglDevice } from "./webgl_device.js";

/**
 * Opens the WebGL2 device.
 * @throws DeviceError if there is no context, or none that stores exact values; DeviceLostError if `gl` is lost.
 * @example
 * const device = await openWebgl();
 * console.log(device.info.description); // WebGL2, ANGLE (…)
 */
export async function openWebgl(options: WebglOptions = {}): Promise<WebglDevice> {
  const gl = options.gl ?? createContext();
  try {
    const wish = options.storage ?? "auto";
    const capabilities = probeLive(gl, wish);
    return new WebglDevice(gl, capabilities, chooseStorage(capabilities, wish), options);
  } catch (error) {
    if (options.gl === undefined) loseContext(gl);
    throw error;
  }
}
