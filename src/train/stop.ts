/** Conditions that end a training run. They compose: `fit` stops at the first one that gives a reason. */

import { aNumber, aString, checkOptions, describe, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { formatJoules } from "../energy/figure.js";
import type { EpochRecord, FitState } from "./history.js";

/**
 * Asked after every step and at the end of every epoch; a sentence ends the training. Conditions look only at the
 * state they are given, so a resumed run stops where an uninterrupted one would. May be async.
 */
export type StopCondition = (state: FitState) => string | undefined | Promise<string | undefined>;

/**
 * Ends the training when an epoch's loss is at most `value`: the validation loss if there is one, else the mean
 * training loss.
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

export interface PatienceOptions {
  /** `"loss"` (default; lower is better) or the name of a metric (higher is better); of the validation if any. */
  readonly metric?: string;
  /** Epochs without an improvement that are tolerated. */
  readonly epochs: number;
  /** Changes up to this size are no improvement; 0 by default. */
  readonly minDelta?: number;
}

const patienceOptions: Kinds<PatienceOptions> = { metric: aString, epochs: aNumber, minDelta: aNumber };

/** Ends the training when nothing has improved for some epochs (early stopping, Prechelt 1998). */
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

/** Ends the training after this many seconds of training time, also in the middle of an epoch. */
export function timeLimit(seconds: number): StopCondition {
  requireNumber("timeLimit", "seconds", seconds);
  return (state) => (state.seconds >= seconds ? `the time limit of ${seconds} s is over` : undefined);
}

/**
 * Ends the training when it has taken so many joules, resumed parts included; also in the middle of an epoch. It needs
 * `fit`'s `energy`, and ends the training too if the energy becomes unknown: a budget that nobody watches is none.
 *
 * @example
 * const meter = await openMeter({ device });
 * await fit({ model, optimizer, train, loss, epochs: 100, energy: meter, stop: [joules(5000)] });
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
