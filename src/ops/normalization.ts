/** Normalization to mean 0 and variance 1, over features (layerNorm) or over the batch (batchNorm). */

import { aBoolean, aNumber, check, checkOptions, integers, type Kinds } from "../core/check.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { formatShape, type Shape, sameShape } from "../core/shape.js";
import { requireTensor } from "../graph/require.js";
import { inComposite } from "../graph/scope.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import { assign } from "../runtime/assign.js";
import { type CompositeRules, compose } from "./composite.js";
import { add, mul, rsqrt, square, sub } from "./elementwise.js";
import { requireFloat } from "./promotion.js";
import { mean } from "./reduce.js";
import { reshape } from "./reshape.js";

interface NormalizeAttributes {
  readonly axes: readonly number[];
  readonly eps: number;
}

const over = (x: Tensor, axes: readonly number[]) => mean(x, axes, { keepdim: true });

/** Mean and variance (biased), with the axes kept. */
function moments(x: Tensor, axes: readonly number[]): { center: Tensor; spread: Tensor } {
  const center = over(x, axes);
  return { center, spread: over(square(sub(x, center)), axes) };
}

/** y = (x − mean)/√(variance + eps). */
const normalize: CompositeRules<NormalizeAttributes> = {
  name: "normalize",
  forward: ([x], { axes, eps }) => {
    const { center, spread } = moments(x, axes);
    return mul(sub(x, center), rsqrt(add(spread, eps)));
  },
  // dx = (g − mean(g) − y·mean(g·y))/√(variance + eps), Ba et al. 2016.
  gradient: ({ inputs: [x], output: y, gradient: g, attributes: { axes, eps } }) => {
    const scale = rsqrt(add(moments(x, axes).spread, eps));
    const projected = mul(y, over(mul(g, y), axes));
    return [mul(sub(sub(g, over(g, axes)), projected), scale)];
  },
};

/**
 * Normalizes x over its last dimensions `normalizedShape` to mean 0 and variance 1, then multiplies by `weight` and adds `bias`,
 * both of that shape (Ba et al. 2016). float32; eps (default 1e-5) is added to the variance.
 *
 * @example
 * layerNorm(tensor([[1, 2, 3]]), 3); // [[-1.2247, 0, 1.2247]]
 *
 * @throws ShapeError if `normalizedShape` is not the end of x's shape.
 */
export function layerNorm(
  x: Tensor,
  normalizedShape: number | Shape,
  weight?: Tensor,
  bias?: Tensor,
  eps = 1e-5,
): Tensor {
  const op = "layerNorm";
  requireFloat(x, op);
  check(op, "eps", eps, aNumber);
  const inner = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
  check(op, "normalizedShape", inner, integers);
  const lead = x.rank - inner.length;
  if (inner.length === 0 || lead < 0 || !sameShape(x.shape.slice(lead), inner)) {
    throw new ShapeError(`${formatShape(x.shape)} does not end with the shape ${formatShape(inner)}`, { op });
  }
  for (const parameter of [weight, bias]) {
    if (parameter !== undefined && !sameShape(requireTensor(op, parameter, "a parameter").shape, inner)) {
      throw new ShapeError(
        `a parameter of shape ${formatShape(parameter.shape)} does not fit ${formatShape(inner)}`,
        {
          op,
        },
      );
    }
  }
  const axes = inner.map((_, i) => lead + i);
  return inComposite(op, () => affine(compose(normalize, [x], { axes, eps }), weight, bias));
}

function affine(x: Tensor, weight: Tensor | undefined, bias: Tensor | undefined): Tensor {
  const scaled = weight ? mul(x, weight) : x;
  return bias ? add(scaled, bias) : scaled;
}

/** Options of `batchNorm`. */
export interface BatchNormOptions {
  /** Normalizes with the batch's statistics, and updates the running ones. Default false. */
  readonly training?: boolean;
  /** Weight of the batch in the new running statistics. Default 0.1. */
  readonly momentum?: number;
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
}

const batchNormOptions: Kinds<BatchNormOptions> = { training: aBoolean, momentum: aNumber, eps: aNumber };

/**
 * Normalizes each channel of x [N, C, …] over batch and positions, then multiplies by `weight` [C] and adds `bias` [C] (Ioffe and
 * Szegedy 2015). float32. In training it uses the batch's statistics and updates the running ones [C] in place, with the unbiased
 * variance as in PyTorch; otherwise it uses the running ones, or the batch's if there are none.
 *
 * @example
 * const mean = tensor([1]);
 * const variance = tensor([4]);
 * batchNorm(tensor([[1], [5]]), mean, variance); // [[0], [2]]
 * batchNorm(tensor([[1], [5]]), mean, variance, undefined, undefined, { training: true }); // [[-1], [1]]
 *
 * @throws ShapeError if the sizes do not fit, or for one value per channel in training; ArgumentError for a momentum outside 0..1.
 */
export function batchNorm(
  x: Tensor,
  runningMean?: Tensor,
  runningVar?: Tensor,
  weight?: Tensor,
  bias?: Tensor,
  options: BatchNormOptions = {},
): Tensor {
  const op = "batchNorm";
  const { training = false, momentum = 0.1, eps = 1e-5 } = checkOptions(op, options, batchNormOptions);
  requireFloat(x, op);
  if (x.rank < 2) throw new ShapeError(`the input is [N, C, …], got ${formatShape(x.shape)}`, { op });
  const channels = x.shape[1];
  const aligned = x.shape.map((extent, i) => (i === 1 ? extent : 1));
  const perChannel = (t: Tensor | undefined) => {
    if (t === undefined) return undefined;
    if (!sameShape(requireTensor(op, t, "a parameter").shape, [channels])) {
      throw new ShapeError(`${formatShape(t.shape)} given for ${channels} channels`, { op });
    }
    return reshape(t, aligned);
  };
  return inComposite(op, () => {
    const [scale, shift] = [perChannel(weight), perChannel(bias)];
    const [center, spread] = [perChannel(runningMean), perChannel(runningVar)];
    if (training || !center || !spread) {
      const axes = x.shape.map((_, i) => i).filter((i) => i !== 1);
      const count = x.size / channels;
      if (training && count <= 1) {
        throw new ShapeError(
          `more than one value per channel is needed in training, got ${formatShape(x.shape)}`,
          {
            op,
          },
        );
      }
      if (training && runningMean && runningVar) {
        if (!(momentum >= 0 && momentum <= 1)) {
          throw new ArgumentError(`momentum lies in 0..1, got ${momentum}`, { op });
        }
        noGrad(() => {
          const batch = moments(x, axes);
          const unbiased = mul(batch.spread, count / (count - 1));
          blend(runningMean, reshape(batch.center, [channels]), momentum);
          blend(runningVar, reshape(unbiased, [channels]), momentum);
        });
      }
      return affine(compose(normalize, [x], { axes, eps }), scale, shift);
    }
    // Both affine steps as one: x·k + (bias − mean·k).
    const inverse = rsqrt(add(spread, eps));
    const factor = scale ? mul(inverse, scale) : inverse;
    const offset = mul(center, factor);
    return shift ? add(mul(x, factor), sub(shift, offset)) : sub(mul(x, factor), offset);
  });
}

function blend(running: Tensor, now: Tensor, momentum: number): void {
  assign(running, add(mul(running, 1 - momentum), mul(now, momentum)));
}
