/**
 * The meta device: tensors with shape and dtype and no memory, as PyTorch's. A model built on it costs nothing; its tensors get
 * values by `loadStateDict(state, { assign: device })` or from `loadQuantized`.
 */

import { DeviceError } from "../core/errors.js";
import { inspectable } from "../core/inspect.js";
import { describeDevice } from "./describe.js";
import type { Device, DeviceBuffer, Executable } from "./device.js";
import { rangeOf } from "./range.js";

/**
 * Opens a meta device, as PyTorch's: tensors have a shape and dtype, but no memory. They get values by
 * `loadStateDict(state, { assign: device })` or `loadQuantized`.
 *
 * @example
 * const model = new Linear(2, 1, { device: openMeta() });
 * const state = new Map(Object.entries({ weight: ones([1, 2]), bias: zeros([1]) }));
 * await model.loadStateDict(state, { assign: "wasm" });
 * model.forward(tensor([[1, 2]])); // [[3]]
 */
export function openMeta(): Device {
  const memory = {
    liveBuffers: 0,
    liveBytes: 0,
    peakBytes: 0,
    reservedBytes: 0,
    allocations: 0,
    executables: 0,
  };
  const device: Device = {
    name: "meta",
    info: { description: "shapes without values", convLayout: "channels-first", details: {} },
    allocate: (dtype, size): DeviceBuffer => ({ dtype, size }),
    free() {},
    write({ size }, data, range) {
      rangeOf("write", size, range, data.length);
    },
    async read() {
      throw new DeviceError("tensors on the meta device have no values", {
        device: "meta",
        hint: "load a state dict with { assign: device } first; registerBuffer takes { derive } for what it lacks",
      });
    },
    prepare: (program): Executable => ({ program, bytes: 0 }),
    release() {},
    run: () => undefined,
    memory: () => memory,
    lost: new Promise(() => {}),
    close() {},
  };
  inspectable(device, describeDevice);
  return device;
}
