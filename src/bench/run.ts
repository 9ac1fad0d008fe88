/**
 * Runs cases on devices, in Node or in a page. All of them take turns, round by round over the whole run: a neighbour
 * that is noisy for a while hits all alike, and each has its share of the quiet times.
 */

import type { Device, DeviceBuffer } from "../device/device.js";
import { openDry } from "../device/dry/dry.js";
import { type DeviceName, openDevice } from "../device/select.js";
import { type EnergyKind, type EnergyMeter, openMeter } from "../energy/index.js";
import type { BenchCase, RateUnit, SuiteName, Work } from "./case.js";
import { median } from "./statistics.js";
import { casesOf } from "./suites.js";

export interface RunOptions {
  readonly suites: readonly (SuiteName | "quick" | "all")[];
  readonly devices: readonly DeviceName[];
  /** Rounds. */
  readonly repeat: number;
  /** Milliseconds of work of one turn. */
  readonly turn: number;
}

/** One case on one device; plain data. */
export interface BenchRow {
  readonly suite: SuiteName | "coldstart";
  readonly case: string;
  readonly device: string;
  /** `node` or the browser. */
  readonly where: string;
  readonly threads: number;
  /** SIMD level, null where the device has none. */
  readonly simd: string | null;
  /** Null with an error. */
  readonly medianMs: number | null;
  readonly minMs: number | null;
  /** Each round's milliseconds per run. */
  readonly times: readonly number[];
  /** The same in processor time of this process, which other processes disturb less; null where it is not told. */
  readonly cpuTimes: readonly number[] | null;
  /** Runs in all. */
  readonly runs: number;
  readonly rate: number | null;
  readonly unit: RateUnit | "starts/s";
  readonly flops: number | null;
  readonly bytes: number | null;
  /** Of one run. */
  readonly joules: number | null;
  readonly joulesKind: EnergyKind | null;
  readonly joulesReason?: string;
  /** Another library's name; null for wattgrad. */
  readonly peer: string | null;
  readonly error?: string;
}

export interface RunResult {
  readonly rows: readonly BenchRow[];
  /** Devices that are not there, and why. */
  readonly unavailable: readonly {
    readonly device: string;
    readonly where: string;
    readonly reason: string;
  }[];
  readonly devices: Readonly<Record<string, { readonly description: string; readonly details: object }>>;
  /** Where joules come from. */
  readonly meter: string;
}

/** The reference device does about 1e8 FLOPs a second: what takes longer than seconds is left out. */
const referenceLimit = 2e8;
const largestBurst = 5000;

interface Entry {
  readonly item: BenchCase;
  readonly device: Device;
  readonly probe: DeviceBuffer;
  readonly work: Work;
  readonly burst: number;
  readonly times: number[];
  readonly cpuTimes: number[];
  joules: number | null;
  joulesKind: EnergyKind | null;
  joulesReason: string | undefined;
}

/** Milliseconds of processor time used so far; null where it is not told. */
export type ProcessorClock = () => number | null | Promise<number | null>;

export async function runCases(
  options: RunOptions,
  where: string,
  processor: ProcessorClock = ownProcessorTime,
): Promise<RunResult> {
  const unavailable: { device: string; where: string; reason: string }[] = [];
  const opened: Device[] = [];
  const meters = new Map<Device, EnergyMeter>();
  const failed: BenchRow[] = [];
  try {
    for (const name of options.devices) {
      try {
        const device = await openDevice(name);
        opened.push(device);
        meters.set(device, await openMeter({ device }));
      } catch (error) {
        unavailable.push({ device: name, where, reason: messageOf(error) });
      }
    }
    const entries: Entry[] = [];
    for (const item of casesOf(options.suites)) {
      for (const device of opened) {
        try {
          entries.push(await prepare(item, device, options.turn));
        } catch (error) {
          failed.push({ ...emptyRow(item, device, where), error: messageOf(error) });
        }
      }
    }
    for (let round = 0; round < options.repeat; round++) {
      for (const entry of entries) await takeTurn(entry, meters.get(entry.device)!, processor);
    }
    return {
      rows: [...entries.map((entry) => rowOf(entry, where)), ...failed],
      unavailable,
      devices: Object.fromEntries(
        opened.map(({ name, info: { description, details } }) => [name, { description, details }]),
      ),
      meter: [...meters.values()].map(({ name }) => name).join(", "),
    };
  } finally {
    for (const meter of meters.values()) meter.close();
    for (const device of opened) device.close();
  }
}

async function prepare(item: BenchCase, device: Device, turn: number): Promise<Entry> {
  if (device.name === "reference") {
    const dry = openDry();
    const { flops } = (await item.build(dry)).cost;
    dry.close();
    if (flops > referenceLimit)
      throw new Error(`${(flops / 1e9).toFixed(1)} GFLOP are left out on the reference device`);
  }
  const work = await item.build(device);
  const probe = device.allocate("float32", 1);
  const timeBurst = async (runs: number) => {
    const start = performance.now();
    for (let i = 0; i < runs; i++) work.run();
    await device.read(probe);
    return performance.now() - start;
  };
  // Engines compile what is called often.
  await timeBurst(2);
  const once = Math.min(await timeBurst(1), await timeBurst(1));
  const burst = Math.min(largestBurst, Math.max(1, Math.round(turn / Math.max(once, turn / largestBurst))));
  return {
    item,
    device,
    probe,
    work,
    burst,
    times: [],
    cpuTimes: [],
    joules: 0,
    joulesKind: null,
    joulesReason: undefined,
  };
}

async function takeTurn(entry: Entry, meter: EnergyMeter, processor: ProcessorClock): Promise<void> {
  const { device, probe, work, burst } = entry;
  const window = await meter.begin();
  const cpuStart = await processor();
  const start = performance.now();
  for (let i = 0; i < burst; i++) work.run();
  await device.read(probe);
  entry.times.push((performance.now() - start) / burst);
  const cpuEnd = await processor();
  if (cpuStart !== null && cpuEnd !== null) entry.cpuTimes.push((cpuEnd - cpuStart) / burst);
  const { joules, kind, reason } = await window.read();
  entry.joulesKind = kind;
  entry.joulesReason = reason;
  entry.joules = entry.joules === null || joules === null ? null : entry.joules + joules;
  // A page that never yields is taken for dead.
  await new Promise((resolve) => setTimeout(resolve, 0));
}

/** Of all threads of this process; pages are not told theirs. */
function ownProcessorTime(): number | null {
  if (typeof globalThis.process?.cpuUsage !== "function") return null;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function rowOf(entry: Entry, where: string): BenchRow {
  const { item, device, work, burst, times, joules, joulesKind, joulesReason } = entry;
  const medianMs = median(times);
  const { flops, bytes } = work.cost;
  const amount = {
    "GFLOP/s": flops / 1e9,
    "GB/s": bytes / 1e9,
    "ops/s": work.amount,
    "steps/s": work.amount,
  };
  const runs = burst * times.length;
  return {
    ...emptyRow(item, device, where),
    medianMs,
    minMs: Math.min(...times),
    times,
    cpuTimes: entry.cpuTimes.length > 0 ? entry.cpuTimes : null,
    runs,
    rate: amount[item.unit] / (medianMs / 1e3),
    flops,
    bytes,
    joules: joules === null ? null : joules / runs,
    joulesKind,
    ...(joulesReason !== undefined && { joulesReason }),
  };
}

function emptyRow({ suite, name, unit }: BenchCase, { name: device, info }: Device, where: string): BenchRow {
  const { threads, simd } = info.details;
  return {
    suite,
    case: name,
    device,
    where,
    threads: typeof threads === "number" ? threads : 1,
    simd: typeof simd === "string" ? simd : null,
    medianMs: null,
    minMs: null,
    times: [],
    cpuTimes: null,
    runs: 0,
    rate: null,
    unit,
    flops: null,
    bytes: null,
    joules: null,
    joulesKind: null,
    peer: null,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
