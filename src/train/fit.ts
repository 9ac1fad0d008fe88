/**
 * fit: the training loop. Each step (forward, loss, backward, optimizer, metrics) is one recorded Program; its scores
 * are read one step behind, so that the device's queue never runs dry, and their memory is given back at once.
 */
import { backward } from "../autograd/backward.js";
import { jit } from "../compiler/jit.js";
import type { DataLoader } from "../data/index.js";
import type { Module } from "../nn/index.js";
import { defaultGenerator, type Generator } from "../ops/index.js";
import { clipGradNorm, LRScheduler, type Optimizer, type Schedule } from "../optim/index.js";
import { ArgumentError, NumericsError } from "../tensor/errors.js";
import { noGrad, type Tensor } from "../tensor/tensor.js";
import { evaluator, type Loss, packScores, readAndDispose, requirePair } from "./evaluate.js";
import { type EpochRecord, type FitState, ScoreSum, type StepRecord } from "./history.js";
import type { Metric } from "./metrics.js";
import { Recovery } from "./recovery.js";
import type { StopCondition } from "./stop.js";
import { TurnTaker } from "./turns.js";

/** Told what happens during `fit`; every method is optional. Exceptions end the training. */
export interface Callback {
  /** Before the first step. `stepsPerEpoch` counts batches; `state` is where a resumed run goes on. */
  onStart?(plan: { readonly epochs: number; readonly stepsPerEpoch: number; readonly state: FitState }): void;
  /** After each step, in order; one step after the device was given the work. */
  onStep?(record: StepRecord): void;
  /** After each epoch and its validation. */
  onEpoch?(record: EpochRecord): void | Promise<void>;
  onCheckpoint?(checkpoint: { readonly path: string; readonly step: number }): void;
  /** After `resume` found a checkpoint; `skipped` names damaged newer ones. */
  onResume?(checkpoint: {
    readonly path: string;
    readonly step: number;
    readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  }): void;
  /** Once, also if the training was aborted, but not if it failed. */
  onEnd?(report: FitReport): void;
}

export interface CheckpointOptions {
  /** Where checkpoints are written; created if missing. Node only. The newest two are kept. */
  readonly directory: string;
  /** A checkpoint every so many steps. */
  readonly everySteps?: number;
  /** A checkpoint every so many epochs; default 1 if `everySteps` is not given. */
  readonly everyEpochs?: number;
  /** Go on from the newest valid checkpoint in `directory`, if there is one. Default false. */
  readonly resume?: boolean;
}

export interface FitOptions {
  /** Maps one input tensor to one output tensor. */
  readonly model: Module;
  readonly optimizer: Optimizer<{ lr: number }>;
  /** Batches of `[input, target]`. */
  readonly train: DataLoader;
  /** Evaluated after each epoch. */
  readonly validation?: DataLoader;
  /** Mean over the batch, for example `crossEntropy`. */
  readonly loss: Loss;
  readonly metrics?: Readonly<Record<string, Metric>>;
  /** Epochs in all, those before a resume included. */
  readonly epochs: number;
  /** Factor on the learning rate of each of the optimizer's groups, by the step counted from 0; undone at the end. */
  readonly schedule?: Schedule;
  /** Largest norm of all gradients together; larger ones are scaled down. */
  readonly gradClip?: number;
  readonly stop?: readonly StopCondition[];
  /** Aborting it ends the training after the running step, with a checkpoint if those are configured. */
  readonly signal?: AbortSignal;
  readonly checkpoint?: CheckpointOptions;
  /** Random streams the model draws from; saved in checkpoints. Default: the default generator. */
  readonly generators?: readonly Generator[];
  readonly callbacks?: readonly Callback[];
}

export interface FitReport {
  readonly history: readonly EpochRecord[];
  /** Why the training ended, in words. */
  readonly stoppedBecause: string;
  /** True if `signal` ended it. */
  readonly aborted: boolean;
  /** Steps since the very start. */
  readonly steps: number;
  /** Seconds of training since the very start, validation and checkpoints included. */
  readonly seconds: number;
  /** Training samples per second of this run, without validation, checkpoints and the first step, which compiles. */
  readonly samplesPerSecond: number;
  /** The last checkpoint written. */
  readonly checkpoint: string | undefined;
}

/**
 * Trains a model.
 *
 * @throws NumericsError naming the step if the loss is not finite; ArgumentError for options outside their domain;
 * what callbacks, the loader and the device throw.
 * @example
 * const report = await fit({
 *   model, optimizer, train: loader, validation: testLoader, loss: crossEntropy, metrics: { accuracy },
 *   epochs: 10, stop: [patience({ metric: "accuracy", epochs: 3 })],
 * });
 * console.log(report.history.at(-1)?.validation?.metrics.accuracy);
 */
export async function fit(options: FitOptions): Promise<FitReport> {
  checkOptions(options);
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

function checkOptions({ epochs, train, gradClip, checkpoint }: FitOptions): void {
  const op = "fit";
  if (!Number.isInteger(epochs) || epochs < 0) {
    throw new ArgumentError(`epochs is a non-negative integer, got ${epochs}`, { op });
  }
  if (train.length === 0) throw new ArgumentError("the training data has no batches", { op });
  if (gradClip !== undefined && !(gradClip > 0)) {
    throw new ArgumentError(`gradClip is a positive number, got ${gradClip}`, { op });
  }
  for (const name of ["everySteps", "everyEpochs"] as const) {
    const every = checkpoint?.[name];
    if (every !== undefined && (!Number.isInteger(every) || every < 1)) {
      throw new ArgumentError(`checkpoint.${name} is a positive integer, got ${every}`, { op });
    }
  }
}

class Fit {
  readonly #options: FitOptions;
  readonly #names: readonly string[];
  readonly #step: (input: Tensor, target: Tensor) => Tensor;
  readonly #callbacks: readonly Callback[];
  readonly #recovery: Recovery | undefined;
  readonly #scheduler: LRScheduler | undefined;
  /** In the last step, of the first group. */
  #learningRate: number;
  #history: EpochRecord[] = [];
  #epoch = 1;
  #steps = 0;
  #sum: ScoreSum;
  /** Seconds of earlier runs. */
  #secondsBefore = 0;
  /** Seconds of earlier parts of the running epoch. */
  #epochSecondsBefore = 0;
  #start = performance.now();
  #epochStart = performance.now();
  /** The scores of the last step that was enqueued, on their way. */
  #inFlight: Promise<void> | undefined;
  #checkpoint: string | undefined;
  /** What the last checkpoint stands for. */
  #saved = { steps: -1, epoch: -1 };
  /** One for all epochs: each may be shorter than a turn. */
  readonly #turns = new TurnTaker();
  /** Samples and seconds behind `samplesPerSecond`. */
  readonly #speed = { samples: 0, seconds: 0 };

  constructor(options: FitOptions, scheduler: LRScheduler | undefined) {
    const { model, optimizer, loss, metrics = {}, gradClip, checkpoint } = options;
    const measures = Object.values(metrics);
    this.#options = options;
    this.#names = Object.keys(metrics);
    this.#callbacks = options.callbacks ?? [];
    this.#sum = new ScoreSum(measures.length);
    this.#scheduler = scheduler;
    this.#learningRate = optimizer.lr;
    const parameters = [...model.parameters()];
    this.#step = jit((input: Tensor, target: Tensor) => {
      const output = model.forward(input);
      const value = loss(output, target);
      const scores = noGrad(() => packScores(value, measures, output, target));
      backward(value);
      if (gradClip !== undefined) clipGradNorm(parameters, gradClip);
      optimizer.step();
      return scores;
    });
    if (checkpoint !== undefined) {
      this.#recovery = new Recovery(checkpoint.directory, {
        model,
        optimizer,
        scheduler,
        loader: options.train,
        generators: options.generators ?? [defaultGenerator],
      });
    }
  }

  async run(): Promise<FitReport> {
    const { epochs, train, validation, checkpoint } = this.#options;
    if (checkpoint?.resume) await this.#resume();
    else await this.#recovery?.requireEmpty();
    this.#start = performance.now();
    const validate = validation && evaluator(this.#options);
    const state = this.#state(false);
    for (const callback of this.#callbacks) {
      callback.onStart?.({ epochs, stepsPerEpoch: train.length, state });
    }
    let reason = this.#reasonToStop(state.samples === 0);
    while (reason === undefined && this.#epoch <= epochs) {
      reason = await this.#runEpoch();
      if (reason !== undefined) break;
      const scores = validation && (await validate?.(validation));
      const record: EpochRecord = {
        epoch: this.#epoch,
        step: this.#steps,
        samples: this.#sum.samples,
        ...this.#sum.scores(this.#names),
        ...(scores && { validation: { loss: scores.loss, metrics: scores.metrics } }),
        learningRate: this.#learningRate,
        seconds: this.#epochSeconds(),
      };
      this.#history = [...this.#history, record];
      reason = this.#reasonToStop(true);
      this.#epoch++;
      this.#sum = new ScoreSum(this.#names.length);
      this.#epochSecondsBefore = 0;
      for (const callback of this.#callbacks) await callback.onEpoch?.(record);
      if (this.#isDue("everyEpochs", record.epoch)) await this.#save();
    }
    await this.#saveUnlessSaved();
    return this.#finish(reason ?? `all ${epochs} epochs are done`);
  }

  /** Trains to the end of the epoch (undefined) or to a reason to stop before it. */
  async #runEpoch(): Promise<string | undefined> {
    const { train, optimizer } = this.#options;
    this.#epochStart = performance.now();
    let last = performance.now();
    let compiles = true;
    let reason: string | undefined;
    for await (const batch of train) {
      const [input, target] = requirePair(batch, "fit");
      this.#learningRate = optimizer.lr;
      const previous = this.#inFlight;
      this.#steps++;
      this.#inFlight = this.#receive(this.#step(input, target), input.shape[0]);
      // Its error is thrown where it is awaited; if another error comes first, it must not count as unhandled.
      this.#inFlight.catch(() => {});
      this.#scheduler?.step();
      await previous;
      const now = performance.now();
      if (!compiles) {
        this.#speed.samples += input.shape[0];
        this.#speed.seconds += (now - last) / 1000;
      }
      compiles = false;
      if (this.#isDue("everySteps", this.#steps)) await this.#save();
      await this.#turns.yieldIfDue();
      last = performance.now();
      reason = this.#reasonToStop(false);
      if (reason !== undefined) break;
    }
    await this.#settle();
    return reason;
  }

  /** Takes in the scores of the step that was just enqueued. */
  async #receive(result: Tensor, samples: number): Promise<void> {
    const step = this.#steps;
    const epoch = this.#epoch;
    const sum = this.#sum;
    const [loss, ...metricSums] = await readAndDispose(result);
    if (!Number.isFinite(loss)) {
      throw new NumericsError(`the loss is ${loss} at step ${step} (epoch ${epoch})`, {
        op: "fit",
        hint: "a lower learning rate, a warm-up or gradClip may help",
      });
    }
    sum.add(loss, metricSums, samples);
    const metrics = Object.fromEntries(this.#names.map((name, i) => [name, metricSums[i] / samples]));
    for (const callback of this.#callbacks) callback.onStep?.({ step, epoch, samples, loss, metrics });
  }

  /** Waits until nothing is on its way. */
  async #settle(): Promise<void> {
    const inFlight = this.#inFlight;
    this.#inFlight = undefined;
    await inFlight;
  }

  #reasonToStop(epochEnded: boolean): string | undefined {
    if (this.#options.signal?.aborted) return "it was interrupted";
    const state = this.#state(epochEnded);
    for (const condition of this.#options.stop ?? []) {
      const reason = condition(state);
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  #state(epochEnded: boolean): FitState {
    return {
      epoch: this.#epoch,
      step: this.#steps,
      samples: this.#sum.samples,
      seconds: this.#seconds(),
      history: this.#history,
      epochEnded,
    };
  }

  #seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#start) / 1000;
  }

  #epochSeconds(): number {
    return this.#epochSecondsBefore + (performance.now() - this.#epochStart) / 1000;
  }

  #isDue(unit: "everySteps" | "everyEpochs", count: number): boolean {
    const options = this.#options.checkpoint;
    if (options === undefined) return false;
    const epochsByDefault = unit === "everyEpochs" && options.everySteps === undefined ? 1 : undefined;
    const every = options[unit] ?? epochsByDefault;
    return every !== undefined && count % every === 0;
  }

  async #saveUnlessSaved(): Promise<void> {
    const saved = this.#saved.steps === this.#steps && this.#saved.epoch === this.#epoch;
    if (this.#recovery !== undefined && !saved) await this.#save();
  }

  async #save(): Promise<void> {
    await this.#settle();
    const path = await this.#recovery!.save({
      epoch: this.#epoch,
      steps: this.#steps,
      seconds: this.#seconds(),
      epochSeconds: this.#sum.samples === 0 ? 0 : this.#epochSeconds(),
      sum: { loss: this.#sum.loss, metrics: this.#sum.metrics, samples: this.#sum.samples },
      learningRate: this.#learningRate,
      metricNames: this.#names,
      history: this.#history,
    });
    this.#saved = { steps: this.#steps, epoch: this.#epoch };
    this.#checkpoint = path;
    for (const callback of this.#callbacks) callback.onCheckpoint?.({ path, step: this.#steps });
  }

  async #resume(): Promise<void> {
    const found = await this.#recovery?.load(this.#names);
    if (found === undefined) return;
    const { progress, path, skipped } = found;
    this.#history = [...progress.history];
    this.#epoch = progress.epoch;
    this.#steps = progress.steps;
    this.#saved = { steps: progress.steps, epoch: progress.epoch };
    this.#learningRate = progress.learningRate;
    this.#checkpoint = path;
    this.#secondsBefore = progress.seconds;
    this.#epochSecondsBefore = progress.epochSeconds;
    Object.assign(this.#sum, { ...progress.sum, metrics: [...progress.sum.metrics] });
    for (const callback of this.#callbacks) callback.onResume?.({ path, step: progress.steps, skipped });
  }

  #finish(stoppedBecause: string): FitReport {
    const { samples, seconds } = this.#speed;
    const report: FitReport = {
      history: this.#history,
      stoppedBecause,
      aborted: this.#options.signal?.aborted ?? false,
      steps: this.#steps,
      seconds: this.#seconds(),
      samplesPerSecond: seconds > 0 ? samples / seconds : 0,
      checkpoint: this.#checkpoint,
    };
    for (const callback of this.#callbacks) callback.onEnd?.(report);
    return report;
  }
}
