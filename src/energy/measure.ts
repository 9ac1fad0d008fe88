/** measure: the energy of one function call. */
import { totalCost } from "../compiler/realize.js";
import type { Cost } from "../device/kernel.js";
import type { EnergyFigure } from "./figure.js";
import { type EnergyMeter, type MeterOptions, openMeter, settleDevice } from "./meter.js";

export interface Measured<T> {
  /** What the function returned. */
  readonly value: T;
  readonly energy: EnergyFigure;
  /** What the device computed meanwhile; undefined without `device`. */
  readonly cost: Cost | undefined;
}

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
  options: MeterOptions & { readonly meter?: EnergyMeter } = {},
): Promise<Measured<T>> {
  const { device } = options;
  const meter = options.meter ?? (await openMeter(options));
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
    if (options.meter === undefined) meter.close();
  }
}
