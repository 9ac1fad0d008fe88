/**
 * Runs cases on devices and other libraries, in Node or in a page. Contenders take turns, round by round over the whole run, so that
 * temporary load on the machine affects all of them equally.
 */

import { nextTurn } from "../core/event_loop.js";
import type { DeviceName } from "../device/select.js";
import type { EnergyKind } from "../energy/index.js";
import type { Cost } from "../kernels/kernel.js";
import type { Roofline } from "../profile/index.js";
import { median } from "../profile/statistics.js";
import { requireSame, type Sketch, sketchOf } from "./check.js";
import type { Contender, Work } from "./contender.js";
import { openOurs } from "./ours.js";
import { type BenchCase, dtypeOf, type RateUnit, type SuiteName } from "./problem.js";
import { casesOf } from "./suites.js";

export interface RunOptions {
  readonly suites: readonly (SuiteName | "quick" | "all")[];
  readonly devices: readonly DeviceName[];
  /** Rounds. */
  readonly repeat: number;
  /** Duration of one turn in ms. */
  readonly turn: number;
  /** Also measures the roofline of each wattgrad device, which takes some seconds. Default false. */
  readonly roofline?: boolean;
}

/** One case on one device; plain data. */
export interface BenchRow {
  readonly suite: SuiteName | "coldstart";
  readonly case: string;
  readonly dtype: "float32" | "int8";
  readonly device: string;
  /** `node` or the browser. */
  readonly where: string;
  readonly threads: number;
  /** SIMD level; null if the device has none. */
  readonly simd: string | null;
  /** Null if the case failed. */
  readonly medianMs: number | null;
  readonly minMs: number | null;
  /** Each round's milliseconds per run. */
  readonly times: readonly number[];
  /** The same in processor time of this process, which other processes disturb less; null if unavailable. */
  readonly cpuTimes: readonly number[] | null;
  /** Total number of runs. */
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
  /** Of the first steps of a training. */
  readonly losses?: readonly number[];
  readonly error?: string;
}

export interface RunResult {
  readonly rows: readonly BenchRow[];
  /** Unavailable devices and the reasons. */
  readonly unavailable: readonly {
    readonly device: string;
    readonly where: string;
    readonly reason: string;
  }[];
  /** wattgrad's devices by name, other libraries as `tfjs wasm`. */
  readonly devices: Readonly<Record<string, { readonly description: string; readonly details: object }>>;
  /** Rooflines by device, if requested. */
  readonly rooflines?: Readonly<Record<string, Roofline>>;
  /** Source of the energy figures. */
  readonly meter: string;
}

const largestBurst = 5000;
/** Time budget per case in ms; peers get less. */
const [patience, patienceWithPeers] = [20_000, 2000];
/** Number of training steps whose losses are reported, and their time budget in ms. */
const [curveSteps, curveBudget] = [40, 3000];

interface Entry {
  readonly item: BenchCase;
  readonly contender: Contender;
  readonly work: Work;
  /** Cost of one run; for libraries that do not count, wattgrad's cost of the same work. */
  readonly cost: Cost | null;
  readonly burst: number;
  readonly losses: readonly number[] | undefined;
  readonly times: number[];
  readonly cpuTimes: number[];
  /** Total ms of all turns. */
  used: number;
  joules: number | null;
  joulesKind: EnergyKind | null;
  joulesReason: string | undefined;
  /** The error that ended its turns. */
  failure: string | undefined;
}

/** Processor time used so far in ms; null if unavailable. */
export type ProcessorClock = () => number | null | Promise<number | null>;

/** A peer library, opened before its first turn. */
export interface PeerOpener {
  readonly peer: string;
  readonly device: string;
  open(): Promise<Contender>;
}

export interface Surroundings {
  /** Default: the processor time of this process, if available. */
  readonly processor?: ProcessorClock;
  readonly peers?: readonly PeerOpener[];
  /** Called before each case is prepared and after each round, with the completed fraction (0 to 1) and the next item. */
  readonly onProgress?: (share: number, next: string) => void;
}

/** Share of the total time spent on preparing the cases; for the progress bar. */
const preparing = 0.3;

export async function runCases(
  options: RunOptions,
  where: string,
  { processor = ownProcessorTime, peers = [], onProgress }: Surroundings = {},
): Promise<RunResult> {
  const unavailable: { device: string; where: string; reason: string }[] = [];
  const opened: Contender[] = [];
  const failed: BenchRow[] = [];
  try {
    const openers = [
      ...options.devices.map((name) => ({ label: name as string, open: () => openOurs(name) })),
      ...peers.map(({ peer, device, open }) => ({ label: `${peer} ${device}`, open })),
    ];
    for (const { label, open } of openers) {
      try {
        opened.push(await open());
      } catch (error) {
        unavailable.push({ device: label, where, reason: messageOf(error) });
      }
    }
    const entries: Entry[] = [];
    const items = casesOf(options.suites);
    for (const [i, item] of items.entries()) {
      let expected: Expected | undefined;
      for (const contender of opened) {
        onProgress?.((preparing * i) / items.length, `${item.suite}, ${item.name}, ${labelOf(contender)}`);
        try {
          const [entry, sketch] = await prepare(item, contender, options.turn, expected);
          // A rounded result cannot be the reference for others.
          if (entry.work.step === undefined) {
            expected ??= { sketch, whose: labelOf(contender), cost: entry.cost };
          }
          entries.push(entry);
        } catch (error) {
          failed.push({ ...emptyRow(item, contender, where), error: messageOf(error) });
        }
      }
    }
    for (let round = 0; round < options.repeat; round++) {
      const share = preparing + ((1 - preparing) * round) / options.repeat;
      onProgress?.(share, `round ${round + 1} of ${options.repeat}`);
      for (const entry of entries) await takeTurn(entry, processor);
    }
    for (const { work } of entries) work.close();
    const rooflines = options.roofline ? await rooflinesOf(opened) : undefined;
    return {
      rows: inOrder(items, opened, [...entries.map((entry) => rowOf(entry, where)), ...failed]),
      unavailable,
      devices: Object.fromEntries(
        opened.map((contender) => {
          const { description, details } = contender;
          return [labelOf(contender), { description, details }];
        }),
      ),
      ...(rooflines && { rooflines }),
      meter: [...new Set(opened.flatMap(({ meter }) => meter?.name ?? []))].join(", "),
    };
  } finally {
    for (const contender of opened) contender.close();
  }
}

async function rooflinesOf(contenders: readonly Contender[]): Promise<Record<string, Roofline>> {
  const found: Record<string, Roofline> = {};
  for (const { device, roofline } of contenders) if (roofline !== undefined) found[device] = await roofline();
  return found;
}

/** For example `wasm` or `tfjs wasm`. */
export function labelOf({ peer, device }: { readonly peer: string | null; readonly device: string }): string {
  return peer === null ? device : `${peer} ${device}`;
}

/** Rows by case, then by contender. */
function inOrder(
  items: readonly BenchCase[],
  contenders: readonly Contender[],
  rows: readonly BenchRow[],
): BenchRow[] {
  const find = ({ suite, name }: BenchCase, contender: Contender) =>
    rows.find((row) => row.suite === suite && row.case === name && labelOf(row) === labelOf(contender)) ?? [];
  return items.flatMap((item) => contenders.flatMap((contender) => find(item, contender)));
}

/** Result and cost of the first contender. */
interface Expected {
  readonly cost: Cost | null;
  readonly sketch: Sketch;
  readonly whose: string;
}

async function prepare(
  item: BenchCase,
  contender: Contender,
  turn: number,
  expected: Expected | undefined,
): Promise<[Entry, Sketch]> {
  const work = await contender.build(item.problem);
  try {
    const sketch = sketchOf(await work.result());
    if (expected !== undefined) requireSame(sketch, expected.sketch, expected.whose, work.step);
    const losses = item.problem.kind === "train" ? await curveOf(work, sketch.values[0]) : undefined;
    const timeBurst = async (runs: number) => {
      const start = performance.now();
      for (let i = 0; i < runs; i++) await work.run();
      await work.finish();
      return performance.now() - start;
    };
    // Engines optimize functions that are called often; one warm-up must do for runs of seconds.
    let once = await timeBurst(1);
    if (once < patienceWith(contender) / 8) once = Math.min(once, await timeBurst(2), await timeBurst(1));
    const burst = Math.min(largestBurst, Math.max(1, Math.round(turn / Math.max(once, turn / largestBurst))));
    const figures = {
      times: [],
      cpuTimes: [],
      used: 0,
      joules: 0,
      joulesKind: null,
      joulesReason: undefined,
      failure: undefined,
    };
    const cost = work.cost ?? expected?.cost ?? null;
    return [{ item, contender, work, cost, burst, losses, ...figures }, sketch];
  } catch (error) {
    work.close();
    throw error;
  }
}

/** Losses of the first steps, which include compilation. */
async function curveOf(work: Work, first: number): Promise<number[]> {
  const losses = [first];
  const start = performance.now();
  while (losses.length < curveSteps && performance.now() - start < curveBudget) {
    losses.push((await work.result())[0]);
  }
  return losses;
}

function patienceWith({ peer }: Contender): number {
  return peer === null ? patience : patienceWithPeers;
}

async function takeTurn(entry: Entry, processor: ProcessorClock): Promise<void> {
  const { contender, used, failure } = entry;
  if (failure !== undefined || used > patienceWith(contender)) return;
  try {
    await timeTurn(entry, processor);
  } catch (error) {
    // A failure of wattgrad is a defect and thrown; a peer's failure is reported and the run goes on.
    if (contender.peer === null) throw error;
    entry.failure = messageOf(error);
  }
  // Yield, or the browser treats the page as unresponsive.
  await nextTurn();
}

/** Energy figure without a meter, with the reason. */
const noMeter = {
  joules: null,
  kind: null,
  reason: "not measured: nothing tells a page the energy of its work",
};

async function timeTurn(entry: Entry, processor: ProcessorClock): Promise<void> {
  const { contender, work, burst } = entry;
  work.begin?.();
  const window = await contender.meter?.begin();
  const cpuStart = await processor();
  const start = performance.now();
  for (let i = 0; i < burst; i++) {
    // Awaiting a non-promise would cost a microtask each time.
    const running = work.run();
    if (running !== undefined) await running;
  }
  await work.finish();
  const time = performance.now() - start;
  entry.times.push(time / burst);
  entry.used += time;
  const cpuEnd = await processor();
  if (cpuStart !== null && cpuEnd !== null) entry.cpuTimes.push((cpuEnd - cpuStart) / burst);
  const { joules, kind, reason } = (await window?.read()) ?? noMeter;
  entry.joulesKind = kind;
  entry.joulesReason = reason;
  entry.joules = entry.joules === null || joules === null ? null : entry.joules + joules;
}

/** Processor time of all threads of this process; unavailable in pages. */
function ownProcessorTime(): number | null {
  if (typeof globalThis.process?.cpuUsage !== "function") return null;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function rowOf(entry: Entry, where: string): BenchRow {
  const { item, contender, work, cost, burst, times, joules, joulesKind, joulesReason, losses } = entry;
  if (entry.failure !== undefined) return { ...emptyRow(item, contender, where), error: entry.failure };
  const medianMs = median(times);
  const { flops = null, bytes = null } = cost ?? {};
  const giga = (count: number | null) => (count === null ? null : count / 1e9);
  const amounts: Readonly<Record<RateUnit, number | null>> = {
    "GFLOP/s": giga(flops),
    "GOP/s": giga(flops),
    "GB/s": giga(bytes),
    "ops/s": work.amount,
    "steps/s": work.amount,
  };
  const amount = amounts[item.unit];
  const runs = burst * times.length;
  return {
    ...emptyRow(item, contender, where),
    medianMs,
    minMs: Math.min(...times),
    times,
    cpuTimes: entry.cpuTimes.length > 0 ? entry.cpuTimes : null,
    runs,
    rate: amount === null ? null : amount / (medianMs / 1e3),
    flops,
    bytes,
    joules: joules === null ? null : joules / runs,
    joulesKind,
    ...(joulesReason !== undefined && { joulesReason }),
    ...(losses && { losses }),
  };
}

function emptyRow({ suite, name, unit, problem }: BenchCase, contender: Contender, where: string): BenchRow {
  const { device, peer, details } = contender;
  const { threads, simd } = details;
  return {
    suite,
    case: name,
    dtype: dtypeOf(problem),
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
    peer,
  };
}

/** The first line of an error's message. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split("\n")[0];
}
