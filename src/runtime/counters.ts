/** Counters of a device: live memory and compiled Programs. */
import { aDevice, check } from "../core/check.js";
import { defaultDevice, deviceOf } from "../device/default.js";
import type { Device, MemoryReport } from "../device/device.js";
import { sessionOf } from "./session.js";

/**
 * Memory use of a device, by default the default device.
 *
 * @example
 * const before = memory().liveBuffers;
 * const x = tensor([1, 2]);
 * memory().liveBuffers - before; // 1
 */
export function memory(device: Device = defaultDevice()): MemoryReport {
  return check("memory", "the device", device, aDevice).memory();
}

/**
 * Number of Programs compiled for a device, by default the default device; constant in the steady state of a loop.
 *
 * @example
 * const x = tensor([1, 2]);
 * await add(x, 1).data();
 * const before = compileCount();
 * await add(x, 1).data();
 * compileCount() - before; // 0
 */
export function compileCount(device?: Device): number {
  return sessionOf(deviceOf("compileCount", device)).compiled;
}
