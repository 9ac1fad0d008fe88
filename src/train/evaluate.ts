/** Loss and metrics of a model over a data set, without training. */

import { aFunction, anObject, checkNeeded, checkOptions, type Kind, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { WarmupProgress } from "../device/device.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import { Module } from "../nn/index.js";
import { readTensor } from "../runtime/host_data.js";
import { aBatches, type Batches, samplesOf } from "./batches.js";
import { ScoreSum, type Scores } from "./history.js";
import {
  type AnyObjective,
  type BatchObjective,
  checkBatch,
  jitOfBatch,
  objectiveOf,
  type PairObjective,
  requireObjective,
} from "./objective.js";

/** Options of `evaluate` for a model from one tensor to one tensor, and batches `[input, target]`. */
export interface EvaluateOptions extends PairObjective {
  readonly data: Batches<readonly Tensor[]>;
}

/** Options of `evaluate` for a model and batches of any form. */
export interface EvaluateBatchOptions<Model, Batch, Output> extends BatchObjective<Model, Batch, Output> {
  readonly data: Batches<Batch>;
}

type Options = AnyObjective & { readonly data: Batches<unknown> };

export const aTrainable: Kind = ["a module", (value) => value instanceof Module];

const evaluateOptions: Kinds<Options> = {
  model: aTrainable,
  data: aBatches,
  loss: aFunction,
  computeLoss: aFunction,
  metrics: anObject,
};

/** Mean loss and metrics, the number of samples, and the seconds taken. */
export interface Evaluation extends Scores {
  readonly samples: number;
  readonly seconds: number;
}

/**
 * Mean loss and metrics over every sample of `data`, with the model in evaluation mode (restored afterwards).
 *
 * @example
 * const data = [[tensor([[1, 0], [0, 1]]), tensor([0, 0], { dtype: "int32" })]];
 * const { metrics, samples } = await evaluate({ model: new Identity(), data, loss: crossEntropy, metrics: { accuracy } });
 * metrics.accuracy; // 0.5
 * samples; // 2
 *
 * @throws ArgumentError if `data` has no samples; IndexError for labels outside the classes.
 */
export function evaluate(options: EvaluateOptions): Promise<Evaluation>;
export function evaluate<Model extends Module, Batch, Output>(
  options: EvaluateBatchOptions<Model, Batch, Output>,
): Promise<Evaluation>;
export async function evaluate(options: Options): Promise<Evaluation> {
  const op = "evaluate";
  checkOptions(op, options ?? null, evaluateOptions);
  const { model, data } = options;
  checkNeeded(op, { model, data }, evaluateOptions);
  requireObjective(op, options);
  return evaluator(options)(data);
}

/** The same as a function that compiles its forward pass once, for validation after each epoch. */
export function evaluator(objective: AnyObjective, progress?: WarmupProgress) {
  const { model, metrics = {} } = objective;
  const names = Object.keys(metrics);
  const scoresOf = objectiveOf(objective, "evaluate");
  const forward = jitOfBatch((batch) => noGrad(() => scoresOf(batch).scores));
  return async (data: Batches<unknown>): Promise<Evaluation> => {
    const start = performance.now();
    const sum = new ScoreSum(names.length);
    const wasTraining = model.training;
    model.eval();
    try {
      let previous: Promise<void> | undefined;
      for await (const batch of data) {
        checkBatch("evaluate", objective, batch);
        const samples = samplesOf(batch, "evaluate");
        await forward.warmup([batch], progress);
        const current = readAndDispose(forward(batch)).then(([mean, ...sums]) =>
          sum.add(mean, sums, samples),
        );
        // The error is thrown where the promise is awaited; if another error is thrown first, this one must not count as unhandled.
        current.catch(() => {});
        await previous;
        previous = current;
      }
      await previous;
    } finally {
      model.train(wasTraining);
    }
    if (sum.samples === 0) throw new ArgumentError("there are no samples", { op: "evaluate" });
    return { ...sum.scores(names), samples: sum.samples, seconds: (performance.now() - start) / 1000 };
  };
}

/** Reads a result without blocking work enqueued later, and frees its memory. */
export async function readAndDispose(result: Tensor): Promise<number[]> {
  try {
    return Array.from(await readTensor(result));
  } finally {
    result.storage?.dispose();
  }
}
