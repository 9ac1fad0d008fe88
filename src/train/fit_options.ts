/** Options, callbacks and report of `fit`, and the validation of the options. */

import {
  aBoolean,
  aFunction,
  aNumber,
  anArray,
  anObject,
  aString,
  check,
  checkNeeded,
  checkOptions,
  either,
  type Kinds,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { EnergyFigure } from "../energy/figure.js";
import type { EnergyMeter } from "../energy/meter.js";
import type { Tensor } from "../graph/tensor.js";
import type { Generator } from "../ops/index.js";
import type { Optimizer, Schedule } from "../optim/index.js";
import { aBatches, type Batches, lengthOf, resumable } from "./batches.js";
import { aTrainable } from "./evaluate.js";
import type { EpochRecord, FitState, StepRecord } from "./history.js";
import { type AnyObjective, type BatchObjective, type PairObjective, requireObjective } from "./objective.js";
import type { StopCondition } from "./stop.js";

/**
 * Hooks into `fit`. Every method is optional and may be async: `fit` awaits it before it continues. Exceptions and rejections end the
 * training.
 */
export interface Callback {
  /**
   * Before the first step. `stepsPerEpoch` is undefined if the data does not define it; `state` is the state
   * from which a resumed run continues.
   */
  onStart?(plan: {
    readonly epochs: number;
    readonly stepsPerEpoch: number | undefined;
    readonly state: FitState;
  }): unknown;
  /**
   * While a device compiles shaders, of which `done` of `all` are ready: before the first step or validation with batches
   * of a shape. Not called on devices that compile none.
   */
  onWarmup?(shaders: { readonly done: number; readonly all: number }): unknown;
  /** After each step, in order, one step late. Steps that are repeated after a lost device are reported again. */
  onStep?(record: StepRecord): unknown;
  /** After each epoch and its validation. */
  onEpoch?(record: EpochRecord): unknown;
  /** After a checkpoint was written. */
  onCheckpoint?(checkpoint: { readonly path: string; readonly step: number }): unknown;
  /** After `resume` found a checkpoint; `skipped` names damaged newer ones. */
  onResume?(checkpoint: {
    readonly path: string;
    readonly step: number;
    readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  }): unknown;
  /** After the device was lost and restored: training continues after `step`, the last one in the snapshot. */
  onRestore?(snapshot: { readonly step: number; readonly epoch: number }): unknown;
  /** Once, also if the training was aborted, but not if it failed. */
  onEnd?(report: FitReport): unknown;
}

/** Calls one method of each callback, one after the other. */
export async function notifyAll<K extends keyof Callback>(
  callbacks: readonly Callback[],
  method: K,
  event: Parameters<NonNullable<Callback[K]>>[0],
): Promise<void> {
  for (const callback of callbacks) {
    await (callback[method] as ((value: typeof event) => unknown) | undefined)?.call(callback, event);
  }
}

/** Checkpoint options of `fit`: directory, interval, resume. */
export interface CheckpointOptions {
  /**
   * Where checkpoints are written; created if missing. Node only. The newest two are kept. The directory belongs to one
   * training at a time: another process that asks for it gets a FileError.
   */
  readonly directory: string;
  /** Number of steps between checkpoints. */
  readonly everySteps?: number;
  /** Number of epochs between checkpoints; default 1 if `everySteps` is not given. */
  readonly everyEpochs?: number;
  /** Resumes from the newest valid checkpoint in `directory`, if there is one. Default false. */
  readonly resume?: boolean;
}

/** Snapshot options of `fit`, on devices that can be lost. */
export interface SnapshotOptions {
  /** Number of steps between snapshots. Default 100. */
  readonly everySteps?: number;
}

/** Options that do not depend on the form of batches. */
export interface FitSettings {
  readonly optimizer: Optimizer<{ lr: number }>;
  /** Total number of epochs, including those before a resume. */
  readonly epochs: number;
  /** Factor on the learning rate of each of the optimizer's groups, by the step counted from 0; undone at the end. */
  readonly schedule?: Schedule;
  /** Largest norm of all gradients together; larger ones are scaled down. */
  readonly gradClip?: number;
  /**
   * Batches of a step: their gradients are added, and their mean is clipped and used by the optimizer, which is a batch of so many times
   * the size in the memory of one. Steps, schedules, checkpoints and callbacks count steps, not batches. The last step of an epoch has the
   * batches that are left, and their mean. Default 1.
   */
  readonly accumulate?: number;
  readonly stop?: readonly StopCondition[];
  /** Aborting it ends the training after the current step, with a checkpoint if checkpoints are configured. */
  readonly signal?: AbortSignal;
  readonly checkpoint?: CheckpointOptions;
  /**
   * Snapshots (host copies of weights, optimizer state and all other state), from which training resumes after the device was lost and
   * restored; the first is taken at the start. Only on devices with `recovery` (WebGL). Default: if the data can resume within an epoch (a
   * DataLoader). false disables them.
   */
  readonly snapshot?: SnapshotOptions | false;
  /** Meter for the energy of each epoch and of the run (see `openMeter`); the caller closes it. Default: none. */
  readonly energy?: EnergyMeter;
  /** Random streams the model draws from; saved in checkpoints. Default: the default generator. */
  readonly generators?: readonly Generator[];
  readonly callbacks?: readonly Callback[];
}

/** Options of `fit` for a model from one tensor to one tensor, and batches `[input, target]`. */
export interface FitOptions extends FitSettings, PairObjective {
  readonly train: Batches<readonly Tensor[]>;
  /** Evaluated after each epoch. */
  readonly validation?: Batches<readonly Tensor[]>;
}

/** Options of `fit` for models and batches of any form. */
export interface FitBatchOptions<Model, Batch, Output>
  extends FitSettings,
    BatchObjective<Model, Batch, Output> {
  readonly train: Batches<Batch>;
  /** Evaluated after each epoch. */
  readonly validation?: Batches<Batch>;
}

/** Either, with types forgotten. */
export interface AnyFitOptions extends FitSettings, AnyObjective {
  readonly train: Batches<unknown>;
  readonly validation?: Batches<unknown>;
}

/** The result of `fit`. */
export interface FitReport {
  readonly history: readonly EpochRecord[];
  /** Why the training ended, as a sentence. */
  readonly stoppedBecause: string;
  /** True if `signal` ended it. */
  readonly aborted: boolean;
  /** Number of steps, including those before a resume. */
  readonly steps: number;
  /** Seconds of training, including validation, checkpoints and the time before a resume. */
  readonly seconds: number;
  /** Training samples per second of this run, without validation, checkpoints and the first step, which compiles. */
  readonly samplesPerSecond: number;
  /** Energy of the training, the parts before a resume, validation and checkpoints included; with `energy` only. */
  readonly energy?: EnergyFigure;
  /** Path of the last checkpoint written. */
  readonly checkpoint: string | undefined;
}

const fitOptions: Kinds<AnyFitOptions> = {
  model: aTrainable,
  optimizer: [
    "an optimizer",
    (value) =>
      typeof (value as { step?: unknown; zeroGrad?: unknown } | undefined | null)?.zeroGrad === "function",
  ],
  train: aBatches,
  validation: aBatches,
  loss: aFunction,
  computeLoss: aFunction,
  metrics: anObject,
  epochs: aNumber,
  schedule: aFunction,
  gradClip: aNumber,
  accumulate: aNumber,
  stop: anArray,
  signal: anObject,
  checkpoint: anObject,
  snapshot: either(anObject, ["false", (value) => value === false]),
  energy: anObject,
  generators: anArray,
  callbacks: anArray,
};
const checkpointOptions: Kinds<CheckpointOptions> = {
  directory: aString,
  everySteps: aNumber,
  everyEpochs: aNumber,
  resume: aBoolean,
};
const snapshotOptions: Kinds<SnapshotOptions> = { everySteps: aNumber };

/** @throws ArgumentError for options that are unknown, of another kind or outside their domain. */
export function requireFitOptions(options: AnyFitOptions): void {
  const op = "fit";
  checkOptions(op, options ?? null, fitOptions);
  const { model, optimizer, epochs, train, gradClip, checkpoint, snapshot } = options;
  checkNeeded(op, { model, optimizer, train }, fitOptions);
  requireObjective(op, options);
  if (checkpoint) {
    checkOptions("fit's checkpoint", checkpoint, checkpointOptions);
    check(op, "checkpoint.directory", checkpoint.directory, aString);
  }
  if (snapshot) checkOptions("fit's snapshot", snapshot, snapshotOptions);
  if (!Number.isInteger(epochs) || epochs < 0) {
    throw new ArgumentError(`epochs is a non-negative integer, got ${epochs}`, { op });
  }
  if ((checkpoint || snapshot) && resumable(train) === undefined) {
    throw new ArgumentError(
      `${checkpoint ? "checkpoints" : "snapshots"} need data that can go on in the middle`,
      {
        op,
        hint: "a DataLoader, or an object with length, state, next and setState",
      },
    );
  }
  if (lengthOf(train) === 0) throw new ArgumentError("the training data has no batches", { op });
  if (gradClip !== undefined && !(gradClip > 0)) {
    throw new ArgumentError(`gradClip is a positive number, got ${gradClip}`, { op });
  }
  const periods = {
    "checkpoint.everySteps": checkpoint?.everySteps,
    "checkpoint.everyEpochs": checkpoint?.everyEpochs,
    "snapshot.everySteps": snapshot ? snapshot.everySteps : undefined,
    accumulate: options.accumulate,
  };
  for (const [name, every] of Object.entries(periods)) {
    if (every !== undefined && (!Number.isInteger(every) || every < 1)) {
      throw new ArgumentError(`${name} is a positive integer, got ${every}`, { op });
    }
  }
}
