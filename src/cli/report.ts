/** The outcome of a training run: as JSON for programs, as a table for people. */
import { sumOfIntervals } from "../energy/figure.js";
import { describeEnergy } from "../energy/index.js";
import type { EpochReport, TrainReport } from "../train/report.js";
import { printTable } from "./terminal.js";

export interface ReportContext {
  readonly testSamples: number;
  readonly stoppedBecause: string;
  readonly device: string;
}

export function printReport(
  stream: NodeJS.WritableStream,
  report: TrainReport,
  { testSamples, stoppedBecause, device }: ReportContext,
): void {
  const { flopsPerSample, energy, samplesPerJoule } = report;
  const rows = [
    ["test accuracy", `${(100 * report.testAccuracy).toFixed(2)} % of ${testSamples} images`],
    ["samples per second", Math.round(report.samplesPerSecond).toLocaleString("en")],
    [
      "FLOPs per sample",
      flopsPerSample === null ? "unknown: no step was run" : `${(flopsPerSample / 1e6).toFixed(2)} million`,
    ],
    ["parameters", report.parameters.toLocaleString("en")],
    ["peak memory", `${(report.peakBytes / 2 ** 20).toFixed(1)} MiB`],
    ["training time", `${report.seconds.toFixed(1)} s; ${stoppedBecause}`],
    ["energy", `${describeEnergy(energy)}: ${energy.scope}`],
    ["found by", energy.method],
    [
      "samples per joule",
      samplesPerJoule === null
        ? "unknown"
        : samplesPerJoule.toLocaleString("en", { maximumSignificantDigits: 3 }),
    ],
    ["energy per epoch", perEpoch(report.epochs)],
    ["device", device],
    ["model file", report.modelFile],
  ];
  printTable(rows, {}, stream);
}

/** The mean of the complete epochs; each by itself is in the JSON. */
function perEpoch(epochs: readonly EpochReport[]): string {
  if (epochs.length === 0) return "no epoch was completed";
  const { joules, ...rest } = epochs.map(({ energy }) => energy).reduce(sumOfIntervals);
  return describeEnergy({ ...rest, joules: joules === null ? null : joules / epochs.length });
}
