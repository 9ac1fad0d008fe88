/** Speed-ups of wattgrad over other libraries on the same work in the same run. */
import { sideOf } from "./report/data.js";
import type { BenchRow } from "./run.js";

/**
 * The library's median time divided by wattgrad's: 2 means that wattgrad is twice as fast. Compares the same case on the same kind of
 * device in the same place; null for wattgrad's own rows, and if either time is missing.
 */
export function speedup(row: BenchRow, rows: readonly BenchRow[]): number | null {
  if (row.peer === null || row.medianMs === null) return null;
  const own = rows.find(
    ({ peer, suite, case: name, device, where }) =>
      peer === null &&
      suite === row.suite &&
      name === row.case &&
      device === row.device &&
      where === row.where,
  );
  return own === undefined || own.medianMs === null ? null : row.medianMs / own.medianMs;
}

export interface PeerSummary {
  /** For example `tfjs wasm, node`. */
  readonly side: string;
  /** Geometric mean over the cases that both computed; null if there are none. */
  readonly speedup: number | null;
  readonly cases: number;
  /** Cases that the library could not compute. */
  readonly failed: number;
}

/** One for each library, backend and place. */
export function peerSummaries(rows: readonly BenchRow[]): PeerSummary[] {
  const theirs = rows.filter(({ peer }) => peer !== null);
  return [...new Set(theirs.map(sideOf))].map((side) => {
    const own = theirs.filter((row) => sideOf(row) === side);
    const ratios = own.flatMap((row) => speedup(row, rows) ?? []);
    const logarithms = ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0);
    return {
      side,
      speedup: ratios.length === 0 ? null : Math.exp(logarithms / ratios.length),
      cases: ratios.length,
      failed: own.filter(({ error }) => error !== undefined).length,
    };
  });
}
