/** What the report's page is given, as JSON inside it. */
import type { BenchRow } from "../run.js";

export interface ReportData {
  readonly title: string;
  /** Lines about the machine and the run: label and value. */
  readonly facts: readonly (readonly [label: string, value: string])[];
  readonly rows: readonly BenchRow[];
  readonly roofs: readonly Roof[];
  /** Where joules come from, in words. */
  readonly energyMethods: readonly string[];
}

/** A device's measured limits. */
export interface Roof {
  readonly device: string;
  readonly where: string;
  /** FLOPs per second. */
  readonly peakFlops: number;
  /** Bytes per second. */
  readonly peakBandwidth: number;
}

/** Where a row's figures come from: `wasm, node`, or `tfjs wasm, chromium`. */
export function sideOf({ peer, device, where }: Pick<BenchRow, "peer" | "device" | "where">): string {
  return `${peer === null ? device : `${peer} ${device}`}, ${where}`;
}
