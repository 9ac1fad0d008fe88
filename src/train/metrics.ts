/** Metrics: sums over a batch, computed inside the training step's own Program. */

import type { Tensor } from "../graph/tensor.js";
import { argmax, cast, eq, sum } from "../ops/index.js";

/**
 * The sum of a score over the samples of a batch, as a rank-0 float32 tensor; `fit` and `evaluate` divide by the number of samples.
 * Runs inside `jit`, so it cannot read values.
 */
export type Metric = (output: Tensor, target: Tensor) => Tensor;

/** A metric for `computeLoss`: takes its `output` and the whole batch; otherwise as `Metric`. */
export type BatchMetric<Output, Batch> = (output: Output, batch: Batch) => Tensor;

/**
 * Top-1 accuracy: the number of rows of `output` [N, C] whose largest value is at the class in `target` [N].
 *
 * @example
 * accuracy(tensor([[1, 0], [0, 1]]), tensor([0, 0], { dtype: "int32" })); // 1
 */
export const accuracy: Metric = (output, target) => {
  const predicted = argmax(output, -1);
  return sum(cast(eq(predicted, cast(target, predicted.dtype)), "float32"));
};
