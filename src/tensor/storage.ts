/** Leaf memory: one device buffer with a version counter, freed by `dispose` or, as a safety net, by the GC. */
import type { Device, DeviceBuffer } from "../device/device.js";
import { StaleTensorError } from "./errors.js";

interface Held {
  readonly device: Device;
  readonly buffer: DeviceBuffer;
}

const collected = new FinalizationRegistry<Held>(({ device, buffer }) => device.free(buffer));

export class Storage {
  readonly device: Device;
  #changes = 0;
  #buffer: DeviceBuffer | undefined;

  constructor(device: Device, buffer: DeviceBuffer) {
    this.device = device;
    this.#buffer = buffer;
    collected.register(this, { device, buffer }, this);
  }

  /** Grows with every in-place change, so that lazy tensors built on an older value are found out. */
  get version(): number {
    return this.#changes + (this.device.recovery?.generation ?? 0);
  }

  /** Notes an in-place change. */
  noteChange(): void {
    this.#changes++;
  }

  get disposed(): boolean {
    return this.#buffer === undefined;
  }

  /** @throws StaleTensorError after `dispose`. */
  get buffer(): DeviceBuffer {
    if (this.#buffer === undefined) {
      throw new StaleTensorError("the tensor was disposed", {
        device: this.device.name,
        hint: "clone() what has to outlive its batch or scope",
      });
    }
    return this.#buffer;
  }

  dispose(): void {
    if (this.#buffer === undefined) return;
    collected.unregister(this);
    this.device.free(this.#buffer);
    this.#buffer = undefined;
  }
}
