/** A convolution with quantized weights. */

import type { Tensor } from "../graph/tensor.js";
import type { Conv2d } from "../nn/conv.js";
import type { ConvOptions } from "../ops/convolution.js";
import { quantizeDynamic, quantizePerTensor } from "../ops/quantize.js";
import { quantizedConv2d } from "../ops/quantized.js";
import type { InputQuantization } from "./input.js";
import { type LayerParts, partsOf, QuantizedLayer } from "./layer.js";
import type { WeightQuantization } from "./weights.js";

/**
 * A convolution with int8 weights: x [N, C, H, W] float32 → [N, O, OH, OW] float32, equal to its `Conv2d` up to rounding. Made by
 * `quantize`.
 *
 * @example
 * const model = new Sequential(new Conv2d(3, 4, 3));
 * await quantize(model, int8Dynamic());
 * model.modules[0] instanceof QuantizedConv2d; // true
 * model.forward(zeros([1, 3, 8, 8])).shape; // [1, 4, 6, 6]
 */
export class QuantizedConv2d extends QuantizedLayer {
  readonly options: ConvOptions;

  constructor(parts: LayerParts, options: ConvOptions) {
    super(parts);
    this.options = options;
  }

  /** Quantizes a convolution, which stays unchanged. */
  static of(conv: Conv2d, weights: WeightQuantization, input: InputQuantization): QuantizedConv2d {
    const quantization = { ...weights, groups: conv.options.groups };
    return new QuantizedConv2d(partsOf(conv, quantization, input), conv.options);
  }

  forward(x: Tensor): Tensor {
    const { scale: scales, bias, offset: offsets, input, options } = this;
    if (input.kind === "static") {
      const inputZeroPoint = input.zeroPoint;
      const values = quantizePerTensor(x, { scale: input.scale, zeroPoint: inputZeroPoint });
      return quantizedConv2d(values, this.packed, { ...options, scales, offsets, bias, inputZeroPoint });
    }
    const { values, scales: inputScales } = quantizeDynamic(x, [1, 2, 3]);
    return quantizedConv2d(values, this.packed, { ...options, scales, inputScales, bias });
  }
}
