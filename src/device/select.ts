/** Device selection: opens a device by name, or the fastest one, and reports why others were rejected. */
import {
  aDevice,
  aFunction,
  anObject,
  check,
  checkOptions,
  describe,
  either,
  type Kind,
  type Kinds,
  nearestName,
  oneOf,
} from "../core/check.js";
import { ArgumentError, DeviceError } from "../core/errors.js";
import { standardDevice } from "./default.js";
import type { Device } from "./device.js";
import type { DeviceName, Rejection } from "./names.js";
import type { WasmOptions } from "./wasm/wasm.js";
import type { WebglOptions } from "./webgl/webgl.js";

export type { DeviceName, Rejection } from "./names.js";

/** A device's name, or "auto" for the fastest that works. */
export type DeviceChoice = DeviceName | "auto";

/** Options of `openDevice`. */
export interface OpenOptions {
  /** Options of the wasm device. */
  readonly wasm?: WasmOptions;
  /** Options of the webgl device. */
  readonly webgl?: WebglOptions;
  /** Called once with the chosen device and the reasons against the others. */
  readonly onChoice?: (choice: Choice) => void;
}

const openOptions: Kinds<OpenOptions> = { wasm: anObject, webgl: anObject, onChoice: aFunction };

/** The device that `openDevice` chose. */
export interface Choice {
  readonly device: Device;
  readonly rejected: readonly Rejection[];
}

/** The devices; code is loaded when a device is opened. */
const openers: Readonly<Record<DeviceName, (options: OpenOptions) => Promise<Device>>> = {
  webgl: async ({ webgl }) => (await import("./webgl/webgl.js")).openWebgl(webgl),
  wasm: async ({ wasm }) => (await import("./wasm/wasm.js")).openWasm(wasm),
  reference: async () => (await import("./reference/reference.js")).openReference(),
};

export const deviceNames = Object.keys(openers) as readonly DeviceName[];

/**
 * Opens a device: by name, the first of a list of names that works, or with "auto" (default) the fastest that works, found by a short
 * benchmark; later calls return a device of the same kind.
 *
 * @throws DeviceError with the reasons if no device can be opened; ArgumentError for an unknown name.
 * @example
 * const device = await openDevice("wasm");
 * device.name; // "wasm"
 * device.close();
 */
export async function openDevice(
  choice: DeviceChoice | readonly DeviceName[] = "auto",
  options: OpenOptions = {},
): Promise<Device> {
  checkOptions("openDevice", options, openOptions);
  check("openDevice", "the device", choice, aChoice);
  const names = choice === "auto" ? undefined : typeof choice === "string" ? [choice] : choice;
  for (const name of names ?? []) requireKnown(name);
  const chosen = names === undefined ? await openFastest(options) : await openFirst(names, options);
  options.onChoice?.(chosen);
  return chosen.device;
}

function requireKnown(name: DeviceName): void {
  if (deviceNames.includes(name)) return;
  const nearest = nearestName(String(name), ["auto", ...deviceNames]);
  throw new ArgumentError(`unknown device ${describe(name)}`, {
    op: "openDevice",
    hint: `${nearest ? `did you mean ${nearest}? ` : ""}one of auto, ${deviceNames.join(", ")}`,
  });
}

const aChoice: Kind = [
  "a name or a list of names",
  (value) => typeof value === "string" || (Array.isArray(value) && value.length > 0),
];

/** Argument check of asynchronous functions that accept a device or a name. */
export const deviceOrName: Kind = either(aDevice, oneOf<DeviceChoice>("auto", ...deviceNames));

/** Devices opened by name, shared by all callers. */
const shared = new Map<DeviceChoice, Promise<Device>>();

/**
 * The device itself, or the device of a name: the default device if it has that name, else one that is opened once and shared by all
 * callers.
 *
 * @throws ArgumentError for anything else; what `openDevice` throws.
 */
export async function deviceNamed(op: string, target: Device | DeviceChoice): Promise<Device> {
  check(op, "the device", target, deviceOrName);
  if (typeof target !== "string") return target;
  const standard = standardDevice();
  if (standard !== undefined && (target === "auto" || standard.name === target)) return standard;
  let device = shared.get(target);
  if (device === undefined || (await device).closed) {
    device = openDevice(target);
    shared.set(target, device);
    // A failure is not cached: the next call tries again.
    device.catch(() => shared.delete(target));
  }
  return device;
}

async function openFirst(names: readonly DeviceName[], options: OpenOptions): Promise<Choice> {
  const rejected: Rejection[] = [];
  for (const name of names) {
    const device = await attempt(name, options, rejected);
    if (device !== undefined) return { device, rejected };
  }
  throw new DeviceError(`no device: ${rejected.map(({ name, reason }) => `${name}: ${reason}`).join("; ")}`, {
    op: "openDevice",
    hint: 'openDevice("auto") takes what works',
  });
}

/** Opens a device, or records the reason why it cannot be opened. */
async function attempt(
  name: DeviceName,
  options: OpenOptions,
  rejected: Rejection[],
): Promise<Device | undefined> {
  try {
    return await openers[name](options);
  } catch (error) {
    rejected.push({ name, reason: messageOf(error) });
    return undefined;
  }
}

async function openFastest(options: OpenOptions): Promise<Choice> {
  // Loaded here, so that pages that name their device do not load the benchmark.
  const { race } = await import("./speed.js");
  const { device, rejected } = await race(
    (name) => openers[name](options),
    (name, rejected) => attempt(name, options, rejected),
  );
  // The slow fallback if no other device works.
  return { device: device ?? (await openFirst(["reference"], options)).device, rejected };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Availability of one device. */
export interface DeviceReport {
  readonly name: DeviceName;
  readonly available: boolean;
  /** Why it is not available. */
  readonly reason?: string;
  readonly description?: string;
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/**
 * Opens every device and closes it again, to report which are available; `wattgrad info` prints this.
 *
 * @example
 * const reports = await listDevices();
 * reports.find(({ name }) => name === "reference")!.available; // true
 */
export async function listDevices(options: OpenOptions = {}): Promise<DeviceReport[]> {
  checkOptions("listDevices", options, openOptions);
  const reports: DeviceReport[] = [];
  for (const name of deviceNames) {
    try {
      const device = await openers[name](options);
      const { description, details } = device.info;
      reports.push({ name, available: true, description, details });
      device.close();
    } catch (error) {
      reports.push({ name, available: false, reason: messageOf(error) });
    }
  }
  return reports;
}
