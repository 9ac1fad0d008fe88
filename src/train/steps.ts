/**
 * The steps of a training run. Each step (forward, loss, backward, optimizer, metrics) is one recorded Program. Its scores are read one
 * step later, so that the device's queue is never empty; their memory is freed at once.
 * With `accumulate` each batch is a Program that adds to the gradients, and the optimizer is one more.
 */

import { backward } from "../autograd/backward.js";
import { NumericsError } from "../core/errors.js";
import type { WarmupProgress } from "../device/device.js";
import type { Tensor } from "../graph/tensor.js";
import { samplesOf } from "./batches.js";
import { readAndDispose } from "./evaluate.js";
import { type AnyFitOptions, type Callback, notifyAll } from "./fit_options.js";
import { stepOf, stepOfSums } from "./gradient_step.js";
import { ScoreSum, type StepRecord } from "./history.js";
import { type BatchFunction, checkBatch, jitOfBatch, objectiveOf } from "./objective.js";
import type { Progress } from "./progress.js";

export class Steps {
  readonly #options: AnyFitOptions;
  readonly #names: readonly string[];
  readonly #step: BatchFunction;
  readonly #progress: Progress;
  readonly #spent: () => Pick<StepRecord, "energy"> | undefined;
  readonly #callbacks: readonly Callback[];
  /** The scores of the last step that was enqueued. */
  #inFlight: Promise<void> | undefined;
  #isWarmingUp = false;
  readonly #accumulate: number;
  readonly #update: (batches: number) => void;
  /** Batches of the running step. */
  #batches = 0;
  /** Their scores. */
  #stepSum: ScoreSum;
  /** Pending `onWarmup` callbacks. */
  #warmupReports: Promise<unknown> = Promise.resolve();

  /** @param spent The energy so far, for the records of steps. */
  constructor(
    options: AnyFitOptions,
    progress: Progress,
    spent: () => Pick<StepRecord, "energy"> | undefined,
  ) {
    const { model, optimizer, gradClip, metrics = {}, accumulate = 1 } = options;
    this.#options = options;
    this.#names = Object.keys(metrics);
    this.#callbacks = options.callbacks ?? [];
    this.#progress = progress;
    this.#spent = spent;
    const parameters = [...model.parameters()];
    const scoresOf = objectiveOf(options, "fit");
    const step = stepOf(parameters, optimizer, gradClip);
    this.#accumulate = accumulate;
    this.#update = stepOfSums(parameters, step);
    this.#stepSum = new ScoreSum(this.#names.length);
    this.#step = jitOfBatch((batch) => {
      const { loss, scores } = scoresOf(batch);
      backward(loss);
      if (accumulate === 1) step();
      return scores;
    });
  }

  /** True if the progress matches the values on the device: no step is in flight and none is being prepared. */
  get isIdle(): boolean {
    return this.#inFlight === undefined && !this.#isWarmingUp && this.isBetween;
  }

  /** False while a step has some of its batches only. */
  get isBetween(): boolean {
    return this.#batches === 0;
  }

  /**
   * Enqueues a step, or one of the batches that it accumulates; resolves to the number of samples when the scores of the one before are in.
   * @param enqueued Called when a step is enqueued.
   * @throws NumericsError if the loss of the batch before is not finite.
   */
  async run(batch: unknown, enqueued: () => void): Promise<number> {
    const progress = this.#progress;
    checkBatch("fit", this.#options, batch);
    const samples = samplesOf(batch, "fit");
    await this.#warmUp(batch);
    const previous = this.#inFlight;
    if (this.isBetween) {
      progress.learningRate = this.#options.optimizer.lr;
      progress.steps++;
      this.#stepSum = new ScoreSum(this.#names.length);
      // Those of a step that failed between its batches.
      if (this.#accumulate > 1) this.#options.optimizer.zeroGrad();
    }
    this.#batches++;
    this.#enqueue(this.#receive(this.#step(batch), samples, previous));
    if (this.#batches === this.#accumulate) this.finish(enqueued);
    await previous;
    return samples;
  }

  /** Ends a step, also one with fewer batches than it accumulates; does nothing between steps. */
  finish(enqueued: () => void): void {
    if (this.isBetween) return;
    if (this.#accumulate > 1) this.#update(this.#batches);
    this.#enqueue(this.#report(this.#inFlight, this.#batches));
    this.#batches = 0;
    enqueued();
  }

  #enqueue(work: Promise<void>): void {
    this.#inFlight = work;
    // Its error is thrown where it is awaited; it must not be reported as unhandled if another error is thrown first.
    work.catch(() => {});
  }

  /** Waits for the scores of the last step. */
  async awaitScores(): Promise<void> {
    const inFlight = this.#inFlight;
    this.#inFlight = undefined;
    await inFlight;
  }

  /** Discards the step in flight, after the device was lost. */
  discard(): void {
    this.#inFlight = undefined;
    this.#batches = 0;
  }

  /** Waits for `onWarmup` callbacks. */
  async warmedUp(): Promise<void> {
    await this.#warmupReports;
  }

  readonly reportWarmup: WarmupProgress = (done, all) => {
    const reports = Promise.all([this.#warmupReports, notifyAll(this.#callbacks, "onWarmup", { done, all })]);
    // The error is thrown at the end of the warm-up.
    reports.catch(() => {});
    this.#warmupReports = reports;
  };

  /** Compiles the step for batches like this one without blocking the thread. */
  async #warmUp(batch: unknown): Promise<void> {
    this.#isWarmingUp = true;
    try {
      await this.#step.warmup([batch], this.reportWarmup);
      await this.#warmupReports;
    } finally {
      this.#isWarmingUp = false;
    }
  }

  /** Adds the scores of the batch that was just enqueued. */
  async #receive(result: Tensor, samples: number, previous: Promise<void> | undefined): Promise<void> {
    const { steps: step, epoch, sum } = this.#progress;
    const stepSum = this.#stepSum;
    const [loss, ...metricSums] = await readAndDispose(result);
    // Reads may end in another order than they were begun in.
    await previous;
    if (!Number.isFinite(loss)) {
      throw new NumericsError(`the loss is ${loss} at step ${step} (epoch ${epoch})`, {
        op: "fit",
        hint: "a lower learning rate, a warm-up or gradClip may help",
      });
    }
    sum.add(loss, metricSums, samples);
    stepSum.add(loss, metricSums, samples);
  }

  /** Reports the step whose last batch was just enqueued. */
  async #report(received: Promise<void> | undefined, batches: number): Promise<void> {
    const { steps: step, epoch } = this.#progress;
    const stepSum = this.#stepSum;
    await received;
    const { samples, lastLoss } = stepSum;
    const scores = stepSum.scores(this.#names);
    const loss = batches === 1 ? lastLoss : scores.loss;
    await notifyAll(this.#callbacks, "onStep", {
      step,
      epoch,
      samples,
      loss,
      metrics: scores.metrics,
      ...this.#spent(),
    });
  }
}
