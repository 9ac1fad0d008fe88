/**
 * fit: the training loop over epochs, with validation, stop conditions and checkpoints.
 *
 * On a device that can be lost (WebGL) it takes snapshots, whose values are read while training continues. After a loss it resumes from the
 * last snapshot, with the same bits as a run without the loss.
 */
import { ArgumentError, DeviceLostError } from "../core/errors.js";
import type { SnapshotParticipant } from "../device/recovery.js";
import type { Module } from "../nn/index.js";
import { defaultGenerator } from "../ops/index.js";
import { LRScheduler } from "../optim/index.js";
import { lengthOf, type ResumableBatches, resumable } from "./batches.js";
import { EnergyAccount, type EnergyState } from "./energy.js";
import { evaluator } from "./evaluate.js";
import {
  type AnyFitOptions,
  type Callback,
  type FitBatchOptions,
  type FitOptions,
  type FitReport,
  notifyAll,
  requireFitOptions,
} from "./fit_options.js";
import type { EpochRecord, FitState } from "./history.js";
import { Progress } from "./progress.js";
import { Recovery } from "./recovery.js";
import { Snapshots } from "./snapshots.js";
import { Steps } from "./steps.js";

/**
 * Trains a model: epochs, validation, metrics, schedules, stop conditions, checkpoints, recovery of lost devices. Batches are
 * `[input, target]` with `loss`, or of any form with `computeLoss`.
 *
 * @throws NumericsError naming the step if the loss is not finite; IndexError for labels outside the classes; ArgumentError for
 * options outside their domain and batches of another form; errors of callbacks, data and device; DeviceLostError if the device cannot
 * be restored.
 * @example
 * const model = new Linear(1, 1);
 * const { history, stoppedBecause } = await fit({
 *   model,
 *   optimizer: new SGD(model.parameters(), { lr: 0.1 }),
 *   train: [{ x: tensor([[1], [2]]), y: tensor([[2], [4]]) }],
 *   epochs: 200,
 *   computeLoss: (linear, { x, y }) => mseLoss(linear.forward(x), y),
 *   stop: [lossReached(0.01)],
 * });
 * history.at(-1)!.loss < 0.01; // true
 */
export function fit(options: FitOptions): Promise<FitReport>;
export function fit<Model extends Module, Batch, Output>(
  options: FitBatchOptions<Model, Batch, Output>,
): Promise<FitReport>;
export async function fit(options: AnyFitOptions): Promise<FitReport> {
  requireFitOptions(options);
  const { model, optimizer, schedule } = options;
  const wasTraining = model.training;
  const scheduler = schedule && new LRScheduler(optimizer, schedule);
  model.train();
  try {
    return await new Fit(options, scheduler).run();
  } finally {
    scheduler?.restore();
    model.train(wasTraining);
  }
}

type Validate = ReturnType<typeof evaluator>;

class Fit implements SnapshotParticipant {
  readonly #options: AnyFitOptions;
  readonly #names: readonly string[];
  readonly #callbacks: readonly Callback[];
  readonly #progress: Progress;
  readonly #steps: Steps;
  readonly #data: ResumableBatches | undefined;
  readonly #recovery: Recovery | undefined;
  readonly #scheduler: LRScheduler | undefined;
  readonly #snapshots: Snapshots | undefined;
  #checkpoint: string | undefined;
  /** Steps and epoch of the last checkpoint. */
  #saved = { steps: -1, epoch: -1 };
  /** Whether the current epoch has yielded a batch. */
  #isInEpoch = false;
  #energy: EnergyAccount | undefined;
  /** Energy of earlier runs. */
  #energyBefore: EnergyState | undefined;
  /** Samples and seconds from which `samplesPerSecond` is computed. */
  readonly #speed = { samples: 0, seconds: 0 };

  constructor(options: AnyFitOptions, scheduler: LRScheduler | undefined) {
    const { model, optimizer, metrics = {}, checkpoint, train } = options;
    this.#options = options;
    this.#names = Object.keys(metrics);
    this.#callbacks = options.callbacks ?? [];
    this.#progress = new Progress(this.#names.length, optimizer.lr);
    this.#steps = new Steps(options, this.#progress, () => this.#spent());
    this.#scheduler = scheduler;
    this.#data = resumable(train);
    const device = model.parameters()[0]?.device.recovery;
    if (device !== undefined && options.snapshot !== false && this.#data !== undefined) {
      this.#snapshots = new Snapshots(device, options.snapshot ?? {}, this);
    }
    if (checkpoint !== undefined) {
      this.#recovery = new Recovery(checkpoint.directory, {
        model,
        optimizer,
        scheduler,
        loader: this.#data!,
        generators: options.generators ?? [defaultGenerator],
      });
    }
  }

  async run(): Promise<FitReport> {
    const { epochs, train, validation, checkpoint, energy: meter } = this.#options;
    try {
      await this.#recovery?.open();
      if (checkpoint?.resume) await this.#resume();
      else await this.#recovery?.requireEmpty();
      this.#energy = meter && (await EnergyAccount.begin(meter, this.#energyBefore));
      this.#progress.start();
      const validate = validation && evaluator(this.#options, this.#steps.reportWarmup);
      const state = this.#state(false);
      const length = lengthOf(train);
      const stepsPerEpoch = length && Math.ceil(length / (this.#options.accumulate ?? 1));
      await notifyAll(this.#callbacks, "onStart", { epochs, stepsPerEpoch, state });
      await this.#snapshots?.begin(this.#options.model);
      const reason = await this.#trainThroughLosses(validate);
      await this.#energy?.read();
      return await this.#report(reason ?? `all ${epochs} epochs are done`);
    } finally {
      this.#snapshots?.end();
      await this.#recovery?.close();
    }
  }

  async #trainThroughLosses(validate: Validate | undefined): Promise<string | undefined> {
    const progress = this.#progress;
    for (;;) {
      try {
        const reason = await this.#trainEpochs(validate);
        await this.#saveUnlessSaved();
        return reason;
      } catch (error) {
        if (!(error instanceof DeviceLostError) || this.#snapshots === undefined) throw error;
        this.#steps.discard();
        await this.#snapshots.goBack(error, () => progress.steps);
        await notifyAll(this.#callbacks, "onRestore", { step: progress.steps, epoch: progress.epoch });
      }
    }
  }

  /** Trains all epochs (undefined) or to a reason to stop before. */
  async #trainEpochs(validate: Validate | undefined): Promise<string | undefined> {
    const { epochs, validation } = this.#options;
    const progress = this.#progress;
    let reason = await this.#reasonToStop(progress.sum.samples === 0);
    while (reason === undefined && progress.epoch <= epochs) {
      reason = await this.#runEpoch();
      if (reason !== undefined) break;
      const scores = validation && (await validate?.(validation));
      await this.#steps.warmedUp();
      const record: EpochRecord = {
        epoch: progress.epoch,
        step: progress.steps,
        samples: progress.sum.samples,
        ...progress.sum.scores(this.#names),
        ...(scores && { validation: { loss: scores.loss, metrics: scores.metrics } }),
        learningRate: progress.learningRate,
        seconds: progress.epochSeconds,
        ...(this.#energy && { energy: await this.#energy.endEpoch() }),
      };
      progress.endEpoch(record);
      reason = await this.#reasonToStop(true);
      progress.nextEpoch();
      await notifyAll(this.#callbacks, "onEpoch", record);
      if (this.#isDue("everyEpochs", record.epoch)) await this.#save();
    }
    return reason;
  }

  /** Saves the progress with a snapshot; undefined while it does not match the values on the device. */
  save(): (() => void) | undefined {
    if (!this.#steps.isIdle) return undefined;
    const value = this.#progress.value();
    const loader = this.#isInEpoch ? this.#data!.state() : this.#data!.next();
    return () => {
      this.#progress.restore(value);
      this.#data!.setState(loader);
    };
  }

  /** Trains to the end of the epoch (undefined) or to a reason to stop before it. */
  async #runEpoch(): Promise<string | undefined> {
    try {
      return await this.#runBatches();
    } finally {
      this.#isInEpoch = false;
    }
  }

  async #runBatches(): Promise<string | undefined> {
    const { train } = this.#options;
    const progress = this.#progress;
    progress.startEpoch();
    let last = performance.now();
    let compiles = true;
    let reason: string | undefined;
    const stepEnqueued = () => this.#scheduler?.step();
    for await (const batch of train) {
      this.#isInEpoch = true;
      const samples = await this.#steps.run(batch, stepEnqueued);
      // Before the loop ends, as the position of resumable data is then the next epoch's.
      if (this.#data && this.#data.state().position >= this.#data.length) this.#steps.finish(stepEnqueued);
      const now = performance.now();
      if (!compiles) {
        this.#speed.samples += samples;
        this.#speed.seconds += (now - last) / 1000;
      }
      compiles = false;
      if (this.#steps.isBetween) reason = await this.#endStep();
      last = performance.now();
      if (reason !== undefined) break;
    }
    if (!this.#steps.isBetween) {
      this.#steps.finish(stepEnqueued);
      reason = await this.#endStep();
    }
    await this.#steps.awaitScores();
    if (progress.sum.samples === 0 && reason === undefined) {
      throw new ArgumentError(`the training data have no batches in epoch ${progress.epoch}`, {
        op: "fit",
        hint: "a generator ends after one epoch: give an object whose iterator begins anew",
      });
    }
    return reason;
  }

  /** What is due after a step; a reason to stop. */
  async #endStep(): Promise<string | undefined> {
    const { steps } = this.#progress;
    if (this.#isDue("everySteps", steps)) await this.#save();
    if (this.#snapshots?.isDue(steps)) {
      await this.#steps.awaitScores();
      await this.#snapshots.take();
    }
    await this.#energy?.refresh();
    return this.#reasonToStop(false);
  }

  async #reasonToStop(epochEnded: boolean): Promise<string | undefined> {
    if (this.#options.signal?.aborted) return "it was interrupted";
    const state = this.#state(epochEnded);
    for (const condition of this.#options.stop ?? []) {
      const reason = await condition(state);
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  #state(epochEnded: boolean): FitState {
    const { epoch, steps, sum, seconds, history } = this.#progress;
    return { epoch, step: steps, samples: sum.samples, seconds, ...this.#spent(), history, epochEnded };
  }

  #spent() {
    return this.#energy && { energy: this.#energy.total };
  }

  #isDue(unit: "everySteps" | "everyEpochs", count: number): boolean {
    const options = this.#options.checkpoint;
    if (options === undefined) return false;
    const epochsByDefault = unit === "everyEpochs" && options.everySteps === undefined ? 1 : undefined;
    const every = options[unit] ?? epochsByDefault;
    return every !== undefined && count % every === 0;
  }

  async #saveUnlessSaved(): Promise<void> {
    const { steps, epoch } = this.#progress;
    const saved = this.#saved.steps === steps && this.#saved.epoch === epoch;
    if (this.#recovery !== undefined && !saved) await this.#save();
  }

  async #save(): Promise<void> {
    await this.#steps.awaitScores();
    const progress = this.#progress;
    const path = await this.#recovery!.save({
      ...progress.value(),
      metricNames: this.#names,
      ...(this.#energy && { energy: await this.#energy.state(progress.sum.samples > 0) }),
    });
    this.#saved = { steps: progress.steps, epoch: progress.epoch };
    this.#checkpoint = path;
    await notifyAll(this.#callbacks, "onCheckpoint", { path, step: progress.steps });
  }

  async #resume(): Promise<void> {
    const found = await this.#recovery?.load(this.#names);
    if (found === undefined) return;
    const { progress, path, skipped } = found;
    this.#progress.resume(progress);
    this.#saved = { steps: progress.steps, epoch: progress.epoch };
    this.#checkpoint = path;
    this.#energyBefore = progress.energy;
    await notifyAll(this.#callbacks, "onResume", { path, step: progress.steps, skipped });
  }

  async #report(stoppedBecause: string): Promise<FitReport> {
    const { samples, seconds } = this.#speed;
    const report: FitReport = {
      history: this.#progress.history,
      stoppedBecause,
      aborted: this.#options.signal?.aborted ?? false,
      steps: this.#progress.steps,
      seconds: this.#progress.seconds,
      samplesPerSecond: seconds > 0 ? samples / seconds : 0,
      ...this.#spent(),
      checkpoint: this.#checkpoint,
    };
    await notifyAll(this.#callbacks, "onEnd", report);
    return report;
  }
}
