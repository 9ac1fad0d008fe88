/** Sums of exponentials without overflow: logsumexp, softmax and its logarithm. */

import { normalizeDim, normalizeDims } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";
import { sumAxes } from "./broadcast.js";
import { eq, where } from "./comparison.js";
import { composite } from "./composite.js";
import { abs, add, div, exp, log, mul, sub } from "./elementwise.js";
import { asFloat } from "./promotion.js";
import { type AxesAttributes, applyKeepdim, type Dims, max, type ReduceOptions } from "./reduce.js";

/** The shift m of log Σ e^(x − m) + m: the largest x, or 0 where that is infinite, as ∞ − ∞ has no value. */
function shiftedTotal(x: Tensor, axes: readonly number[]): { shift: Tensor; total: Tensor } {
  const largest = max(x, axes, { keepdim: true });
  const shift = where(eq(abs(largest), Number.POSITIVE_INFINITY), 0, largest);
  return { shift, total: log(sumAxes(exp(sub(x, shift)), axes)) };
}

const logsumexpOver = composite<AxesAttributes>({
  name: "logsumexp",
  forward: ([x], { axes }) => {
    const { shift, total } = shiftedTotal(x, axes);
    return add(total, shift);
  },
  // Not of the output, in which a large shift has swallowed the total.
  gradient: ({ inputs: [x], gradient, attributes: { axes } }) => {
    const { shift, total } = shiftedTotal(x, axes);
    return [mul(gradient, exp(sub(sub(x, shift), total)))];
  },
});

/**
 * log Σ eˣ over `dims` (default: all), without overflow. float32; int32 is converted.
 *
 * @example
 * logsumexp(tensor([1000, 1000])); // 1000.6932
 */
export function logsumexp(x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor {
  const value = asFloat(x, "logsumexp");
  const axes = normalizeDims(dims, x.rank, "logsumexp");
  return applyKeepdim("logsumexp", logsumexpOver([value], { axes }), axes, options);
}

const softmaxOver = composite<AxesAttributes>({
  name: "softmax",
  forward: ([x], { axes }) => {
    const powers = exp(sub(x, max(x, axes, { keepdim: true })));
    return div(powers, sumAxes(powers, axes));
  },
  gradient: ({ output: y, gradient, attributes: { axes } }) => [
    mul(y, sub(gradient, sumAxes(mul(gradient, y), axes))),
  ],
});

/**
 * eˣ / Σ eˣ along `dim`, without overflow. float32; int32 is converted.
 *
 * @example
 * softmax(tensor([[0, 0], [0, 1]]), 1); // [[0.5, 0.5], [0.2689, 0.7311]]
 */
export function softmax(x: Tensor, dim: number): Tensor {
  return softmaxOver([asFloat(x, "softmax")], { axes: [normalizeDim(dim, x.rank, "softmax")] });
}

const logSoftmaxOver = composite<AxesAttributes>({
  name: "logSoftmax",
  forward: ([x], { axes }) => {
    const shifted = sub(x, max(x, axes, { keepdim: true }));
    return sub(shifted, log(sumAxes(exp(shifted), axes)));
  },
  gradient: ({ output: y, gradient, attributes: { axes } }) => [
    sub(gradient, mul(exp(y), sumAxes(gradient, axes))),
  ],
});

/**
 * log(eˣ / Σ eˣ) along `dim`, as x − logsumexp(x): accurate where the softmax is tiny. float32; int32 is converted.
 *
 * @example
 * logSoftmax(tensor([0, 1000]), 0); // [-1000, 0]
 */
export function logSoftmax(x: Tensor, dim: number): Tensor {
  return logSoftmaxOver([asFloat(x, "logSoftmax")], { axes: [normalizeDim(dim, x.rank, "logSoftmax")] });
}
