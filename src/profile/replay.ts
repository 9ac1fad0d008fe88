/** Times one kernel call in isolation, on its own buffers with synthetic values. */

import { type DType, newArray } from "../core/dtype.js";
import { IndexError } from "../core/errors.js";
import { isTurnDue, nextTurn } from "../core/event_loop.js";
import type { Device, DeviceBuffer } from "../device/device.js";
import type { KernelCall, Program } from "../kernels/kernel.js";
import { operandsOf, withSlots } from "../kernels/operands.js";

/** Minimum duration and maximum length of a burst of runs: clocks and queues are coarse. */
const burstMilliseconds = 2;
const largestBurst = 256;

/** A call renumbered to slots 0, 1, …, all supplied by the caller. */
export function programOf(call: KernelCall, { slots, scalars }: Pick<Program, "slots" | "scalars">): Program {
  const { reads, writes } = operandsOf(call);
  const used = [...new Set([...reads, ...writes].map(({ slot }) => slot))];
  const alone = withSlots(call, (slot) => used.indexOf(slot));
  return {
    calls: [alone],
    slots: used.map((slot) => ({ dtype: slots[slot].dtype, size: slots[slot].size, offset: -1 })),
    leafCount: used.length,
    scalars,
    arenaBytes: 0,
  };
}

/**
 * Seconds of one run: the median of `repetitions` bursts, less the time of waiting for the queue.
 *
 * @throws What the device throws, OutOfMemoryError among others.
 */
export async function timeCall(
  device: Device,
  program: Program,
  scalars: readonly number[],
  repetitions: number,
): Promise<number> {
  const leaves: DeviceBuffer[] = [];
  const executable = device.prepare(program);
  try {
    for (const { dtype, size } of program.slots) leaves.push(device.allocate(dtype, size));
    const probe = device.allocate("float32", 1);
    leaves.push(probe);
    const operands = leaves.slice(0, -1);
    const timeBurst = async (runs: number) => {
      // Kernels that update in place would otherwise drift to values that are slow or not finite.
      fill(device, program, operands);
      await drain(device, probe);
      const start = performance.now();
      for (let i = 0; i < runs; i++) device.run(executable, operands, scalars);
      await drain(device, probe);
      return performance.now() - start;
    };
    // The first run compiles.
    await timeBurst(1);
    const waiting = await median(repetitions, () => timeBurst(0));
    let runs = 1;
    while (runs < largestBurst && (await timeBurst(runs)) < burstMilliseconds + 2 * waiting) runs *= 2;
    const burst = await median(repetitions, () => timeBurst(runs));
    return Math.max(0, burst - waiting) / runs / 1000;
  } finally {
    device.release(executable);
    for (const leaf of leaves) device.free(leaf);
  }
}

async function median(count: number, measure: () => Promise<number>): Promise<number> {
  const values: number[] = [];
  for (let i = 0; i < count; i++) {
    values.push(await measure());
    if (isTurnDue()) await nextTurn();
  }
  return values.sort((a, b) => a - b)[count >> 1];
}

async function drain(device: Device, probe: DeviceBuffer): Promise<void> {
  try {
    await device.read(probe);
  } catch (error) {
    // Made-up indices may be out of range; the time is the same.
    if (!(error instanceof IndexError)) throw error;
  }
}

function fill(device: Device, { calls, slots }: Program, buffers: readonly DeviceBuffer[]): void {
  slots.forEach(({ dtype, size }, slot) => {
    device.write(buffers[slot], valuesFor(dtype, size, largestIndex(calls[0], slot)));
  });
}

/** Number of valid values of an index in this slot; undefined if the slot holds no indices. */
function largestIndex(call: KernelCall, slot: number): number | undefined {
  const indexes = call.kernel === "gather" || call.kernel === "scatterAdd";
  return indexes && call.index.slot === slot ? call.axisSize : undefined;
}

/** Values are positive and near 1, so that logarithms and roots are finite; indices visit every place out of order. */
function valuesFor(dtype: DType, size: number, places: number | undefined) {
  const values = newArray(dtype, size);
  if (places !== undefined) {
    for (let i = 0; i < size; i++) values[i] = (i * 7919) % Math.max(places, 1);
  } else if (dtype === "float32") {
    for (let i = 0; i < size; i++) values[i] = 0.5 + ((i * 7) % 13) / 13;
  } else {
    for (let i = 0; i < size; i++) values[i] = i & 1;
  }
  return values;
}
