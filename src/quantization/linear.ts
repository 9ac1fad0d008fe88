/** A linear layer with quantized weights. */

import type { Shape } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";
import type { QuantizedFormat } from "../kernels/kernel.js";
import type { Linear } from "../nn/linear.js";
import { ge, le, logicalAnd, where } from "../ops/comparison.js";
import { type CompositeRules, compose } from "../ops/composite.js";
import { div } from "../ops/elementwise.js";
import { matmul } from "../ops/linalg.js";
import type { PackedWeight } from "../ops/packed_weight.js";
import { quantizeDynamic, quantizePerTensor } from "../ops/quantize.js";
import { quantizedLinear } from "../ops/quantized.js";
import { reshape } from "../ops/reshape.js";
import { narrow } from "../ops/slice.js";
import { dequantizeWeight } from "../ops/unpack_weight.js";
import type { InputQuantization } from "./input.js";
import { type LayerParts, partsOf, QuantizedLayer } from "./layer.js";
import { padToGroups, type WeightQuantization } from "./weights.js";

/**
 * A linear layer with int8 or int4 weights: x [..., in] float32 → [..., out] float32, equal to its `Linear` up to rounding. Made by
 * `quantize`.
 *
 * @example
 * const model = new Sequential(new Linear(64, 4));
 * await quantize(model, int4WeightOnly({ groupSize: 32 }));
 * model.modules[0] instanceof QuantizedLinear; // true
 */
export class QuantizedLinear extends QuantizedLayer {
  /** Size of the last dimension of x; the weight may have more columns, zeros that fill its last group. */
  readonly inFeatures: number;

  /** @param inFeatures Default: the columns of the values. */
  constructor(parts: LayerParts, inFeatures = parts.values.shape[1]) {
    super(parts);
    this.inFeatures = inFeatures;
  }

  /** Quantizes a linear layer, which stays unchanged. */
  static of(linear: Linear, quantization: WeightQuantization, input: InputQuantization): QuantizedLinear {
    return new QuantizedLinear(partsOf(linear, quantization, input), linear.weight.shape[1]);
  }

  /**
   * x [..., in] float32 → [..., out]. Differentiable in x, so that layers before a frozen quantized layer can be trained: ∂/∂x is the
   * arriving gradient times the dequantized weight. Rounding of x counts as the identity (straight-through estimator, Bengio et al.
   * 2013); with a static scale the gradient is 0 for saturated values.
   */
  forward(x: Tensor): Tensor {
    const { scale, bias, offset, input, description } = this;
    if (input.kind === "float") return quantizedLinear(x, this.packed, { scales: scale, bias });
    const { shape, format } = description;
    const rest = [bias, offset].filter((tensor) => tensor !== undefined);
    const attributes = { input, shape, format, hasBias: bias !== undefined };
    return compose(straightThrough, [x, this.weight, scale, ...rest], attributes);
  }

  /** The float32 weights [out, in] that the layer stands for; `width`: without what fills the last group. */
  dequantized(width: number): Tensor {
    const { shape, format } = this.description;
    return dequantized(this.weight, this.scale, { input: this.input, shape, format }, width);
  }
}

interface Rounding {
  readonly input: InputQuantization;
  readonly shape: Shape;
  readonly format: QuantizedFormat;
}

function dequantized(
  weight: Tensor,
  scale: Tensor,
  { input, shape, format }: Rounding,
  width: number,
): Tensor {
  const scales = input.kind === "static" ? div(scale, input.scale) : scale;
  return narrow(dequantizeWeight(weight, [shape[0], shape[1]], format, scales), 1, 0, width);
}

/** Inputs: x, packed weight, scales, and bias and offset if there are any. */
const straightThrough: CompositeRules<Rounding & { readonly hasBias: boolean }> = {
  name: "quantizedLinear",
  forward: ([x, packed, scales, ...rest], { input, shape, format, hasBias }) => {
    const weight: PackedWeight = { packed, shape, format };
    const [bias, offsets] = hasBias ? rest : [undefined, rest[0]];
    if (input.kind === "static") {
      const { scale, zeroPoint } = input;
      return quantizedLinear(quantizePerTensor(x, { scale, zeroPoint }), weight, { scales, offsets, bias });
    }
    const { groupSize } = format;
    if (groupSize === undefined) {
      const { values, scales: inputScales } = quantizeDynamic(x, -1);
      return quantizedLinear(values, weight, { scales, inputScales, bias });
    }
    const padded = padToGroups(x, groupSize);
    const groups = padded.shape[x.rank - 1] / groupSize;
    const grouped = reshape(padded, [...x.shape.slice(0, -1), groups, groupSize]);
    const { values, scales: inputScales } = quantizeDynamic(grouped, -1);
    return quantizedLinear(reshape(values, padded.shape), weight, { scales, inputScales, bias });
  },
  gradient: ({ inputs: [x, packed, scales, ...rest], gradient, attributes }) => {
    const toInput = matmul(gradient, dequantized(packed, scales, attributes, x.shape[x.rank - 1]));
    const others = [undefined, undefined, ...rest.map(() => undefined)];
    const { input } = attributes;
    if (input.kind !== "static") return [toInput, ...others];
    const [least, most] = [-128.5, 127.5].map((level) => (level - input.zeroPoint) * input.scale);
    return [where(logicalAnd(ge(x, least), le(x, most)), toInput, 0), ...others];
  },
};
