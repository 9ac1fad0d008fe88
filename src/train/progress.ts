/** Progress of a training run: one value, which checkpoints, snapshots and reports save and restore. */

import type { Progress as SavedProgress } from "./checkpoint_state.js";
import { type EpochRecord, ScoreSum } from "./history.js";

/** Counters, scores and times of a run; plain data. `metricNames` and `energy` are added when it is saved. */
export type ProgressValue = Omit<SavedProgress, "metricNames" | "energy">;

export class Progress {
  epoch = 1;
  /** Since the very start. */
  steps = 0;
  /** In the last step, of the first group. */
  learningRate: number;
  history: readonly EpochRecord[] = [];
  /** Sums of the current epoch. A step keeps a reference to the object it adds to; a restore replaces the object. */
  sum: ScoreSum;
  readonly #metricCount: number;
  /** Seconds of earlier runs. */
  #secondsBefore = 0;
  #start = performance.now();
  /** Seconds of earlier parts of the running epoch. */
  #epochSecondsBefore = 0;
  #epochStart = performance.now();

  constructor(metricCount: number, learningRate: number) {
    this.#metricCount = metricCount;
    this.sum = new ScoreSum(metricCount);
    this.learningRate = learningRate;
  }

  /** A copy that later steps do not change. */
  value(): ProgressValue {
    const { epoch, steps, learningRate, history } = this;
    const { loss, metrics, samples } = this.sum;
    return {
      epoch,
      steps,
      seconds: this.seconds,
      epochSeconds: samples === 0 ? 0 : this.epochSeconds,
      sum: { loss, metrics: [...metrics], samples },
      learningRate,
      history,
    };
  }

  /** Restores `value`, except the elapsed time. */
  restore({ epoch, steps, epochSeconds, sum, learningRate, history }: ProgressValue): void {
    Object.assign(this, { epoch, steps, learningRate, history });
    this.sum = Object.assign(new ScoreSum(0), { ...sum, metrics: [...sum.metrics] });
    this.#epochSecondsBefore = epochSeconds;
  }

  /** Goes on from the value of an earlier run, its time included. */
  resume(value: ProgressValue): void {
    this.restore(value);
    this.#secondsBefore = value.seconds;
  }

  /** The run begins now. */
  start(): void {
    this.#start = performance.now();
  }

  /** A part of an epoch begins now. */
  startEpoch(): void {
    this.#epochStart = performance.now();
  }

  endEpoch(record: EpochRecord): void {
    this.history = [...this.history, record];
  }

  nextEpoch(): void {
    this.epoch++;
    this.sum = new ScoreSum(this.#metricCount);
    this.#epochSecondsBefore = 0;
  }

  get seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#start) / 1000;
  }

  get epochSeconds(): number {
    return this.#epochSecondsBefore + (performance.now() - this.#epochStart) / 1000;
  }
}
