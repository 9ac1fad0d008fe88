/** Which device: opens the one asked for, or the best there is, and says why the others were not taken. */
import { ArgumentError, DeviceError } from "../tensor/errors.js";
import type { Device } from "./device.js";
import { openReference } from "./reference/reference.js";
import { openWasm, type WasmOptions } from "./wasm/wasm.js";

export type DeviceName = "wasm" | "reference";
export type DeviceChoice = DeviceName | "auto";

export interface OpenOptions {
  readonly wasm?: WasmOptions;
  /** Called once with what was chosen and why each better one was not. */
  readonly onChoice?: (choice: Choice) => void;
}

export interface Choice {
  readonly device: Device;
  readonly rejected: readonly { readonly name: DeviceName; readonly reason: string }[];
}

/** Best first. The reference device is the last resort: right, and slow. */
const preference: readonly DeviceName[] = ["wasm", "reference"];

/**
 * Opens a device. `"auto"` takes the best one that works here; a name takes that one or fails.
 *
 * @throws DeviceError naming the reason if the device cannot be opened; ArgumentError for an unknown name.
 * @example
 * const device = await openDevice("auto");
 * console.log(device.info.description); // WebAssembly SIMD (relaxed), 1 thread
 */
export async function openDevice(choice: DeviceChoice = "auto", options: OpenOptions = {}): Promise<Device> {
  if (choice !== "auto" && !preference.includes(choice)) {
    throw new ArgumentError(`unknown device "${choice}"`, {
      op: "openDevice",
      hint: `one of auto, ${preference.join(", ")}`,
    });
  }
  const rejected: { name: DeviceName; reason: string }[] = [];
  for (const name of choice === "auto" ? preference : [choice]) {
    try {
      const device = await open(name, options);
      options.onChoice?.({ device, rejected });
      return device;
    } catch (error) {
      rejected.push({ name, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  throw new DeviceError(`no device: ${rejected.map(({ name, reason }) => `${name}: ${reason}`).join("; ")}`, {
    op: "openDevice",
    hint: "wattgrad needs WebAssembly with SIMD",
  });
}

export interface DeviceReport {
  readonly name: DeviceName;
  readonly available: boolean;
  /** Why it is not available. */
  readonly reason?: string;
  readonly description?: string;
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/** Tries every device and closes it again: what `wattgrad info` prints. */
export async function listDevices(options: OpenOptions = {}): Promise<DeviceReport[]> {
  const reports: DeviceReport[] = [];
  for (const name of preference) {
    try {
      const device = await open(name, options);
      const { description, details } = device.info;
      reports.push({ name, available: true, description, details });
      device.close();
    } catch (error) {
      reports.push({
        name,
        available: false,
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return reports;
}

function open(name: DeviceName, options: OpenOptions): Promise<Device> | Device {
  return name === "wasm" ? openWasm(options.wasm) : openReference();
}
