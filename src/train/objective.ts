/** Computes loss and metrics of a batch: from [input, target] with `loss` and `metrics`, or by the user's `computeLoss`. */

import { describe } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { WarmupProgress } from "../device/device.js";
import { noGrad, Tensor } from "../graph/tensor.js";
import type { Module } from "../nn/index.js";
import { cast, reshape, stack } from "../ops/index.js";
import { jit } from "../runtime/jit.js";
import type { BatchMetric, Metric } from "./metrics.js";

/** A loss of the model's output and the target of a batch `[input, target]`: the mean over the batch, rank 0. */
export type Loss = (output: Tensor, target: Tensor) => Tensor;

/**
 * Runs the model on a batch of any form and returns its mean loss, rank 0, or `{ loss, output }` for metrics of the output. Runs
 * inside `jit`, so it cannot read values.
 */
export type ComputeLoss<Model, Batch, Output> = (
  model: Model,
  batch: Batch,
) => Tensor | { readonly loss: Tensor; readonly output: Output };

/** For batches `[input, target]` of a model that maps one tensor to one tensor. */
export interface PairObjective {
  readonly model: Module;
  /** Mean over the batch, for example `crossEntropy`. */
  readonly loss: Loss;
  readonly metrics?: Readonly<Record<string, Metric>>;
  readonly computeLoss?: undefined;
}

/** For batches and models of any form. */
export interface BatchObjective<Model, Batch, Output> {
  readonly model: Model;
  readonly computeLoss: ComputeLoss<Model, Batch, Output>;
  readonly metrics?: Readonly<Record<string, BatchMetric<Output, Batch>>>;
  readonly loss?: undefined;
}

/** Either, with types forgotten. */
export interface AnyObjective {
  readonly model: Module;
  readonly loss?: Loss;
  readonly computeLoss?: ComputeLoss<never, never, unknown>;
  readonly metrics?: Readonly<Record<string, (output: never, of: never) => Tensor>>;
}

/** @throws ArgumentError unless there is either `loss` or `computeLoss`. */
export function requireObjective(op: string, { loss, computeLoss }: AnyObjective): void {
  if ((loss === undefined) !== (computeLoss === undefined)) return;
  throw new ArgumentError(loss ? "loss and computeLoss are both given" : "there is no loss", {
    op,
    hint: "loss: (output, target) is for batches [input, target], computeLoss: (model, batch) for any",
  });
}

/** @throws ArgumentError for batches that the objective does not take. */
export function checkBatch(op: string, { loss }: AnyObjective, batch: unknown): void {
  if (loss === undefined || (Array.isArray(batch) && batch.length === 2)) return;
  const given = Array.isArray(batch) ? `${batch.length} tensors` : describe(batch);
  throw new ArgumentError(`batches are [input, target], got ${given}`, {
    op,
    hint: "computeLoss: (model, batch) takes batches of any form",
  });
}

/** Loss and scores (see `packScores`) of a batch. */
export interface BatchScores {
  readonly loss: Tensor;
  readonly scores: Tensor;
}

export function objectiveOf(objective: AnyObjective, op: string): (batch: unknown) => BatchScores {
  const { model, loss, computeLoss, metrics = {} } = objective;
  const measures = Object.values(metrics) as ((output: unknown, of: unknown) => Tensor)[];
  const scored = (value: Tensor, output: unknown, of: unknown): BatchScores => ({
    loss: value,
    scores: noGrad(() =>
      packScores(
        value,
        measures.map((measure) => measure(output, of)),
      ),
    ),
  });
  if (loss !== undefined) {
    return (batch) => {
      const [input, target] = batch as readonly [Tensor, Tensor];
      const output = model.forward(input);
      return scored(loss(output, target), output, target);
    };
  }
  return (batch) => {
    const result = computeLoss!(model as never, batch as never);
    if (!(result instanceof Tensor)) return scored(result.loss, result.output, batch);
    if (measures.length === 0) return scored(result, undefined, batch);
    throw new ArgumentError("metrics need the output of the model", {
      op,
      hint: "return { loss, output } from computeLoss",
    });
  };
}

/** Loss and metrics as one float32 vector, so that a step costs one read. */
function packScores(loss: Tensor, metrics: readonly Tensor[]): Tensor {
  return stack(
    [loss, ...metrics].map((part) => cast(reshape(part, []), "float32")),
    0,
  );
}

/** A jit function of one batch of any form. */
export interface BatchFunction {
  (batch: unknown): Tensor;
  warmup(args: readonly [unknown], progress?: WarmupProgress): Promise<void>;
}

/** jit, with the types of batches forgotten: it checks them itself. */
export function jitOfBatch(fn: (batch: unknown) => Tensor): BatchFunction {
  return jit(fn as (batch: Tensor) => Tensor) as unknown as BatchFunction;
}
