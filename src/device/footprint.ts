/** Memory of a Program besides its leaves, without a device allocating it. */
import type { Program } from "./device.js";
import type { Footprint } from "./wasm/footprint.js";

/** Of the device with this name: exact for wasm; of others the temporaries. */
export async function footprintOf(device: string, program: Program): Promise<Footprint> {
  if (device === "wasm") return (await import("./wasm/footprint.js")).wasmFootprint(program);
  return { workspaceBytes: program.arenaBytes, commandBytes: 0, panels: [] };
}
