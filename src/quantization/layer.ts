/** What quantized linear layers and convolutions have in common: packed weights, scales, and how their input is rounded. */

import type { FloatFormat, QuantizedFormat } from "../core/weight_format.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import { Module } from "../nn/module.js";
import { copied } from "../ops/composite.js";
import { mul, neg } from "../ops/elementwise.js";
import { groupScales } from "../ops/group_scales.js";
import { type PackedWeight, packWeight } from "../ops/packed_weight.js";
import { cast } from "../ops/promotion.js";
import { sum } from "../ops/reduce.js";
import { realize } from "../runtime/realize.js";
import type { DeviceWeight, WeightDescription } from "./device_weight.js";
import type { InputQuantization } from "./input.js";
import { roundWeight, type WeightQuantization } from "./weights.js";

export type LayerQuantization = (WeightQuantization & { readonly groups?: number }) | FloatFormat;

/** Whole numbers and their scales before they are packed; tensors may be lazy. */
export interface RoundedParts {
  /** int8 [out, in] or [O, C/groups, KH, KW]; of groups with columns in whole groups (see `wholeGroups`). */
  readonly values: Tensor;
  /** float32 [out], or of groups [out, in/groupSize]: of the weights, times that of the input where it is static. */
  readonly scale: Tensor;
  /** float32 [out, in/groupSize], of 4-bit groups with minimums: the weights are (value + 8) · scale + minimum. */
  readonly minimums?: Tensor;
  readonly quantization: Exclude<LayerQuantization, FloatFormat>;
}

/** The weights of a layer and what it adds. */
export interface LayerParts {
  readonly weight: DeviceWeight;
  /** float32 [out]. */
  readonly bias?: Tensor;
  /** int32 [out]: what the input's zero point adds to the sums. */
  readonly offset?: Tensor;
  readonly input: InputQuantization;
}

/** Weights in the kernels' layout, packed on the device; lazy. */
export function packedParts({ values, scale, minimums, quantization }: RoundedParts): DeviceWeight {
  return noGrad(() => {
    const { asymmetric: _, ...options } = quantization;
    const { packed, ...description } = packWeight(values, options);
    const format = minimums
      ? ({ ...description.format, offset: "minimum" } as QuantizedFormat)
      : description.format;
    const isGrouped = format.groupSize !== undefined;
    return {
      description: { ...description, format },
      weight: packed,
      scale: isGrouped ? groupScales(scale) : scale,
      ...(minimums && { minimums: groupScales(minimums) }),
    };
  });
}

/**
 * The base class of quantized layers: `weight` in the kernels' layout, `scale`, `minimums`, `bias`, `offset`, and the conversion of
 * the input.
 *
 * @example
 * const model = new Sequential(new Linear(32, 4));
 * await quantize(model, int8Dynamic());
 * const [layer] = model.modules;
 * layer instanceof QuantizedLayer && layer.input; // { kind: "dynamic" }
 */
export abstract class QuantizedLayer extends Module {
  readonly weight: Tensor;
  readonly scale: Tensor | undefined;
  readonly minimums: Tensor | undefined;
  readonly bias: Tensor | undefined;
  readonly offset: Tensor | undefined;
  readonly input: InputQuantization;
  /** Format and shape of the weights. */
  readonly description: WeightDescription;

  constructor({ weight: { description, weight, scale, minimums }, bias, offset, input }: LayerParts) {
    super();
    this.input = input;
    this.description = description;
    const others = { scale, minimums, bias, offset };
    realize([weight, ...Object.values(others).filter((tensor) => tensor !== undefined)]);
    this.weight = this.registerBuffer("weight", weight);
    for (const name of ["scale", "minimums", "bias", "offset"] as const) {
      const tensor = others[name];
      if (tensor) (this as Writable)[name] = this.registerBuffer(name, tensor);
    }
  }

  override extraRepr(): object {
    const { shape, format } = this.description;
    return { shape, ...format, input: this.input.kind };
  }

  /** The weights, for another layer that shares them. */
  get deviceWeight(): DeviceWeight {
    const { description, weight, scale, minimums } = this;
    return { description, weight, ...(scale && { scale }), ...(minimums && { minimums }) };
  }

  /** Quantized weights as ops take them. */
  protected get packed(): PackedWeight {
    const { weight: packed, minimums, description } = this;
    return { ...(description as Omit<PackedWeight, "packed">), packed, ...(minimums && { minimums }) };
  }
}

type Writable = { -readonly [Name in keyof QuantizedLayer]: QuantizedLayer[Name] };

/** The parts of a layer with float weights, which stays as it is. */
export function partsOf(
  { weight, bias }: { readonly weight: Tensor; readonly bias: Tensor | undefined },
  quantization: LayerQuantization,
  input: InputQuantization,
): LayerParts {
  return noGrad(() => {
    if ("dtype" in quantization) {
      const description = { shape: weight.shape, format: quantization };
      const halves = cast(weight, quantization.dtype);
      return { weight: { description, weight: halves }, ...(bias && { bias: copied(bias) }), input };
    }
    const { values, scale, minimums } = roundWeight(weight, quantization);
    const isStatic = input.kind === "static";
    const scales = isStatic ? mul(scale, input.scale) : scale;
    return {
      weight: packedParts({ values, scale: scales, ...(minimums && { minimums }), quantization }),
      ...(bias && { bias: copied(bias) }),
      ...(isStatic && input.zeroPoint !== 0 && { offset: zeroPointOffset(values, input.zeroPoint) }),
      input,
    };
  });
}

/** Σ (q − z)·w = Σ q·w − z·Σ w, the second sum for each output channel. */
function zeroPointOffset(values: Tensor, zeroPoint: number): Tensor {
  const inner = values.shape.slice(1).map((_, d) => d + 1);
  return mul(neg(sum(cast(values, "int32"), inner)), zeroPoint);
}
