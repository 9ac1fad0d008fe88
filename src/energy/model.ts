/** Energy models for machines without a readable meter: counted work times a constant. */

import type { Device } from "../device/device.js";
import { totalCost } from "../runtime/total_cost.js";
import { horowitz2014, joulesOf, methodOf, operationScope } from "./operations.js";
import type { EnergySource } from "./source.js";

/**
 * Default watts of one busy core. Processors' rated power over their cores is 4.4 W (AMD EPYC 7763, 280 W, 64
 * cores), 7 W (Intel Core i7-1165G7, 28 W, 4 cores), 13 W (AMD Ryzen 7 5800X, 105 W, 8 cores).
 */
const assumedWatts = 7;
const assumption = "assumed: processors' rated power is 4 to 13 W a core";

/** Best available model: CPU time in Node, the device's counted operations in a page, else wall-clock time. */
export function openModel(
  cpuWatts: number | undefined,
  device: Device | undefined,
  processorTime?: () => Promise<number>,
): EnergySource {
  if (processorTime !== undefined) return cpuTimeOfOthers(cpuWatts, processorTime);
  if (typeof globalThis.process?.cpuUsage === "function") return cpuTime(cpuWatts);
  if (device !== undefined && cpuWatts === undefined) return countedOperations(device);
  return wallClock(cpuWatts);
}

const base = { coversGpu: false, isCheap: true, close() {} } as const;

/** CPU time of all threads of this process. */
function cpuTime(cpuWatts: number | undefined): EnergySource {
  return {
    ...base,
    ...perCpuTime(cpuWatts),
    scope: "processor cores, this process",
    async read() {
      const { user, system } = process.cpuUsage();
      return (user + system) * 1e-6 * (cpuWatts ?? assumedWatts);
    },
  };
}

function cpuTimeOfOthers(cpuWatts: number | undefined, processorTime: () => Promise<number>): EnergySource {
  return {
    ...base,
    ...perCpuTime(cpuWatts),
    scope: "processor cores, the processes that do the work",
    isCheap: false,
    read: async () => (await processorTime()) * (cpuWatts ?? assumedWatts),
  };
}

function perCpuTime(cpuWatts: number | undefined) {
  const origin = cpuWatts === undefined ? assumption : "as given";
  return {
    name: "cpu-time",
    kind: cpuWatts === undefined ? "assumed" : "modelled",
    method: `CPU time × ${cpuWatts ?? assumedWatts} W a busy core (${origin})`,
  } as const;
}

function countedOperations(device: Device): EnergySource {
  return {
    ...base,
    name: "operations",
    kind: "modelled",
    method: methodOf(horowitz2014),
    scope: operationScope,
    // Counts the device's arithmetic, on the CPU or the GPU.
    coversGpu: true,
    read: async () => joulesOf(totalCost(device), horowitz2014),
  };
}

function wallClock(cpuWatts: number | undefined): EnergySource {
  const watts = cpuWatts ?? assumedWatts;
  return {
    ...base,
    name: "wall-clock",
    kind: "assumed",
    method: `wall-clock time × ${watts} W, as if one core were always busy (${cpuWatts === undefined ? assumption : "as given"})`,
    scope: "one processor core",
    read: async () => (performance.now() / 1000) * watts,
  };
}
