/** `qconv`: convolutions of int8 images with quantized weights. */
import { sizeOf } from "../core/shape.js";
import { uncoveredBytes } from "./bytes.js";
import type { ConvGeometry } from "./conv.js";
import { epilogueFlops } from "./epilogue.js";
import type { Operand } from "./operand.js";
import { emptyProduct, type QuantizedFormat, type QuantizedProduct } from "./quantized.js";
import type { KernelCost, KernelRecord } from "./record.js";

/**
 * 2-D cross-correlation of an int8 input [N, C, H, W], any strides, with packed weights [O, C/groups, KH, KW] of 8 or 7 bits
 * → [N, O, OH, OW]. The input is padded with `inputZeroPoint`.
 */
export interface QconvCall extends QuantizedProduct {
  readonly kernel: "qconv";
  readonly input: Operand;
  readonly weight: Operand;
  readonly format: QuantizedFormat;
  readonly kernelSize: readonly [number, number];
  readonly geometry: ConvGeometry;
  readonly inputZeroPoint: number;
  /** float32 [N]: scale of each image. */
  readonly inputScales?: Operand;
  readonly output: Operand;
}

export const qconv: KernelRecord<QconvCall> = {
  reads: ["input", "weight", "scales", "inputScales", "offsets"],
  writes: ["output"],
  emptyReduction: (call) =>
    sizeOf([call.input.view.shape[1], ...call.kernelSize]) === 0 ? emptyProduct(call) : undefined,
};

export const qconvCost: KernelCost<QconvCall> = {
  flops: (call) => {
    const { input, output, geometry, kernelSize } = call;
    const perGroup = input.view.shape[1] / geometry.groups;
    return 2 * sizeOf(output.view.shape) * perGroup * sizeOf(kernelSize) + epilogueFlops(call);
  },
  untouched: ({ input, output, geometry, kernelSize }, stored) =>
    uncoveredBytes(input, kernelSize, output.view.shape, geometry, stored),
};
