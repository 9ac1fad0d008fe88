/** Metrics: sums over a batch, computed inside the training step's own Program. */

import type { Tensor } from "../graph/tensor.js";
import { argmax, cast, eq, sum } from "../ops/index.js";

/**
 * The sum of something over the samples of a batch, as a rank-0 float32 tensor; `fit` and `evaluate` divide by the
 * number of samples. Runs inside `jit`, so it may not read values.
 */
export type Metric = (output: Tensor, target: Tensor) => Tensor;

/** The same for `computeLoss`: gets its `output` and the whole batch. */
export type BatchMetric<Output, Batch> = (output: Output, batch: Batch) => Tensor;

/**
 * Top-1 accuracy: the number of rows of `output` [N, C] whose largest value stands at the class in `target` [N].
 *
 * @example
 * await fit({ …, metrics: { accuracy } });
 */
export const accuracy: Metric = (output, target) => {
  const predicted = argmax(output, -1);
  return sum(cast(eq(predicted, cast(target, predicted.dtype)), "float32"));
};
