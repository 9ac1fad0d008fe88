/** A device as text, for consoles. */
import { withCommas } from "../core/inspect.js";
import type { Device } from "./device.js";

/** `wasm: WebAssembly SIMD (relaxed), 1 thread; 12 buffers, 1,234,567 bytes`. */
export function describeDevice(device: Device): string {
  const { name, info } = device;
  if (device.closed) return `${name}: closed`;
  const { liveBuffers, liveBytes } = device.memory();
  return `${name}: ${info.description}; ${liveBuffers} buffers, ${withCommas(liveBytes)} bytes`;
}
