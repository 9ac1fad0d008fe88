/** The devices that the suites run on inside a browser, by label. */
import type { Device } from "../../../src/device/device.js";
import { openReference } from "../../../src/device/reference/reference.js";
import { openWasm } from "../../../src/device/wasm/wasm.js";
import { createContext } from "../../../src/device/webgl/gl/context.js";
import { openWebgl, type WebglOptions } from "../../../src/device/webgl/webgl.js";

export interface OpenedDevice {
  readonly device: Device;
  /** What WebGL found wrong since the last time; undefined if nothing, or without WebGL. */
  failure(): string | undefined;
}

const openers = {
  "wasm-simd": () => openWasm({ binary: "simd" }).then(onlyDevice),
  "wasm-relaxed": () => openWasm({ binary: "relaxed" }).then(onlyDevice),
  webgl: () => openChecked({}),
  /** Floats as bits in integer textures: what is left where float textures do not render. */
  "webgl-bits": () => openChecked({ storage: "rgba32ui" }),
  /** Floats rounded to halves where they are stored. */
  "webgl-half": () => openChecked({ storage: "rgba16f" }),
  /** Textures so narrow that nearly every tensor is folded. */
  "webgl-narrow": () => openChecked({ textureLimit: 64 }),
  /** As many render targets as WebGL2 guarantees, and one, as headless-gl has. */
  "webgl-4-targets": () => openChecked({}, 4),
  "webgl-1-target": () => openChecked({}, 1),
} satisfies Record<string, () => Promise<OpenedDevice>>;

export type DeviceLabel = keyof typeof openers;

export const reference: Device = openReference();

const opened = new Map<DeviceLabel, Promise<OpenedDevice>>();

/** Opened once per page. */
export function open(label: DeviceLabel): Promise<OpenedDevice> {
  const device = opened.get(label) ?? openers[label]();
  opened.set(label, device);
  return device;
}

export async function deviceOf(label: DeviceLabel): Promise<Device> {
  return (await open(label)).device;
}

function onlyDevice(device: Device): OpenedDevice {
  return { device, failure: () => undefined };
}

/** On a context that is asked for its errors: a draw that WebGL refuses leaves what was there before. */
async function openChecked(options: WebglOptions, targets?: number): Promise<OpenedDevice> {
  const gl = createContext();
  const { getParameter } = gl;
  gl.getParameter = (which) =>
    which === gl.MAX_DRAW_BUFFERS && targets !== undefined ? targets : getParameter.call(gl, which);
  const device = await openWebgl({ gl, ...options });
  const failure = () => {
    const code = gl.getError();
    return code === gl.NO_ERROR ? undefined : `WebGL raised error 0x${code.toString(16)}`;
  };
  return { device, failure };
}
