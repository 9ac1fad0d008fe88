/**
 * A device that runs the reference device's kernels and records every element they access: bytes read and written are counted from the
 * accesses, not from the operands' shapes.
 */

import { type DType, itemSize, type TypedArray } from "../../src/core/dtype.js";
import type { Device, DeviceBuffer, Executable, MemoryReport } from "../../src/device/device.js";
import { openReference, runCall } from "../../src/device/reference/reference.js";
import type { Program } from "../../src/kernels/kernel.js";

/** Elements touched by one kernel call, each counted once for reading and once for writing. */
class Touched {
  readonly #reads = new Map<number, Set<number>>();
  readonly #writes = new Map<number, Set<number>>();

  /** An array that notes its accesses under a slot. */
  watch(slot: number, data: TypedArray): TypedArray {
    const reads = this.#of(this.#reads, slot);
    const writes = this.#of(this.#writes, slot);
    return new Proxy(data, {
      get(target, key) {
        const index = typeof key === "string" ? Number(key) : Number.NaN;
        if (!Number.isInteger(index)) return Reflect.get(target, key);
        // What the kernel has written itself is a sum under way, which a real one keeps in a register.
        if (!writes.has(index)) reads.add(index);
        return target[index];
      },
      set(target, key, value) {
        writes.add(Number(key));
        target[Number(key)] = value;
        return true;
      },
    });
  }

  bytes(dtypeOf: (slot: number) => DType): number {
    let sum = 0;
    for (const accesses of [this.#reads, this.#writes]) {
      for (const [slot, elements] of accesses) sum += elements.size * itemSize[dtypeOf(slot)];
    }
    return sum;
  }

  #of(accesses: Map<number, Set<number>>, slot: number): Set<number> {
    let elements = accesses.get(slot);
    if (elements === undefined) {
      elements = new Set();
      accesses.set(slot, elements);
    }
    return elements;
  }
}

interface RecordingBuffer extends DeviceBuffer {
  readonly data: TypedArray;
}

export interface RecordingDevice extends Device {
  /** Bytes touched by each call run so far. */
  readonly touched: number[];
}

export function openRecording(): RecordingDevice {
  const reference = openReference();
  const touched: number[] = [];
  const arrayOf = (dtype: DType, size: number) =>
    dtype === "float32"
      ? new Float64Array(size)
      : dtype === "int32"
        ? new Int32Array(size)
        : new Uint8Array(size);
  return {
    name: "recording",
    info: reference.info,
    lost: reference.lost,
    touched,
    allocate: (dtype: DType, size: number): RecordingBuffer => ({ dtype, size, data: arrayOf(dtype, size) }),
    free() {},
    write: (buffer, data) => (buffer as RecordingBuffer).data.set(data),
    read: async (buffer) => (buffer as RecordingBuffer).data.slice(),
    prepare: (program: Program): Executable => ({ program, bytes: 0 }),
    release() {},
    run({ program }, leaves, scalars) {
      const arrays = program.slots.map(({ dtype, size }, slot) =>
        slot < program.leafCount ? (leaves[slot] as RecordingBuffer).data : arrayOf(dtype, size),
      );
      for (const call of program.calls) {
        const touches = new Touched();
        const watched = arrays.map((data, slot) => touches.watch(slot, data));
        runCall(call, (slot) => watched[slot], scalars);
        touched.push(touches.bytes((slot) => program.slots[slot].dtype));
      }
    },
    memory: (): MemoryReport => reference.memory(),
    close() {},
  };
}
