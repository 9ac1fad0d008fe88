/** What a training run records: one row per epoch, and the state that callbacks and stop conditions look at. */

import type { EnergyFigure } from "../energy/figure.js";

/** Mean loss and metrics over some samples. */
export interface Scores {
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface EpochRecord extends Scores {
  /** Counted from 1. */
  readonly epoch: number;
  /** Training steps done when the epoch ended, since the very start. */
  readonly step: number;
  readonly samples: number;
  readonly validation?: Scores;
  /** Of the optimizer's first group, in the last step. */
  readonly learningRate: number;
  /** Wall-clock seconds of the epoch, validation included. */
  readonly seconds: number;
  /** Of the epoch, validation included; if `fit` has a meter. After a lost device, what was repeated is in it. */
  readonly energy?: EnergyFigure;
}

export interface StepRecord extends Scores {
  /** Counted from 1, since the very start. */
  readonly step: number;
  readonly epoch: number;
  /** Samples in this step's batch. */
  readonly samples: number;
  /** Spent since the very start, as of the meter's last reading; if `fit` has a meter. */
  readonly energy?: EnergyFigure;
}

export interface FitState {
  /** The epoch that is running, or has just ended; counted from 1. */
  readonly epoch: number;
  readonly step: number;
  /** Samples of the running epoch that have been trained on. */
  readonly samples: number;
  /** Wall-clock seconds spent training, the runs before a resume included. */
  readonly seconds: number;
  /** Spent since the very start, as of the meter's last reading; if `fit` has a meter. */
  readonly energy?: EnergyFigure;
  readonly history: readonly EpochRecord[];
  /** True when asked at the end of an epoch, after `history` got its row. */
  readonly epochEnded: boolean;
}

/** Adds up per-batch results, so that means weigh every sample the same. */
export class ScoreSum {
  loss = 0;
  metrics: number[];
  samples = 0;

  constructor(metricCount: number) {
    this.metrics = new Array<number>(metricCount).fill(0);
  }

  /** `meanLoss` is the batch's mean, `metricSums` the sums over its samples. */
  add(meanLoss: number, metricSums: readonly number[], samples: number): void {
    this.loss += meanLoss * samples;
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
