/** What a step does with the gradients of its batches: their mean, clipping, the optimizer. */

import type { Tensor } from "../graph/tensor.js";
import { noGrad } from "../graph/tensor.js";
import { mul, tensor } from "../ops/index.js";
import { clipGradNorm, type Optimizer } from "../optim/index.js";
import { jit } from "../runtime/jit.js";

/** Clips the gradients and updates the parameters. */
export function stepOf(
  parameters: readonly Tensor[],
  optimizer: Optimizer<{ lr: number }>,
  gradClip: number | undefined,
): () => void {
  return () => {
    if (gradClip !== undefined) clipGradNorm(parameters, gradClip);
    optimizer.step();
  };
}

/** The same for gradients that are sums over several batches, as one recorded Program. */
export function stepOfSums(parameters: readonly Tensor[], step: () => void): (batches: number) => void {
  const recorded = jit((share: Tensor) => {
    noGrad(() => {
      for (const parameter of parameters) if (parameter.grad) parameter.grad = mul(parameter.grad, share);
    });
    step();
    return share;
  });
  return (batches) => {
    const share = tensor(1 / batches, { device: parameters[0].device });
    recorded(share);
    share.dispose();
  };
}
