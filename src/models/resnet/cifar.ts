/** ResNet for the 32 × 32 images of CIFAR-10 (He et al. 2015, section 4.2), with the names of akamaster's weights. */

import { aCount, aNumber, checkOptions, type Kinds } from "../../core/check.js";
import { ArgumentError } from "../../core/errors.js";
import type { Tensor } from "../../graph/tensor.js";
import { Sequential } from "../../nn/container.js";
import { Conv2d } from "../../nn/conv.js";
import { initialize, kaimingNormal } from "../../nn/init.js";
import { Linear } from "../../nn/linear.js";
import { Module } from "../../nn/module.js";
import { BatchNorm2d } from "../../nn/normalization.js";
import { type ParameterOptions, parameterOptions } from "../../nn/parameter.js";
import { add, relu } from "../../ops/elementwise.js";
import { adaptiveAvgPool2d } from "../../ops/pooling.js";
import { flatten } from "../../ops/reshape.js";
import { pad, slice } from "../../ops/slice.js";

/** Options of `CifarResNet`. */
export interface CifarResNetOptions extends ParameterOptions {
  /** Layers with weights, 6n + 2 for stages of n blocks: 20, 32, 44, 56, 110. Default 20. */
  readonly depth?: number;
  /** Number of classes. Default 10. */
  readonly numClasses?: number;
}

const cifarOptions: Kinds<CifarResNetOptions> = { ...parameterOptions, depth: aNumber, numClasses: aCount };

/** Two 3 × 3 convolutions around a shortcut without parameters. */
class CifarBlock extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly #stride: number;

  constructor(inChannels: number, channels: number, stride: number, options: ParameterOptions) {
    super();
    this.#stride = stride;
    this.conv1 = new Conv2d(inChannels, channels, 3, { stride, padding: 1, bias: false, ...options });
    this.bn1 = new BatchNorm2d(channels, options);
    this.conv2 = new Conv2d(channels, channels, 3, { padding: 1, bias: false, ...options });
    this.bn2 = new BatchNorm2d(channels, options);
  }

  forward(x: Tensor): Tensor {
    const hidden = relu(this.bn1.forward(this.conv1.forward(x)));
    const residual = this.bn2.forward(this.conv2.forward(hidden));
    return relu(add(residual, subsampled(x, this.#stride, residual.shape[1])));
  }
}

/** The paper's option A: every `stride`-th pixel, and zeros for the new channels, half before and half behind. */
function subsampled(x: Tensor, stride: number, channels: number): Tensor {
  const pixels = [2, 3].reduce((value, dim) => slice(value, dim, undefined, undefined, stride), x);
  const half = (channels - x.shape[1]) / 2;
  return pad(pixels, [
    [0, 0],
    [half, half],
    [0, 0],
    [0, 0],
  ]);
}

/**
 * ResNet for 32 × 32 images (He et al. 2015, section 4.2), [N, 3, 32, 32] → logits [N, numClasses]: a 3 × 3 convolution, three stages
 * of (depth − 2)/6 blocks with 16, 32 and 64 channels, the mean over the pixels, a linear layer. Names and initial values (normal,
 * after He et al. 2015 by fan-in) are those of akamaster/pytorch_resnet_cifar10 on GitHub, whose weights were trained on images
 * normalized with `imageNetNormalization`.
 *
 * @example
 * const model = new CifarResNet({ depth: 20 });
 * model.parameterCount(); // 269722
 * model.forward(zeros([1, 3, 32, 32])).shape; // [1, 10]
 *
 * @throws ArgumentError for a depth that is not 6n + 2.
 */
export class CifarResNet extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly layer1: Sequential;
  readonly layer2: Sequential;
  readonly layer3: Sequential;
  readonly linear: Linear;

  constructor(options: CifarResNetOptions = {}) {
    super();
    const { depth = 20, numClasses = 10, device } = checkOptions("CifarResNet", options, cifarOptions);
    const count = (depth - 2) / 6;
    if (!Number.isInteger(count) || count < 1) {
      throw new ArgumentError(`there is no network of ${depth} layers`, {
        op: "CifarResNet",
        hint: "depth is 6n + 2: 20, 32, 44, 56, 110",
      });
    }
    const stage = (inChannels: number, channels: number, stride: number) =>
      new Sequential(
        ...Array.from({ length: count }, (_, i) =>
          i === 0
            ? new CifarBlock(inChannels, channels, stride, { device })
            : new CifarBlock(channels, channels, 1, { device }),
        ),
      );
    this.conv1 = new Conv2d(3, 16, 3, { padding: 1, bias: false, device });
    this.bn1 = new BatchNorm2d(16, { device });
    this.layer1 = stage(16, 16, 1);
    this.layer2 = stage(16, 32, 2);
    this.layer3 = stage(32, 64, 2);
    this.linear = new Linear(64, numClasses, { device });
    for (const [, module] of this.namedModules()) {
      if (!(module instanceof Conv2d || module instanceof Linear)) continue;
      const { weight } = module;
      initialize(weight, kaimingNormal(weight.shape, weight.device, { mode: "fanIn" }));
    }
  }

  forward(x: Tensor): Tensor {
    const stem = relu(this.bn1.forward(this.conv1.forward(x)));
    const features = [this.layer1, this.layer2, this.layer3].reduce(
      (value, stage) => stage.forward(value),
      stem,
    );
    return this.linear.forward(flatten(adaptiveAvgPool2d(features, 1), 1));
  }
}
