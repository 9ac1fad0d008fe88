/** The history of a training run: one row per epoch, and the state given to callbacks and stop conditions. */

import type { EnergyFigure } from "../energy/figure.js";

/** Mean loss and metrics over some samples. */
export interface Scores {
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Results of one epoch. */
export interface EpochRecord extends Scores {
  /** Counted from 1. */
  readonly epoch: number;
  /** Training steps done when the epoch ended, including those before a resume. */
  readonly step: number;
  readonly samples: number;
  readonly validation?: Scores;
  /** Learning rate of the optimizer's first group in the last step. */
  readonly learningRate: number;
  /** Wall-clock seconds of the epoch, validation included. */
  readonly seconds: number;
  /** Energy of the epoch, validation and repeated steps included; if `fit` has a meter. */
  readonly energy?: EnergyFigure;
}

/** Results of one training step. */
export interface StepRecord extends Scores {
  /** Counted from 1, steps before a resume included. */
  readonly step: number;
  readonly epoch: number;
  /** Samples in this step's batches. */
  readonly samples: number;
  /** Energy of the training so far, as of the meter's last reading; if `fit` has a meter. */
  readonly energy?: EnergyFigure;
}

/** The state of a training run, as stop conditions see it. */
export interface FitState {
  /** The current epoch, or the one that has just ended; counted from 1. */
  readonly epoch: number;
  readonly step: number;
  /** Samples of the current epoch trained on so far. */
  readonly samples: number;
  /** Wall-clock seconds of training, including the time before a resume. */
  readonly seconds: number;
  /** Energy of the training so far, as of the meter's last reading; if `fit` has a meter. */
  readonly energy?: EnergyFigure;
  readonly history: readonly EpochRecord[];
  /** True at the end of an epoch, after its record was added to `history`. */
  readonly epochEnded: boolean;
}

/** Adds up per-batch results, so that means weigh every sample the same. */
export class ScoreSum {
  loss = 0;
  /** Mean of the last batch. */
  lastLoss = 0;
  metrics: number[];
  samples = 0;

  constructor(metricCount: number) {
    this.metrics = new Array<number>(metricCount).fill(0);
  }

  /** `meanLoss` is the batch's mean, `metricSums` the sums over its samples. */
  add(meanLoss: number, metricSums: readonly number[], samples: number): void {
    this.loss += meanLoss * samples;
    this.lastLoss = meanLoss;
    for (let i = 0; i < metricSums.length; i++) this.metrics[i] += metricSums[i];
    this.samples += samples;
  }

  /** Means over all samples; NaN where there were none. */
  scores(names: readonly string[]): Scores {
    return {
      loss: this.loss / this.samples,
      metrics: Object.fromEntries(names.map((name, i) => [name, this.metrics[i] / this.samples])),
    };
  }
}
