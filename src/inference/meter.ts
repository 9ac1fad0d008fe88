/** Meters as runs of models use them: of this process, or of the program that started the page. */
import type { Device } from "../device/device.js";
import { type EnergyFigure, openMeter } from "../energy/index.js";

/** What `EnergyMeter` and a page's way to one have in common. */
export interface Meter {
  begin(): Promise<{ read(): Promise<EnergyFigure> }>;
  close(): void;
}

export type MeterOpener = (device: Device) => Promise<Meter>;

export const ownMeter: MeterOpener = (device) => openMeter({ device });

/** What the program that started a page gives it; intervals have numbers. */
export interface HostMeter {
  /** `gpu`: whether a GPU does the work. */
  beginEnergy(gpu: boolean): Promise<number>;
  readEnergy(interval: number): Promise<EnergyFigure>;
}

/** The meter of the program that started the page, which knows the processor time of the browser and may read the machine's meter. */
export function meterOf({ beginEnergy, readEnergy }: HostMeter): MeterOpener {
  return async ({ name, info }) => {
    // A rasteriser on the processor is no GPU.
    const gpu = name === "webgl" && info.details.software !== true;
    return {
      async begin() {
        const interval = await beginEnergy(gpu);
        return { read: () => readEnergy(interval) };
      },
      close() {},
    };
  };
}
