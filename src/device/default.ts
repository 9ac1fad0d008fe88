/** The default device of tensors, layers and loaders. */
import { aDevice, check } from "../core/check.js";
import { DeviceError } from "../core/errors.js";
import type { Device } from "./device.js";

let standard: Device | undefined;

/**
 * Sets the device for tensors, layers and loaders that are created without `device`; undefined removes it.
 *
 * @example
 * const device = await openDevice("wasm");
 * setDefaultDevice(device);
 * tensor([1, 2]).device === device; // true
 *
 * @throws ArgumentError for anything that is not an open device, such as a name or a promise.
 */
export function setDefaultDevice(device: Device | undefined): void {
  if (device !== undefined) check("setDefaultDevice", "the device", device, aDevice);
  standard = device;
}

/**
 * The device given to `setDefaultDevice`.
 *
 * @example
 * defaultDevice().name; // "wasm"
 *
 * @throws DeviceError if none was set.
 */
export function defaultDevice(): Device {
  return deviceOf("defaultDevice", undefined);
}

/** The default device, if one was set. */
export function standardDevice(): Device | undefined {
  return standard;
}

/** The device given, or else the default one. @throws ArgumentError, DeviceError */
export function deviceOf(op: string, device: Device | undefined): Device {
  if (device !== undefined) return check(op, "device", device, aDevice);
  if (standard !== undefined) return standard;
  throw new DeviceError("there is no default device", {
    op,
    hint: "setDefaultDevice(await openDevice()) once, or give { device }",
  });
}
