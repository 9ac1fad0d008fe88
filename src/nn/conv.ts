/** Conv2d: 2-D cross-correlation with learned filters. */

import { aBoolean, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Tensor } from "../graph/tensor.js";
import { asPair, type ConvOptions, conv2d, convOptions, geometryOf, type Pair } from "../ops/convolution.js";
import { fanIn, kaimingUniform, uniformInit } from "./init.js";
import { Module } from "./module.js";
import { type ParameterOptions, parameter, parameterOptions, requireCounts } from "./parameter.js";

/** Options of `Conv2d`. */
export interface Conv2dOptions extends ParameterOptions, ConvOptions {
  /** Whether a bias is added. Default true. */
  readonly bias?: boolean;
}

const conv2dOptions = (): Kinds<Conv2dOptions> => ({ ...convOptions, ...parameterOptions, bias: aBoolean });

/**
 * 2-D convolution: x [N, in, H, W] → [N, out, H', W'], float32; weight [out, in/groups, KH, KW] and bias [out], uniform within
 * 1/√fanIn as in torch.nn.Conv2d. Stride 1, padding 0, dilation 1 and groups 1 by default.
 *
 * @example
 * const layer = new Conv2d(1, 32, 5, { padding: 2 });
 * layer.forward(zeros([64, 1, 28, 28])).shape; // [64, 32, 28, 28]
 *
 * @throws ArgumentError if `groups` does not divide both channel counts.
 */
export class Conv2d extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly options: ConvOptions;

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: Conv2dOptions = {}) {
    super();
    const op = "Conv2d";
    requireCounts(op, { inChannels, outChannels });
    const { groups = 1, bias = true, device } = checkOptions(op, options, conv2dOptions());
    const { stride, padding, dilation } = geometryOf(op, options);
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new ArgumentError(`${groups} groups do not divide ${inChannels} and ${outChannels} channels`, {
        op,
      });
    }
    const shape = [outChannels, inChannels / groups, ...asPair(kernelSize, "kernelSize", 1, op)];
    this.weight = parameter(kaimingUniform(shape, device));
    const bound = 1 / Math.sqrt(Math.max(1, fanIn(shape)));
    if (bias) this.bias = parameter(uniformInit([outChannels], bound, this.weight.device));
    this.options = { stride, padding, dilation, groups };
  }

  override extraRepr(): object {
    const [outChannels, perGroup, ...kernelSize] = this.weight.shape;
    const { groups = 1, stride, padding, dilation } = this.options;
    const inChannels = perGroup * groups;
    return {
      inChannels,
      outChannels,
      kernelSize,
      stride,
      padding,
      dilation,
      groups,
      bias: this.bias !== undefined,
    };
  }

  forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.options);
  }
}
