/** A frozen linear layer with a trainable update of low rank beside it. */

import { noGrad, type Tensor } from "../graph/tensor.js";
import { Dropout } from "../nn/dropout.js";
import { kaimingUniform } from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { parameter } from "../nn/parameter.js";
import { zeros } from "../ops/creation.js";
import { add, mul } from "../ops/elementwise.js";
import { linear, matmul } from "../ops/linalg.js";
import { randn } from "../ops/random.js";
import { QuantizedLinear } from "../quantization/linear.js";
import { assign } from "../runtime/assign.js";

/** A layer that can have an adapter. */
export type Adaptable = Linear | QuantizedLinear;

/** Initial values of A; B begins with zeros, so that an untrained adapter changes nothing. */
export type LoraInit = "kaiming" | "gaussian";

/** Sizes and initial values of one adapter. */
export interface LoraShape {
  /** Inner size r of the update. */
  readonly rank: number;
  /** Factor on the update: alpha / r, or alpha / √r (rank-stabilized). */
  readonly scaling: number;
  readonly dropout: number;
  readonly init: LoraInit;
}

/** Whether a module is a layer that can have an adapter. */
export function isAdaptable(module: Module): module is Adaptable {
  return module instanceof Linear || module instanceof QuantizedLinear;
}

/** Sizes of the last dimension of a layer's output and input. */
export function featuresOf(layer: Adaptable): readonly [outFeatures: number, inFeatures: number] {
  if (layer instanceof QuantizedLinear) return [layer.description.shape[0], layer.inFeatures];
  const [outFeatures, inFeatures] = layer.weight.shape;
  return [outFeatures, inFeatures];
}

/**
 * x [..., in] → base(x) + scaling · dropout(x)·Aᵀ·Bᵀ, [..., out] (Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language
 * Models"). A [rank, in] and B [out, rank] are trained; the base, a `Linear` or `QuantizedLinear`, is not. Its tensors keep
 * their names in state dicts; A and B are `lora_A.weight` and `lora_B.weight` beside them, as in peft. Made by `lora`.
 *
 * @example
 * const layer = new LoraLinear(new Linear(8, 4), { rank: 2, scaling: 1, dropout: 0, init: "kaiming" });
 * [...layer.stateDict().keys()]; // ["lora_A.weight", "lora_B.weight", "weight", "bias"]
 */
export class LoraLinear extends Module<[Tensor], Tensor> {
  base: Adaptable;
  readonly loraA: Tensor;
  readonly loraB: Tensor;
  readonly scaling: number;
  /** False: the layer computes what its base does. */
  enabled = true;
  /** Whether the base's weight includes the update; `merge` and `unmerge` of the adapter change it. */
  merged = false;
  readonly dropout: Dropout | undefined;

  constructor(base: Adaptable, { rank, scaling, dropout, init }: LoraShape) {
    super();
    const [outFeatures, inFeatures] = featuresOf(base);
    const { device } = base.weight;
    this.base = base;
    this.loraA = parameter(
      init === "gaussian"
        ? mul(randn([rank, inFeatures], { device }), 1 / rank)
        : kaimingUniform([rank, inFeatures], device),
    );
    this.loraB = parameter(zeros([outFeatures, rank], { device }));
    this.scaling = scaling;
    if (dropout > 0) this.dropout = new Dropout(dropout);
  }

  get rank(): number {
    return this.loraA.shape[0];
  }

  override stateNames(): Readonly<Record<string, string>> {
    return { base: "", loraA: "lora_A.weight", loraB: "lora_B.weight" };
  }

  override extraRepr(): object {
    return { rank: this.rank, scaling: this.scaling, merged: this.merged };
  }

  forward(x: Tensor): Tensor {
    const y = this.base.forward(x);
    if (this.merged || !this.enabled) return y;
    const inner = linear(this.dropout?.forward(x) ?? x, this.loraA);
    return add(y, mul(linear(inner, this.loraB), this.scaling));
  }

  /**
   * Adds the update to the base's weight, or subtracts it again; written with the next commit. Not for quantized bases.
   *
   * @param merged Whether the weight includes the update afterwards.
   */
  setMerged(merged: boolean): void {
    const { base, loraA, loraB, scaling } = this;
    if (merged === this.merged) return;
    noGrad(() => {
      const update = mul(matmul(loraB, loraA), merged ? scaling : -scaling);
      assign(base.weight, add(base.weight, update));
    });
    this.merged = merged;
  }
}
