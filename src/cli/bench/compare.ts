/** Whether one benchmark run differs from another, case by case, with as much certainty as there is. */
import { type BenchRow, type Interval, ratioInterval, trimmedMean } from "../../bench/index.js";

export type Verdict = "slower" | "faster" | "no significant difference";

export interface CaseComparison {
  readonly suite: string;
  readonly case: string;
  readonly device: string;
  /** Another library's name; null for wattgrad. */
  readonly peer: string | null;
  readonly where: string;
  /** Processor time where both runs have it: other processes disturb it less. */
  readonly by: "processor time" | "time";
  /** In the second run per in the first. */
  readonly ratio: number;
  readonly interval: Interval;
  readonly verdict: Verdict;
}

export interface RunComparison {
  readonly cases: readonly CaseComparison[];
  /** Cases that only one of the runs has. */
  readonly unmatched: readonly string[];
  /** Cases of wattgrad with times in the first run and an error in the second. */
  readonly failed: readonly string[];
  /** Geometric mean of wattgrad's ratios; the ratios of other libraries show differences between the machines. */
  readonly ratio: number;
}

/** All verdicts of a comparison together are wrong with this probability, if nothing but chance differs. */
const errorRate = 0.05;

/**
 * A case is slower (faster) if its whole interval lies beyond the margin. Intervals are wider the more cases there are
 * (Bonferroni), so that one among many is not called different by chance.
 */
export function compareRuns(
  first: readonly BenchRow[],
  second: readonly BenchRow[],
  margin: number,
): RunComparison {
  const others = new Map(second.map((row) => [keyOf(row), row]));
  const pairs = first.flatMap((row) => {
    const other = others.get(keyOf(row));
    return other && row.times.length > 0 && other.times.length > 0 ? [[row, other] as const] : [];
  });
  const confidence = 1 - errorRate / Math.max(1, pairs.length);
  const cases = pairs.map(([a, b]): CaseComparison => {
    // Of work that is shorter than its clock's tick the processor time is 0, and has no ratio.
    const byCpu = hasTicks(a.cpuTimes) && hasTicks(b.cpuTimes);
    const [before, after] = byCpu ? [a.cpuTimes!, b.cpuTimes!] : [a.times, b.times];
    const interval = ratioInterval(before, after, confidence);
    const { suite, case: name, device, peer = null, where } = a;
    return {
      suite,
      case: name,
      device,
      peer,
      where,
      by: byCpu ? "processor time" : "time",
      ratio: trimmedMean(after) / trimmedMean(before),
      interval,
      verdict: verdictOf(interval, margin),
    };
  });
  const own = cases.filter(({ peer }) => peer === null);
  const matched = new Set(pairs.map(([row]) => keyOf(row)));
  return {
    cases,
    failed: first
      .filter(
        (row) => row.peer === null && row.times.length > 0 && others.get(keyOf(row))?.times.length === 0,
      )
      .map(keyOf),
    unmatched: [...new Set([...first, ...second].map(keyOf))].filter((key) => !matched.has(key)),
    ratio: Math.exp(own.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / Math.max(1, own.length)),
  };
}

function hasTicks(times: readonly number[] | null): boolean {
  return times?.every((time) => time > 0) ?? false;
}

function verdictOf({ low, high }: Interval, margin: number): Verdict {
  if (low > 1 + margin) return "slower";
  return high < 1 / (1 + margin) ? "faster" : "no significant difference";
}

function keyOf({ suite, case: name, device, where, threads, peer }: BenchRow): string {
  return [suite, name, device, where, `${threads} threads`, ...(peer === null ? [] : [peer])].join(", ");
}
