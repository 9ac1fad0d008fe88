/** Contexts that may be lost at any time: looking at one, and giving one back. */
import { DeviceLostError } from "../../../core/errors.js";
import { type Capabilities, probe } from "./context.js";
import type { FloatStorage } from "./storage.js";

/** Browsers allow about 16 contexts at a time and take the oldest away; garbage collection is too late. */
export function loseContext(gl: WebGL2RenderingContext): void {
  gl.getExtension("WEBGL_lose_context")?.loseContext();
}

/** @throws DeviceLostError if the context is lost, or is while it is looked at. */
export function probeLive(gl: WebGL2RenderingContext, wish: FloatStorage | "auto"): Capabilities {
  if (gl.isContextLost()) throw lostAtOnce();
  let capabilities: Capabilities | undefined;
  try {
    capabilities = probe(gl, wish);
  } catch (error) {
    if (!gl.isContextLost()) throw error;
  }
  if (capabilities === undefined || gl.isContextLost()) throw lostAtOnce();
  return capabilities;
}

function lostAtOnce(): DeviceLostError {
  return new DeviceLostError("the WebGL context was lost while it was looked at", {
    op: "openWebgl",
    device: "webgl",
    hint: "try again in a moment, close other pages that use the GPU, or open the wasm device",
  });
}
