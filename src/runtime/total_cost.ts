/** Counts the cost of everything that a device runs. A separate file, so that only pages that count costs load the formulas. */
import { aDevice, check } from "../core/check.js";
import { defaultDevice } from "../device/default.js";
import type { Device } from "../device/device.js";
import { type Cost, costOf } from "../kernels/cost.js";
import { sessionOf } from "./session.js";

/** FLOPs, bytes and number of Programs. */
export interface TotalCost extends Cost {
  /** Programs. */
  readonly runs: number;
}

const totals = new WeakMap<Device, { -readonly [Field in keyof TotalCost]: number }>();

/**
 * FLOPs, bytes and number of the Programs that a device has run since the first call with this device, which starts the count and
 * returns zeros. The difference of two calls is the cost of what ran between them.
 *
 * @example
 * const before = totalCost().flops;
 * await add(tensor([1, 2]), 1).data();
 * totalCost().flops - before; // 2
 */
export function totalCost(device: Device = defaultDevice()): TotalCost {
  check("totalCost", "the device", device, aDevice);
  let total = totals.get(device);
  if (total === undefined) {
    const counted = { flops: 0, bytes: 0, runs: 0 };
    const { info } = device;
    sessionOf(device).observers.add((program) => {
      const { flops, bytes } = costOf(program, info);
      counted.flops += flops;
      counted.bytes += bytes;
      counted.runs++;
    });
    totals.set(device, counted);
    total = counted;
  }
  return { ...total };
}
