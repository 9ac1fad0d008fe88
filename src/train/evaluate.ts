/** Loss and metrics of a model over a data set, without training. */

import { aFunction, anObject, checkNeeded, checkOptions, type Kind, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { DataLoader } from "../data/index.js";
import type { WarmupProgress } from "../device/device.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import { Module } from "../nn/index.js";
import { cast, reshape, stack } from "../ops/index.js";
import { jit } from "../runtime/jit.js";
import { readTensor } from "../runtime/realize.js";
import { ScoreSum, type Scores } from "./history.js";
import type { Metric } from "./metrics.js";

/** Compares the model's output with the batch's last tensor; the mean over the batch, rank 0. */
export type Loss = (output: Tensor, target: Tensor) => Tensor;

export interface EvaluateOptions {
  /** Maps one input tensor to one output tensor. */
  readonly model: Module;
  /** Batches of `[input, target]`. */
  readonly data: DataLoader;
  readonly loss: Loss;
  readonly metrics?: Readonly<Record<string, Metric>>;
}

export const aTrainable: Kind = ["a module", (value) => value instanceof Module];
export const aLoader: Kind = [
  "a DataLoader",
  (value) => typeof value === "object" && value !== null && Symbol.asyncIterator in value,
];

const evaluateOptions: Kinds<EvaluateOptions> = {
  model: aTrainable,
  data: aLoader,
  loss: aFunction,
  metrics: anObject,
};

export interface Evaluation extends Scores {
  readonly samples: number;
  readonly seconds: number;
}

/**
 * Mean loss and metrics over every sample of `data`, with the model in evaluation mode (restored afterwards).
 *
 * @example
 * const { loss, metrics } = await evaluate({ model, data: testLoader, loss: crossEntropy, metrics: { accuracy } });
 *
 * @throws ArgumentError if `data` has no samples.
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  checkOptions("evaluate", options ?? null, evaluateOptions);
  const { model, data, loss } = options;
  checkNeeded("evaluate", { model, data, loss }, evaluateOptions);
  return evaluator(options)(options.data);
}

/** The same as a function that compiles its forward pass once, for validation after each epoch. */
export function evaluator(
  { model, loss, metrics = {} }: Omit<EvaluateOptions, "data">,
  progress?: WarmupProgress,
) {
  const names = Object.keys(metrics);
  const measures = Object.values(metrics);
  const forward = jit((input: Tensor, target: Tensor) =>
    noGrad(() => {
      const output = model.forward(input);
      return packScores(loss(output, target), measures, output, target);
    }),
  );
  return async (data: DataLoader): Promise<Evaluation> => {
    const start = performance.now();
    const sum = new ScoreSum(names.length);
    const wasTraining = model.training;
    model.eval();
    try {
      let previous: Promise<void> | undefined;
      for await (const batch of data) {
        const [input, target] = requirePair(batch, "evaluate");
        const samples = input.shape[0];
        await forward.warmup([input, target], progress);
        const current = readAndDispose(forward(input, target)).then(([mean, ...sums]) =>
          sum.add(mean, sums, samples),
        );
        // Its error is thrown where it is awaited; if another error comes first, it must not count as unhandled.
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

/** Loss and metrics as one float32 vector, so that a step costs one read. */
export function packScores(loss: Tensor, metrics: readonly Metric[], output: Tensor, target: Tensor): Tensor {
  const parts = [loss, ...metrics.map((metric) => metric(output, target))];
  return stack(
    parts.map((part) => cast(reshape(part, []), "float32")),
    0,
  );
}

/** Reads a result without blocking what is enqueued next, and gives its memory back. */
export async function readAndDispose(result: Tensor): Promise<number[]> {
  try {
    return Array.from(await readTensor(result));
  } finally {
    result.storage?.dispose();
  }
}

/** `[input, target]`, or an error that says what came instead. */
export function requirePair(batch: readonly Tensor[], op: string): readonly [Tensor, Tensor] {
  if (batch.length !== 2) {
    throw new ArgumentError(`batches are [input, target], got ${batch.length} tensors`, { op });
  }
  return [batch[0], batch[1]];
}
