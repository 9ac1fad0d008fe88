/** The residual blocks of ResNet (He et al. 2015, "Deep residual learning", figure 5), with torchvision's names. */

import type { Tensor } from "../../graph/tensor.js";
import { Sequential } from "../../nn/container.js";
import { Conv2d } from "../../nn/conv.js";
import { Module } from "../../nn/module.js";
import { BatchNorm2d } from "../../nn/normalization.js";
import type { ParameterOptions } from "../../nn/parameter.js";
import { add, relu } from "../../ops/elementwise.js";

/** The class of a stage's blocks: BasicBlock or Bottleneck. */
export interface ResidualBlock {
  /** Output channels as a multiple of the block's width. */
  readonly expansion: number;
  new (inChannels: number, width: number, stride: number, options: ParameterOptions): Module;
}

/** Brings the shortcut to the shape of the block's output; undefined where it has that already. */
function projection(
  inChannels: number,
  outChannels: number,
  stride: number,
  options: ParameterOptions,
): Sequential | undefined {
  if (stride === 1 && inChannels === outChannels) return undefined;
  return new Sequential(
    new Conv2d(inChannels, outChannels, 1, { stride, bias: false, ...options }),
    new BatchNorm2d(outChannels, options),
  );
}

/**
 * Two 3 × 3 convolutions with a shortcut: x [N, in, H, W] → [N, width, H/stride, W/stride].
 *
 * @example
 * new BasicBlock(8, 16, 2).forward(zeros([1, 8, 4, 4])).shape; // [1, 16, 2, 2]
 */
export class BasicBlock extends Module {
  static readonly expansion = 1;
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly downsample: Sequential | undefined;

  constructor(inChannels: number, width: number, stride: number, options: ParameterOptions = {}) {
    super();
    this.conv1 = new Conv2d(inChannels, width, 3, { stride, padding: 1, bias: false, ...options });
    this.bn1 = new BatchNorm2d(width, options);
    this.conv2 = new Conv2d(width, width, 3, { padding: 1, bias: false, ...options });
    this.bn2 = new BatchNorm2d(width, options);
    this.downsample = projection(inChannels, width, stride, options);
  }

  forward(x: Tensor): Tensor {
    const hidden = relu(this.bn1.forward(this.conv1.forward(x)));
    const residual = this.bn2.forward(this.conv2.forward(hidden));
    return relu(add(residual, this.downsample?.forward(x) ?? x));
  }
}

/**
 * 1 × 1, 3 × 3 and 1 × 1 convolutions with a shortcut: x [N, in, H, W] → [N, 4·width, H/stride, W/stride]. The stride is in the 3 × 3
 * convolution, as in torchvision ("ResNet v1.5"); in the paper it is in the first one.
 *
 * @example
 * new Bottleneck(8, 4, 2).forward(zeros([1, 8, 4, 4])).shape; // [1, 16, 2, 2]
 */
export class Bottleneck extends Module {
  static readonly expansion = 4;
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv3: Conv2d;
  readonly bn3: BatchNorm2d;
  readonly downsample: Sequential | undefined;

  constructor(inChannels: number, width: number, stride: number, options: ParameterOptions = {}) {
    super();
    const outChannels = width * Bottleneck.expansion;
    this.conv1 = new Conv2d(inChannels, width, 1, { bias: false, ...options });
    this.bn1 = new BatchNorm2d(width, options);
    this.conv2 = new Conv2d(width, width, 3, { stride, padding: 1, bias: false, ...options });
    this.bn2 = new BatchNorm2d(width, options);
    this.conv3 = new Conv2d(width, outChannels, 1, { bias: false, ...options });
    this.bn3 = new BatchNorm2d(outChannels, options);
    this.downsample = projection(inChannels, outChannels, stride, options);
  }

  forward(x: Tensor): Tensor {
    const reduced = relu(this.bn1.forward(this.conv1.forward(x)));
    const filtered = relu(this.bn2.forward(this.conv2.forward(reduced)));
    const residual = this.bn3.forward(this.conv3.forward(filtered));
    return relu(add(residual, this.downsample?.forward(x) ?? x));
  }
}
