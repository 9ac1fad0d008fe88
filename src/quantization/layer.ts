/** What quantized linear layers and convolutions have in common: packed weights, scales, and how their input is rounded. */

import { noGrad, type Tensor } from "../graph/tensor.js";
import { Module } from "../nn/module.js";
import { copied } from "../ops/composite.js";
import { mul, neg } from "../ops/elementwise.js";
import { groupScales } from "../ops/group_scales.js";
import { type PackedWeight, packWeight } from "../ops/packed_weight.js";
import { cast } from "../ops/promotion.js";
import { sum } from "../ops/reduce.js";
import { realize } from "../runtime/realize.js";
import type { InputQuantization } from "./input.js";
import { roundWeight, type WeightQuantization } from "./weights.js";

export type LayerQuantization = WeightQuantization & { readonly groups?: number };

/** A layer before its weights are packed; tensors may be lazy. */
export interface LayerParts {
  /** int8 [out, in] or [O, C/groups, KH, KW]; of 4 bits with columns in whole groups (see `wholeGroups`). */
  readonly values: Tensor;
  /** float32 [out], or for 4 bits [out, in/groupSize]: of the weights, times that of the input where it is static. */
  readonly scale: Tensor;
  /** float32 [out]. */
  readonly bias?: Tensor;
  /** int32 [out]: what the input's zero point adds to the sums. */
  readonly offset?: Tensor;
  readonly quantization: LayerQuantization;
  readonly input: InputQuantization;
}

/**
 * The base class of quantized layers: `weight` in the kernels' layout, `scale`, `bias`, `offset`, and the conversion of the input.
 *
 * @example
 * const model = new Sequential(new Linear(32, 4));
 * await quantize(model, int8Dynamic());
 * const [layer] = model.modules;
 * layer instanceof QuantizedLayer && layer.input; // { kind: "dynamic" }
 */
export abstract class QuantizedLayer extends Module {
  readonly weight: Tensor;
  readonly scale: Tensor;
  readonly bias: Tensor | undefined;
  readonly offset: Tensor | undefined;
  readonly input: InputQuantization;
  /** Bits, groups and shape of the weights. */
  readonly description: Omit<PackedWeight, "packed">;

  constructor({ values, scale, bias, offset, quantization, input }: LayerParts) {
    super();
    this.input = input;
    const { packed, ...description } = noGrad(() => packWeight(values, quantization));
    this.description = description;
    const parts = noGrad(() => ({
      weight: packed,
      scale: description.format.groupSize === undefined ? scale : groupScales(scale),
      ...(bias && { bias }),
      ...(offset && { offset }),
    }));
    realize(Object.values(parts));
    this.weight = this.registerBuffer("weight", parts.weight);
    this.scale = this.registerBuffer("scale", parts.scale);
    if (parts.bias) this.bias = this.registerBuffer("bias", parts.bias);
    if (parts.offset) this.offset = this.registerBuffer("offset", parts.offset);
  }

  override extraRepr(): object {
    const { shape, format } = this.description;
    return { shape, ...format, input: this.input.kind };
  }

  /** The weights as ops take them. */
  protected get packed(): PackedWeight {
    return { ...this.description, packed: this.weight };
  }
}

/** The parts of a layer with float weights, which stays as it is. */
export function partsOf(
  { weight, bias }: { readonly weight: Tensor; readonly bias: Tensor | undefined },
  quantization: LayerQuantization,
  input: InputQuantization,
): LayerParts {
  return noGrad(() => {
    const { values, scale } = roundWeight(weight, quantization);
    const isStatic = input.kind === "static";
    return {
      values,
      scale: isStatic ? mul(scale, input.scale) : scale,
      ...(bias && { bias: copied(bias) }),
      ...(isStatic && input.zeroPoint !== 0 && { offset: zeroPointOffset(values, input.zeroPoint) }),
      quantization,
      input,
    };
  });
}

/** Σ (q − z)·w = Σ q·w − z·Σ w, the second sum for each output channel. */
function zeroPointOffset(values: Tensor, zeroPoint: number): Tensor {
  const inner = values.shape.slice(1).map((_, d) => d + 1);
  return mul(neg(sum(cast(values, "int32"), inner)), zeroPoint);
}
