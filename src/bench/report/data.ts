/** Data of the report's page, embedded as JSON. */
import type { BenchRow } from "../run.js";

export interface ReportData {
  readonly title: string;
  /** Lines about the machine and the run: label and value. */
  readonly facts: readonly (readonly [label: string, value: string])[];
  readonly rows: readonly BenchRow[];
  readonly roofs: readonly Roof[];
  /** Description of the energy source. */
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

/** Origin of a row: `wasm, node`, or `tfjs wasm, chromium`. */
export function sideOf({ peer, device, where }: Pick<BenchRow, "peer" | "device" | "where">): string {
  return `${peer === null ? device : `${peer} ${device}`}, ${where}`;
}
