/** The devices that the suites run on inside a browser, by label. */
import type { Device } from "../../../src/device/device.js";
import { openReference } from "../../../src/device/reference/reference.js";
import { openWasm } from "../../../src/device/wasm/wasm.js";
import { openWebgl } from "../../../src/device/webgl/webgl.js";

const openers = {
  "wasm-simd": () => openWasm({ binary: "simd" }),
  "wasm-relaxed": () => openWasm({ binary: "relaxed" }),
  webgl: () => openWebgl(),
  /** Floats as bits in integer textures: what is left where float textures do not render. */
  "webgl-bits": () => openWebgl({ storage: "rgba32ui" }),
  /** Textures so narrow that nearly every tensor is folded. */
  "webgl-narrow": () => openWebgl({ textureLimit: 64 }),
} satisfies Record<string, () => Promise<Device>>;

export type DeviceLabel = keyof typeof openers;

export const reference: Device = openReference();

const opened = new Map<DeviceLabel, Promise<Device>>();

/** Opened once per page. */
export function deviceOf(label: DeviceLabel): Promise<Device> {
  const device = opened.get(label) ?? openers[label]();
  opened.set(label, device);
  return device;
}
