/** How much faster wattgrad is than another library at the same work in the same run. */
import { sideOf } from "./report/data.js";
import type { BenchRow } from "./run.js";

/**
 * The library's median time in wattgrad's: 2 where wattgrad makes two runs while the library makes one. Wattgrad's row is that of
 * the same case on the same kind of device in the same place; null for its own rows, and where either has no time.
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
  /** Such as `tfjs wasm, node`. */
  readonly side: string;
  /** Geometric mean of the cases that both computed; null if there are none. */
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
