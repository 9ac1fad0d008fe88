/** Leaf memory: one device buffer with a version counter, freed by `dispose` or, as a safety net, by the GC. */

import { itemSize } from "../core/dtype.js";
import { StaleTensorError } from "../core/errors.js";
import { noteMemory } from "../core/event_loop.js";
import { inspectable } from "../core/inspect.js";
import type { Device, DeviceBuffer } from "../device/device.js";

interface Held {
  readonly device: Device;
  readonly buffer: DeviceBuffer;
}

/** Number of in-place changes of any memory so far: while it is constant, no lazy tensor can become stale. */
export let changeCount = 0;

/** Records that any memory may have changed, for example after a context was restored. */
export function noteChanges(): void {
  changeCount++;
}

const collected = new FinalizationRegistry<Held>(({ device, buffer }) => {
  device.free(buffer);
  noteMemory(-bytesOf(buffer), true);
});

function bytesOf({ dtype, size }: DeviceBuffer): number {
  return itemSize[dtype] * size;
}

export class Storage {
  readonly device: Device;
  #changes = 0;
  #buffer: DeviceBuffer | undefined;

  constructor(device: Device, buffer: DeviceBuffer) {
    this.device = device;
    this.#buffer = buffer;
    collected.register(this, { device, buffer }, this);
    noteMemory(bytesOf(buffer));
  }

  /**
   * Number of in-place changes, which detects lazy tensors built on an older value; 0 for memory that was never changed.
   */
  get version(): number {
    return this.#changes + (this.#buffer?.rewinds ?? 0);
  }

  /** Counts an in-place change. */
  noteChange(): void {
    changeCount++;
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

  toString(): string {
    const { name } = this.device;
    return this.disposed
      ? `Storage on ${name}, disposed`
      : `Storage of ${this.buffer.size} ${this.buffer.dtype} on ${name}`;
  }

  static {
    inspectable(Storage.prototype);
  }

  dispose(): void {
    if (this.#buffer === undefined) return;
    collected.unregister(this);
    this.device.free(this.#buffer);
    noteMemory(-bytesOf(this.#buffer));
    this.#buffer = undefined;
  }
}
