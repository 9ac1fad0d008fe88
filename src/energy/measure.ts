/** measure: the energy of one function call. */

import { aFunction, check, checkOptions, type Kinds } from "../core/check.js";
import type { Cost } from "../kernels/kernel.js";
import { totalCost } from "../runtime/total_cost.js";
import type { EnergyFigure } from "./figure.js";
import { EnergyMeter, type MeterOptions, meterOptions, openMeter, waitForDevice } from "./meter.js";

/** The result of `measure`. */
export interface Measured<T> {
  /** The function's result. */
  readonly value: T;
  readonly energy: EnergyFigure;
  /** Work of the device during the interval; undefined without `device`. */
  readonly cost: Cost | undefined;
}

/** Options of `measure`. */
export interface MeasureOptions extends MeterOptions {
  /** An open meter; the caller closes it. Default: a meter opened for this call. */
  readonly meter?: EnergyMeter;
}

const measureOptions: Kinds<MeasureOptions> = {
  ...meterOptions,
  meter: ["an EnergyMeter", (value) => value instanceof EnergyMeter],
};

/**
 * Runs `fn` once and returns its energy. Meters are coarse: `fn` should take seconds, not milliseconds. With `device`, work enqueued
 * before is awaited first, and work that `fn` enqueued is awaited before the reading.
 *
 * @throws Errors of `fn` and of `openMeter`.
 * @example
 * const { value, energy } = await measure(() => 6 * 7, { cpuWatts: 10 });
 * value; // 42
 * energy.seconds > 0; // true
 */
export async function measure<T>(
  fn: () => T | Promise<T>,
  options: MeasureOptions = {},
): Promise<Measured<T>> {
  check("measure", "the first argument", fn, aFunction);
  const { meter: given, ...forMeter } = checkOptions("measure", options, measureOptions);
  const { device } = forMeter;
  const meter = given ?? (await openMeter(forMeter));
  try {
    if (device !== undefined) await waitForDevice(device);
    const before = device && totalCost(device);
    const window = await meter.begin();
    const value = await fn();
    if (device !== undefined) await waitForDevice(device);
    const energy = await window.read();
    const after = device && totalCost(device);
    const cost = before && after && { flops: after.flops - before.flops, bytes: after.bytes - before.bytes };
    return { value, energy, cost };
  } finally {
    if (given === undefined) meter.close();
  }
}
