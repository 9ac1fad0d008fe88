/** Layers that compute in float32 what their quantized form will, with gradients as if nothing had been rounded. */

import { noGrad, type Tensor } from "../graph/tensor.js";
import type { Conv2d } from "../nn/conv.js";
import type { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { gt, where } from "../ops/comparison.js";
import { concat } from "../ops/concat.js";
import { type ConvOptions, conv2d } from "../ops/convolution.js";
import { tensor } from "../ops/creation.js";
import { abs, add, clamp, div, maximum, minimum, mul, neg, round, sub } from "../ops/elementwise.js";
import { linear } from "../ops/linalg.js";
import { fakeQuantize } from "../ops/quantize.js";
import { max, min } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { narrow } from "../ops/slice.js";
import { assign } from "../runtime/assign.js";
import { averagingConstant } from "./observers.js";
import type { Int8Dynamic, Int8Static } from "./scheme.js";
import { weightLevels } from "./weights.js";

/** A layer with the parameters of a float one; for static schemes `range` is what its inputs have covered in training. */
export abstract class FakeQuantizedLayer extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  /** float32 [2], lowest and highest input, 0 included; ∞ and −∞ before the first batch. */
  readonly range: Tensor | undefined;
  readonly scheme: Int8Dynamic | Int8Static;

  constructor({ weight, bias }: Linear | Conv2d, scheme: Int8Dynamic | Int8Static) {
    super();
    this.weight = weight;
    if (bias) this.bias = bias;
    this.scheme = scheme;
    if (scheme.kind !== "int8-static") return;
    const nothing = tensor([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY], { device: weight.device });
    this.range = this.registerBuffer("range", nothing);
  }

  protected roundedWeight(): Tensor {
    const { weight, scheme } = this;
    const levels = weightLevels[scheme.weightBits];
    const scale = noGrad(() => div(max(abs(weight), innerDims(weight), { keepdim: true }), levels));
    return fakeQuantize(weight, scale, { min: -levels, max: levels });
  }

  /** @param dims what shares a scale in a dynamic scheme. */
  protected roundedInput(x: Tensor, dims: number | readonly number[]): Tensor {
    if (this.range === undefined) {
      return fakeQuantize(
        x,
        noGrad(() => div(max(abs(x), dims, { keepdim: true }), weightLevels[8])),
      );
    }
    const [scale, zeroPoint] = noGrad(() => this.affine(x));
    return fakeQuantize(x, scale, { zeroPoint, min: -128, max: 127 });
  }

  /** Scale and zero point (as affineOf in observers.ts) of the moving averages, which a training step moves. */
  private affine(x: Tensor): [Tensor, Tensor] {
    const range = this.range!;
    const seen = concat([reshape(minimum(min(x), 0), [1]), reshape(maximum(max(x), 0), [1])]);
    const isNew = gt(narrow(range, 0, 0, 1), narrow(range, 0, 1, 1));
    const before = where(isNew, seen, range);
    const next = this.training ? add(before, mul(sub(seen, before), averagingConstant)) : before;
    if (this.training) assign(range, next);
    const low = narrow(next, 0, 0, 1);
    const scale = maximum(div(sub(narrow(next, 0, 1, 1), low), 255), 2 ** -99);
    return [scale, clamp(round(sub(neg(div(low, scale)), 128)), { min: -128, max: 127 })];
  }
}

function innerDims(weight: Tensor): number[] {
  return weight.shape.slice(1).map((_, d) => d + 1);
}

/** As Linear. */
export class FakeQuantizedLinear extends FakeQuantizedLayer {
  forward(x: Tensor): Tensor {
    return linear(this.roundedInput(x, -1), this.roundedWeight(), this.bias);
  }
}

/** As Conv2d. */
export class FakeQuantizedConv2d extends FakeQuantizedLayer {
  readonly options: ConvOptions;

  constructor(conv: Conv2d, scheme: Int8Dynamic | Int8Static) {
    super(conv, scheme);
    this.options = conv.options;
  }

  forward(x: Tensor): Tensor {
    return conv2d(this.roundedInput(x, [1, 2, 3]), this.roundedWeight(), this.bias, this.options);
  }
}
