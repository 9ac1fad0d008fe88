/** Conditions that end a training run. They compose: `fit` stops at the first one that returns a reason. */

import { aNumber, aString, checkOptions, describe, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { formatJoules } from "../energy/figure.js";
import type { EpochRecord, FitState } from "./history.js";

/**
 * Called after every step and at the end of every epoch; a string, the reason, ends the training. Conditions depend only on the
 * given state, so a resumed run stops where an uninterrupted one would. May be async.
 */
export type StopCondition = (state: FitState) => string | undefined | Promise<string | undefined>;

/**
 * Ends the training when an epoch's loss is at most `value`: the validation loss if there is one, else the mean training loss.
 *
 * @example
 * const stop = lossReached(0.5);
 * stop({ epoch: 1, step: 9, samples: 0, seconds: 1, history: [], epochEnded: false }); // undefined
 */
export function lossReached(value: number): StopCondition {
  requireNumber("lossReached", "value", value);
  return ({ epochEnded, history }) => {
    const last = history.at(-1);
    if (!epochEnded || last === undefined) return undefined;
    const loss = (last.validation ?? last).loss;
    return loss <= value ? `loss ${loss.toPrecision(4)} reached the target ${value}` : undefined;
  };
}

/** Options of `patience`. */
export interface PatienceOptions {
  /** `"loss"` (default; lower is better) or a metric's name (higher is better); of the validation if there is one. */
  readonly metric?: string;
  /** Number of epochs without an improvement after which training ends. */
  readonly epochs: number;
  /** Smaller changes are no improvement. Default 0. */
  readonly minDelta?: number;
}

const patienceOptions: Kinds<PatienceOptions> = { metric: aString, epochs: aNumber, minDelta: aNumber };

/**
 * Early stopping (Prechelt 1998): ends the training when the score has not improved for some epochs.
 *
 * @example
 * const record = { epoch: 1, step: 1, loss: 2, metrics: {}, samples: 8, learningRate: 0.1, seconds: 1 };
 * const history = [record, { ...record, epoch: 2 }];
 * const stop = patience({ epochs: 1 });
 * stop({ epoch: 2, step: 2, samples: 0, seconds: 2, history, epochEnded: true }); // "loss has not improved for 1 epochs"
 *
 * @throws ArgumentError for options outside their domain.
 */
export function patience(options: PatienceOptions): StopCondition {
  const { metric = "loss", epochs = 0, minDelta = 0 } = checkOptions("patience", options, patienceOptions);
  if (!Number.isInteger(epochs) || epochs < 1) {
    throw new ArgumentError(`epochs is a positive integer, got ${epochs}`, { op: "patience" });
  }
  requireNumber("patience", "minDelta", minDelta);
  return ({ epochEnded, history }) => {
    if (!epochEnded) return undefined;
    let best = -Infinity;
    let bestAt = 0;
    history.forEach((record, i) => {
      const quality = qualityOf(record, metric);
      if (quality > best + minDelta || i === 0) {
        best = quality;
        bestAt = i;
      }
    });
    const waited = history.length - 1 - bestAt;
    return waited >= epochs ? `${metric} has not improved for ${waited} epochs` : undefined;
  };
}

/**
 * Ends the training after this many seconds of training time, also within an epoch.
 *
 * @example
 * const stop = timeLimit(60);
 * stop({ epoch: 1, step: 9, samples: 0, seconds: 61, history: [], epochEnded: false }); // "the time limit of 60 s is over"
 *
 * @throws ArgumentError unless `seconds` is positive.
 */
export function timeLimit(seconds: number): StopCondition {
  requireNumber("timeLimit", "seconds", seconds);
  return (state) => (state.seconds >= seconds ? `the time limit of ${seconds} s is over` : undefined);
}

/**
 * Ends the training when it has used this many joules, those before a resume included; also within an epoch. It needs `fit`'s option
 * `energy`, and also ends the training if the energy becomes unknown.
 *
 * @example
 * const energy = { joules: 5100, kind: "measured", method: "RAPL", scope: "package", seconds: 9, idleSubtracted: false } as const;
 * const stop = joules(5000);
 * stop({ epoch: 1, step: 9, samples: 0, seconds: 9, energy, history: [], epochEnded: false }); // "the budget of 5.00 kJ is spent (measured)"
 *
 * @throws ArgumentError unless the budget is positive.
 */
export function joules(budget: number): StopCondition {
  requireNumber("joules", "budget", budget);
  return ({ energy }) => {
    if (energy === undefined) {
      throw new ArgumentError("fit has no meter", {
        op: "joules",
        hint: "give it energy: await openMeter()",
      });
    }
    if (energy.joules === null) {
      return energy.seconds >= patienceSeconds ? `its energy is unknown: ${energy.reason}` : undefined;
    }
    return energy.joules >= budget
      ? `the budget of ${formatJoules(budget)} is spent (${energy.kind})`
      : undefined;
  };
}

/** Counters that are read once a second need a while until they have moved. */
const patienceSeconds = 5;

/** Higher is better. */
function qualityOf(record: EpochRecord, metric: string): number {
  const scores = record.validation ?? record;
  if (metric === "loss") return -scores.loss;
  if (!Object.hasOwn(scores.metrics, metric)) {
    throw new ArgumentError(`there is no metric "${metric}"`, {
      op: "patience",
      hint: `fit measures loss, ${Object.keys(scores.metrics).join(", ")}`,
    });
  }
  return scores.metrics[metric];
}

function requireNumber(op: string, name: string, value: number): void {
  if (!Number.isFinite(value) || value < 0) {
    throw new ArgumentError(`${name} is a non-negative number, got ${describe(value)}`, { op });
  }
}
