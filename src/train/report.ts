/** The outcome of a training run as data. */
import type { EnergyFigure } from "../energy/index.js";

/** The JSON report of `wattgrad train --json`. */
export interface TrainReport {
  /** Share of the test images classified correctly, 0..1. */
  readonly testAccuracy: number;
  readonly samplesPerSecond: number;
  /** Floating-point operations per training image (forward, backward, update); null if no step was run. */
  readonly flopsPerSample: number | null;
  readonly parameters: number;
  /** Most memory in use at once on the device. */
  readonly peakBytes: number;
  /** Seconds of training, without loading the data and testing. */
  readonly seconds: number;
  /** Energy of training, including resumed parts. */
  readonly energy: EnergyFigure;
  /** Training images per joule; null if either is unknown. */
  readonly samplesPerJoule: number | null;
  readonly epochs: readonly EpochReport[];
  readonly device: string;
  readonly modelFile: string;
}

export interface EpochReport {
  readonly epoch: number;
  readonly loss: number;
  readonly seconds: number;
  readonly energy: EnergyFigure;
}
