/**
 * A device of Node that is lost and comes back as a WebGL context does (src/device/webgl/gl/recovery.ts), so that losses at any
 * moment can be tested without a browser: after `lose()` every use throws DeviceLostError until `recovery.restore()`, which
 * puts back the buffers that the last snapshot holds; the others have lost their values.
 */

import type { TypedArray } from "../../src/core/dtype.js";
import { DeviceLostError, StaleTensorError } from "../../src/core/errors.js";
import type { Device, DeviceBuffer, Executable } from "../../src/device/device.js";
import type { DeviceRecovery, SnapshotParticipant } from "../../src/device/recovery.js";
import type { Program } from "../../src/kernels/kernel.js";
import { operandsOf } from "../../src/kernels/operands.js";

interface Snapshot {
  readonly copies: ReadonlyMap<DeviceBuffer, TypedArray>;
  readonly states: readonly (() => void)[];
}

class Recovery implements DeviceRecovery {
  generation = 0;
  isLost = false;
  /** Buffers that are allocated, and whether they hold a value. */
  readonly live = new Map<DeviceBuffer, boolean>();
  readonly #inner: Device;
  readonly #participants = new Set<SnapshotParticipant>();
  #last: Snapshot | undefined;

  constructor(inner: Device) {
    this.#inner = inner;
  }

  register(participant: SnapshotParticipant): () => void {
    this.#participants.add(participant);
    return () => this.#participants.delete(participant);
  }

  async snapshot(): Promise<boolean> {
    this.check();
    const states: (() => void)[] = [];
    for (const participant of this.#participants) {
      const state = participant.save();
      if (state === undefined) return false;
      states.push(state);
    }
    // Reads of the devices of Node take their copy at once, as fences do on a GPU.
    const reads = [...this.live].flatMap(([buffer, hasValue]) =>
      hasValue ? [this.#inner.read(buffer).then((data) => [buffer, data] as const)] : [],
    );
    this.#last = { copies: new Map(await Promise.all(reads)), states };
    return true;
  }

  async restore(): Promise<void> {
    if (!this.isLost) return;
    const snapshot = this.#last;
    if (snapshot === undefined) throw new DeviceLostError("there is no snapshot");
    await Promise.resolve();
    for (const buffer of this.live.keys()) {
      const copy = snapshot.copies.get(buffer);
      this.live.set(buffer, copy !== undefined);
      if (copy !== undefined) this.#inner.write(buffer, copy);
    }
    this.generation++;
    this.isLost = false;
    for (const participant of this.#participants) participant.reset?.();
    for (const putBack of snapshot.states) putBack();
  }

  check(): void {
    if (this.isLost) throw new DeviceLostError("the device was lost");
  }

  requireValue(buffer: DeviceBuffer): void {
    if (this.live.get(buffer) === false) throw new StaleTensorError("the value was lost with the device");
  }
}

export interface LosableDevice extends Device {
  readonly recovery: DeviceRecovery;
  lose(): void;
}

/** `inner` with losses; it belongs to the result from now on. */
export function losable(inner: Device): LosableDevice {
  const recovery = new Recovery(inner);
  const leaves = new WeakMap<Program, { readonly read: number[]; readonly written: number[] }>();
  const own: Partial<LosableDevice> = {
    recovery,
    lose() {
      recovery.isLost = true;
    },
    allocate(dtype, size) {
      recovery.check();
      const buffer = inner.allocate(dtype, size);
      recovery.live.set(buffer, size === 0);
      return buffer;
    },
    free(buffer) {
      recovery.live.delete(buffer);
      inner.free(buffer);
    },
    write(buffer, data, range) {
      recovery.check();
      inner.write(buffer, data, range);
      if (data.length === buffer.size) recovery.live.set(buffer, true);
    },
    async read(buffer, range) {
      recovery.check();
      recovery.requireValue(buffer);
      const data = await inner.read(buffer, range);
      // What was on its way is lost too.
      recovery.check();
      return data;
    },
    prepare(program) {
      recovery.check();
      return inner.prepare(program);
    },
    run(executable: Executable, buffers, scalars) {
      recovery.check();
      const { program } = executable;
      let used = leaves.get(program);
      if (used === undefined) {
        used = leavesOf(program);
        leaves.set(program, used);
      }
      for (const leaf of used.read) recovery.requireValue(buffers[leaf]);
      inner.run(executable, buffers, scalars);
      for (const leaf of used.written) recovery.live.set(buffers[leaf], true);
    },
  };
  return new Proxy(inner, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return own[name as keyof LosableDevice];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  }) as LosableDevice;
}

/** Leaves that a Program reads before it writes them, and those that it writes. */
function leavesOf({ calls, leafCount }: Program): { read: number[]; written: number[] } {
  const read = new Set<number>();
  const written = new Set<number>();
  for (const call of calls) {
    const { reads, writes } = operandsOf(call);
    for (const { slot } of reads) if (slot < leafCount && !written.has(slot)) read.add(slot);
    for (const { slot } of writes) if (slot < leafCount) written.add(slot);
  }
  return { read: [...read], written: [...written] };
}
