/** measure: the energy of one function call. */

import { aFunction, check, checkOptions, type Kinds } from "../core/check.js";
import type { Cost } from "../kernels/kernel.js";
import { totalCost } from "../runtime/realize.js";
import type { EnergyFigure } from "./figure.js";
import { EnergyMeter, type MeterOptions, meterOptions, openMeter, settleDevice } from "./meter.js";

export interface Measured<T> {
  /** What the function returned. */
  readonly value: T;
  readonly energy: EnergyFigure;
  /** What the device computed meanwhile; undefined without `device`. */
  readonly cost: Cost | undefined;
}

export interface MeasureOptions extends MeterOptions {
  /** A meter that is open already; the caller closes it. Default: one is opened for the call. */
  readonly meter?: EnergyMeter;
}

const measureOptions: Kinds<MeasureOptions> = {
  ...meterOptions,
  meter: ["an EnergyMeter", (value) => value instanceof EnergyMeter],
};

/**
 * Runs `fn` once and tells what it took. Counters are coarse: let it work for seconds, not milliseconds. With `device`
 * what was enqueued before is waited for first, and what `fn` enqueued before the end is read.
 *
 * @throws What `fn` throws, and what `openMeter` does.
 * @example
 * const { energy, cost } = await measure(() => evaluate({ model, data, loss: crossEntropy }), { device });
 * console.log(describeEnergy(energy), cost.flops);
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
    if (device !== undefined) await settleDevice(device);
    const before = device && totalCost(device);
    const window = await meter.begin();
    const value = await fn();
    if (device !== undefined) await settleDevice(device);
    const energy = await window.read();
    const after = device && totalCost(device);
    const cost = before && after && { flops: after.flops - before.flops, bytes: after.bytes - before.bytes };
    return { value, energy, cost };
  } finally {
    if (given === undefined) meter.close();
  }
}
