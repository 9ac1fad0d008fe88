/**
 * Runs cases on devices, and on other libraries, in Node or in a page. All of them take turns, round by round over the whole run: a neighbour
 * that is noisy for a while hits all alike, and each has its share of the quiet times.
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
  /** Milliseconds of work of one turn. */
  readonly turn: number;
  /** Measures what each of wattgrad's devices reaches at most, some seconds for each. Default false. */
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
  /** Of the first steps of a training. */
  readonly losses?: readonly number[];
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
  /** Wattgrad's by name, those of other libraries as `tfjs wasm`. */
  readonly devices: Readonly<Record<string, { readonly description: string; readonly details: object }>>;
  /** By device, if they were asked for. */
  readonly rooflines?: Readonly<Record<string, Roofline>>;
  /** Where joules come from. */
  readonly meter: string;
}

const largestBurst = 5000;
/** Milliseconds of turns after which slow work has had its share; what is there for comparison has less of it. */
const [patience, patienceWithPeers] = [20_000, 2000];
/** Steps of a training whose losses are told, and the milliseconds after which there are no more. */
const [curveSteps, curveBudget] = [40, 3000];

interface Entry {
  readonly item: BenchCase;
  readonly contender: Contender;
  readonly work: Work;
  /** Of one run; of libraries that do not count, what the same work costs wattgrad. */
  readonly cost: Cost | null;
  readonly burst: number;
  readonly losses: readonly number[] | undefined;
  readonly times: number[];
  readonly cpuTimes: number[];
  /** Milliseconds of all turns. */
  used: number;
  joules: number | null;
  joulesKind: EnergyKind | null;
  joulesReason: string | undefined;
  /** What ended its turns. */
  failure: string | undefined;
}

/** Milliseconds of processor time used so far; null where it is not told. */
export type ProcessorClock = () => number | null | Promise<number | null>;

/** Another library, opened when it is its turn. */
export interface PeerOpener {
  readonly peer: string;
  readonly device: string;
  open(): Promise<Contender>;
}

export interface Surroundings {
  /** Default: of this process, where there is one. */
  readonly processor?: ProcessorClock;
  readonly peers?: readonly PeerOpener[];
  /** Called before each case is prepared and after each round: which part of the run is done, 0 to 1, and what is next. */
  readonly onProgress?: (share: number, next: string) => void;
}

/** Of a run's time, what goes into preparing the cases; for showing progress. */
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
          // What was rounded is no measure for others.
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

/** `wasm`, or `tfjs wasm`. */
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

/** What the first contender computed, and what that costs. */
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
    // Engines compile what is called often; for what takes seconds once has to do.
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

/** The losses of the first steps, which compile. */
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
    // Of ours it is a defect; what another library cannot do is told, and the others go on.
    if (contender.peer === null) throw error;
    entry.failure = messageOf(error);
  }
  // A page that never yields is taken for dead.
  await nextTurn();
}

/** What nobody measures, and why. */
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
    // Awaiting what is no promise would cost a turn of the queue each time.
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

/** Of all threads of this process; pages are not told theirs. */
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

/** The first line says it. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split("\n")[0];
}
