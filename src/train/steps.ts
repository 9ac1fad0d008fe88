/**
 * The steps of a training run. Each step (forward, loss, backward, optimizer, metrics) is one recorded Program. Its scores are read one
 * step later, so that the device's queue is never empty; their memory is freed at once.
 */

import { backward } from "../autograd/backward.js";
import { NumericsError } from "../core/errors.js";
import type { WarmupProgress } from "../device/device.js";
import type { Tensor } from "../graph/tensor.js";
import { clipGradNorm } from "../optim/index.js";
import { samplesOf } from "./batches.js";
import { readAndDispose } from "./evaluate.js";
import { type AnyFitOptions, type Callback, notifyAll } from "./fit_options.js";
import type { StepRecord } from "./history.js";
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
  /** Pending `onWarmup` callbacks. */
  #warmupReports: Promise<unknown> = Promise.resolve();

  /** @param spent The energy so far, for the records of steps. */
  constructor(
    options: AnyFitOptions,
    progress: Progress,
    spent: () => Pick<StepRecord, "energy"> | undefined,
  ) {
    const { model, optimizer, gradClip, metrics = {} } = options;
    this.#options = options;
    this.#names = Object.keys(metrics);
    this.#callbacks = options.callbacks ?? [];
    this.#progress = progress;
    this.#spent = spent;
    const parameters = [...model.parameters()];
    const scoresOf = objectiveOf(options, "fit");
    this.#step = jitOfBatch((batch) => {
      const { loss, scores } = scoresOf(batch);
      backward(loss);
      if (gradClip !== undefined) clipGradNorm(parameters, gradClip);
      optimizer.step();
      return scores;
    });
  }

  /** True if the progress matches the values on the device: no step is in flight and none is being prepared. */
  get isIdle(): boolean {
    return this.#inFlight === undefined && !this.#isWarmingUp;
  }

  /**
   * Enqueues a step; resolves to its number of samples when the scores of the one before are in.
   * @param enqueued Called when the step is enqueued.
   * @throws NumericsError if the loss of the step before is not finite.
   */
  async run(batch: unknown, enqueued: () => void): Promise<number> {
    const progress = this.#progress;
    checkBatch("fit", this.#options, batch);
    const samples = samplesOf(batch, "fit");
    await this.#warmUp(batch);
    progress.learningRate = this.#options.optimizer.lr;
    const previous = this.#inFlight;
    progress.steps++;
    this.#inFlight = this.#receive(this.#step(batch), samples, previous);
    // Its error is thrown where it is awaited; it must not be reported as unhandled if another error is thrown first.
    this.#inFlight.catch(() => {});
    enqueued();
    await previous;
    return samples;
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

  /** Adds the scores of the step that was just enqueued. */
  async #receive(result: Tensor, samples: number, previous: Promise<void> | undefined): Promise<void> {
    const { steps: step, epoch, sum } = this.#progress;
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
    const metrics = Object.fromEntries(this.#names.map((name, i) => [name, metricSums[i] / samples]));
    await notifyAll(this.#callbacks, "onStep", { step, epoch, samples, loss, metrics, ...this.#spent() });
  }
}
