/** Memory of a Program besides its leaves, without a device allocating it. */
import type { Program } from "./device.js";
import type { Footprint } from "./wasm/footprint.js";

/** Memory that a Program needs on the device with this name: exact for wasm; the temporaries for other devices. */
export async function footprintOf(device: string, program: Program): Promise<Footprint> {
  if (device === "wasm") return (await import("./wasm/footprint.js")).wasmFootprint(program);
  return { workspaceBytes: program.arenaBytes, commandBytes: 0, panels: [] };
}
