/** A linear layer with quantized weights. */

import { aDevice, checkOptions, type Kinds, oneOf } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Shape } from "../core/shape.js";
import type { FloatFormat, HostWeight, QuantizedFormat } from "../core/weight_format.js";
import { defaultDevice } from "../device/default.js";
import type { Device } from "../device/device.js";
import { aTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import type { Linear } from "../nn/linear.js";
import { ge, le, logicalAnd, where } from "../ops/comparison.js";
import { type CompositeRules, compose } from "../ops/composite.js";
import { div } from "../ops/elementwise.js";
import { linear, matmul } from "../ops/linalg.js";
import type { PackedWeight } from "../ops/packed_weight.js";
import { cast } from "../ops/promotion.js";
import { quantizeDynamic, quantizePerTensor } from "../ops/quantize.js";
import { quantizedLinear } from "../ops/quantized.js";
import { reshape } from "../ops/reshape.js";
import { narrow } from "../ops/slice.js";
import { dequantizeWeight } from "../ops/unpack_weight.js";
import { type DeviceWeight, type WeightLayout, WeightUpload } from "./device_weight.js";
import { uploadWeight } from "./host_weight.js";
import type { InputQuantization } from "./input.js";
import { type LayerParts, partsOf, QuantizedLayer } from "./layer.js";
import { padToGroups, type WeightQuantization } from "./weights.js";

/** Options of `QuantizedLinear.fromWeight` and `fromRows`. */
export interface FromWeightOptions {
  /** The device of the weights. Default: the default device. */
  readonly device?: Device;
  /** float32 [out]. Default none. */
  readonly bias?: Tensor;
  /**
   * Of int8 and int7: whether inputs are rounded to int8 with a scale for each row ("dynamic", the default), or stay float32. Weights in
   * groups round them with a scale for each group; with weights that are floats they stay float32.
   */
  readonly input?: "dynamic" | "float";
}

const fromWeightOptions: Kinds<FromWeightOptions> = {
  device: aDevice,
  bias: aTensor,
  input: oneOf("dynamic", "float"),
};

/**
 * A linear layer with weights in any format of the registry (int8, int4, halves …): x [..., in] float32 → [..., out] float32, equal to
 * its `Linear` up to rounding. Made by `quantize`, or straight from the parts in a file by `fromWeight` and `fromRows`.
 *
 * @example
 * const model = new Sequential(new Linear(64, 4));
 * await quantize(model, int4WeightOnly({ groupSize: 32 }));
 * model.modules[0] instanceof QuantizedLinear; // true
 */
export class QuantizedLinear extends QuantizedLayer {
  /** Size of the last dimension of x; the weight may have more columns, zeros that fill its last group. */
  readonly inFeatures: number;

  /** @param inFeatures Default: the columns of the weight. */
  constructor(parts: LayerParts, inFeatures = parts.weight.description.shape[1]) {
    super(parts);
    this.inFeatures = inFeatures;
  }

  /** Quantizes a linear layer, which stays unchanged. */
  static of(
    linear: Linear,
    quantization: WeightQuantization | FloatFormat,
    input: InputQuantization,
  ): QuantizedLinear {
    return new QuantizedLinear(partsOf(linear, quantization, input), linear.weight.shape[1]);
  }

  /**
   * A layer with the weight [out, in] of a file, in host memory: nothing is rounded, and no float32 copy of it is made. A weight that
   * another layer holds on a device (`layer.deviceWeight`) is shared.
   *
   * @example
   * const scales = Float32Array.of(0.5, 0.25);
   * const layer = QuantizedLinear.fromWeight({ format: "int8", shape: [2, 2], values: Int8Array.of(1, 2, 3, 4), scales });
   * layer.forward(tensor([[1, 1]])); // [[1.5, 1.75]]
   *
   * @throws ArgumentError if the parts do not fit format and shape, or the kernels have no such groups.
   */
  static fromWeight(weight: HostWeight | DeviceWeight, options: FromWeightOptions = {}): QuantizedLinear {
    const { device, bias, input } = checkOptions("QuantizedLinear.fromWeight", options, fromWeightOptions);
    const own = "description" in weight ? weight : uploadWeight(weight, device ?? defaultDevice());
    return new QuantizedLinear({ weight: own, ...(bias && { bias }), input: inputOf(own, input) });
  }

  /**
   * As `fromWeight`, from ranges of rows that are packed as they arrive: each but the last has a multiple of 8 rows.
   *
   * @example
   * const part = { format: "int8", shape: [8, 4], values: new Int8Array(32), scales: new Float32Array(8) } as const;
   * const layer = await QuantizedLinear.fromRows({ format: "int8", shape: [16, 4] }, [part, part]);
   * layer.inFeatures; // 4
   *
   * @throws ArgumentError as `WeightUpload`; the memory is freed then.
   */
  static async fromRows(
    layout: WeightLayout,
    rows: Iterable<HostWeight> | AsyncIterable<HostWeight>,
    options: FromWeightOptions = {},
  ): Promise<QuantizedLinear> {
    const { device } = checkOptions("QuantizedLinear.fromRows", options, fromWeightOptions);
    const upload = new WeightUpload(layout, device ?? defaultDevice());
    try {
      for await (const part of rows) upload.write(part);
      return QuantizedLinear.fromWeight(upload.finish(), options);
    } catch (error) {
      upload.dispose();
      throw error;
    }
  }

  /**
   * x [..., in] float32 → [..., out]. Differentiable in x, so that layers before a frozen quantized layer can be trained: ∂/∂x is the
   * arriving gradient times the dequantized weight. Rounding of x counts as the identity (straight-through estimator, Bengio et al.
   * 2013); with a static scale the gradient is 0 for saturated values.
   */
  forward(x: Tensor): Tensor {
    const { weight, scale, minimums, bias, offset, input, description } = this;
    if (scale === undefined) return linear(x, weight, bias);
    if (input.kind === "float") return quantizedLinear(x, this.packed, { scales: scale, bias });
    const { shape, format } = description as Omit<PackedWeight, "packed">;
    const optional = { minimums, bias, offset };
    const present = optionalParts.filter((name) => optional[name] !== undefined);
    const rest = present.map((name) => optional[name]!);
    return compose(straightThrough, [x, weight, scale, ...rest], { input, shape, format, present });
  }

  /** The float32 weights [out, in] that the layer stands for; `width`: without what fills the last group. */
  dequantized(width: number): Tensor {
    const { weight, scale, minimums, input } = this;
    if (scale === undefined) return cast(weight, "float32");
    const { shape, format } = this.description as Omit<PackedWeight, "packed">;
    return dequantized([weight, scale, minimums], { input, shape, format }, width);
  }
}

/** How a layer with such weights takes its input. @throws ArgumentError */
function inputOf(
  { description: { format } }: DeviceWeight,
  wanted: FromWeightOptions["input"],
): InputQuantization {
  if ("dtype" in format) return { kind: "float" };
  if (wanted === "float" && format.groupSize !== undefined) {
    throw new ArgumentError("weights in groups go with inputs of int8", { op: "QuantizedLinear.fromWeight" });
  }
  return { kind: wanted ?? "dynamic" };
}

const optionalParts = ["minimums", "bias", "offset"] as const;

interface Rounding {
  readonly input: InputQuantization;
  readonly shape: Shape;
  readonly format: QuantizedFormat;
}

function dequantized(
  [weight, scale, minimums]: readonly [Tensor, Tensor, Tensor | undefined],
  { input, shape, format }: Rounding,
  width: number,
): Tensor {
  const scales = input.kind === "static" ? div(scale, input.scale) : scale;
  return narrow(dequantizeWeight(weight, [shape[0], shape[1]], format, scales, minimums), 1, 0, width);
}

interface Attributes extends Rounding {
  readonly present: readonly (typeof optionalParts)[number][];
}

/** Inputs: x, packed weight, scales, and those of the optional parts that are present. */
const straightThrough: CompositeRules<Attributes> = {
  name: "quantizedLinear",
  forward: ([x, packed, scales, ...rest], { input, shape, format, present }) => {
    const part = (name: (typeof optionalParts)[number]) => rest[present.indexOf(name)] as Tensor | undefined;
    const [minimums, bias, offsets] = optionalParts.map(part);
    const weight: PackedWeight = { packed, shape, format, ...(minimums && { minimums }) };
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
    const { input, present } = attributes;
    const minimums = rest[present.indexOf("minimums")] as Tensor | undefined;
    const width = x.shape[x.rank - 1];
    const toInput = matmul(gradient, dequantized([packed, scales, minimums], attributes, width));
    const others = [undefined, undefined, ...rest.map(() => undefined)];
    if (input.kind !== "static") return [toInput, ...others];
    const [least, most] = [-128.5, 127.5].map((level) => (level - input.zeroPoint) * input.scale);
    return [where(logicalAnd(ge(x, least), le(x, most)), toInput, 0), ...others];
  },
};
