/** Gradient clipping, before `optimizer.step()`. */

import { aNumber, check } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { tensors } from "../graph/require.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import { add, clamp, div, minimum, mul, sqrt, square } from "../ops/elementwise.js";
import { sum } from "../ops/reduce.js";
import { markBackward } from "../runtime/commit.js";

/** Keeps the division by a norm of 0 finite, as torch.nn.utils.clip_grad_norm_ does. */
const tiny = 1e-6;

/**
 * Scales all gradients so that their joint Euclidean norm is at most `maxNorm` (Pascanu et al. 2013).
 *
 * @example
 * const x = tensor([3, 4], { requiresGrad: true });
 * sum(square(x)).backward();
 * clipGradNorm([x], 1); // 10
 * x.grad; // [0.6, 0.8]
 *
 * @returns The norm before clipping, a lazy rank-0 tensor; the next step computes it.
 * @throws ArgumentError if no parameter has a gradient.
 */
export function clipGradNorm(parameters: readonly Tensor[], maxNorm: number): Tensor {
  check("clipGradNorm", "parameters", parameters, tensors);
  check("clipGradNorm", "maxNorm", maxNorm, aNumber);
  return noGrad(() => {
    const withGradient = parameters.filter(({ grad }) => grad !== undefined);
    if (withGradient.length === 0)
      throw new ArgumentError("no parameter has a gradient", { op: "clipGradNorm" });
    const norm = sqrt(withGradient.map(({ grad }) => sum(square(grad!))).reduce((a, b) => add(a, b)));
    const factor = minimum(div(maxNorm, add(norm, tiny)), 1);
    for (const parameter of withGradient) parameter.grad = mul(parameter.grad!, factor);
    // It is made of gradients that the step uses up: the step computes it, so that it can be read afterwards.
    markBackward(norm);
    return norm;
  });
}

/**
 * Clamps every element of every gradient to [−limit, limit].
 *
 * @example
 * const x = tensor([3, -4], { requiresGrad: true });
 * sum(square(x)).backward();
 * clipGradValue([x], 7);
 * x.grad; // [6, -7]
 *
 * @throws ArgumentError if no parameter has a gradient.
 */
export function clipGradValue(parameters: readonly Tensor[], limit: number): void {
  check("clipGradValue", "parameters", parameters, tensors);
  check("clipGradValue", "the limit", limit, aNumber);
  noGrad(() => {
    for (const parameter of parameters) {
      if (parameter.grad) parameter.grad = clamp(parameter.grad, { min: -limit, max: limit });
    }
  });
}
