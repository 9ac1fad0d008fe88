/** Exports a profile in the Trace Event Format (chrome://tracing, Perfetto, Speedscope). */
import { check } from "../core/check.js";
import type { Profile } from "./profile.js";
import { aProfile } from "./table.js";

/** An event of the Trace Event Format: `X` has a duration, `M` names a process or thread. Times are in microseconds. */
export interface TraceEvent {
  readonly name: string;
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly args?: Readonly<Record<string, string | number>>;
}

/** A trace for chrome://tracing, Perfetto or Speedscope. */
export interface ChromeTrace {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ms";
}

const pid = 1;
const threads = { modules: 1, kernels: 2 } as const;

/**
 * The calls of a profile one after another, without gaps, below the modules that they belong to.
 *
 * @example
 * const device = await openDevice("wasm");
 * const x = ones([2, 2], { device });
 * const trace = chromeTrace(await profile(device, () => matmul(x, x), { repetitions: 1 }));
 * trace.displayTimeUnit; // "ms"
 */
export function chromeTrace(profile: Profile): ChromeTrace {
  const { device, calls } = check("chromeTrace", "the argument", profile, aProfile);
  const events: TraceEvent[] = [
    { name: "process_name", ph: "M", pid, tid: 0, args: { name: device } },
    ...Object.entries(threads).map(
      ([name, tid]): TraceEvent => ({ name: "thread_name", ph: "M", pid, tid, args: { name } }),
    ),
  ];
  let now = 0;
  let running: { name: string; start: number } | undefined;
  const endModule = () => {
    if (running === undefined) return;
    const { name, start } = running;
    events.push({ name, cat: "module", ph: "X", pid, tid: threads.modules, ts: start, dur: now - start });
  };
  for (const { name, kernel, op, module, seconds, flops, bytes } of calls) {
    if (running?.name !== module) {
      endModule();
      running = { name: module, start: now };
    }
    const dur = seconds * 1e6;
    const args = { module, op, flops, bytes };
    events.push({ name, cat: kernel, ph: "X", pid, tid: threads.kernels, ts: now, dur, args });
    now += dur;
  }
  endModule();
  return { traceEvents: events, displayTimeUnit: "ms" };
}
