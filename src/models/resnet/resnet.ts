/** ResNet for images such as ImageNet's (He et al. 2015, table 1), with torchvision's names, shapes and initial values. */

import { aCount, check, checkAll, checkOptions, type Kinds } from "../../core/check.js";
import type { Tensor } from "../../graph/tensor.js";
import { Sequential } from "../../nn/container.js";
import { Conv2d } from "../../nn/conv.js";
import { initialize, kaimingNormal } from "../../nn/init.js";
import { Linear } from "../../nn/linear.js";
import { Module } from "../../nn/module.js";
import { BatchNorm2d } from "../../nn/normalization.js";
import { type ParameterOptions, parameterOptions } from "../../nn/parameter.js";
import { AdaptiveAvgPool2d, MaxPool2d } from "../../nn/pooling.js";
import { relu } from "../../ops/elementwise.js";
import { flatten } from "../../ops/reshape.js";
import { BasicBlock, Bottleneck, type ResidualBlock } from "./blocks.js";

export interface ResNetOptions extends ParameterOptions {
  /** Default 1000, ImageNet's. */
  readonly numClasses?: number;
}

const resnetOptions: Kinds<ResNetOptions> = { ...parameterOptions, numClasses: aCount };

/** Channels after the first convolution. */
const stemChannels = 64;

/**
 * x [N, 3, H, W] → logits [N, numClasses]; H and W are 224 in ImageNet and may be others. A 7 × 7 convolution and
 * max-pooling divide them by 4, the stages 2 to 4 by 2 each; the mean over what is left goes into a linear layer.
 * Convolutions start as torchvision's: normal, after He et al. 2015 by fan-out. A state dict of torchvision's fits.
 *
 * @example
 * const model = resnet50({ numClasses: 10 });
 * await model.loadStateDict(readSafetensors(bytes).tensors);
 * const logits = model.eval().forward(x); // x [1, 3, 224, 224] → logits [1, 10]
 */
export class ResNet extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly maxpool: MaxPool2d;
  readonly layer1: Sequential;
  readonly layer2: Sequential;
  readonly layer3: Sequential;
  readonly layer4: Sequential;
  readonly avgpool: AdaptiveAvgPool2d;
  readonly fc: Linear;

  /** @param blocks How many blocks each of the four stages has. */
  constructor(
    block: ResidualBlock,
    blocks: readonly [number, number, number, number],
    options: ResNetOptions = {},
  ) {
    super();
    check("ResNet", "the block", block, [
      "a class of modules: BasicBlock or Bottleneck",
      (value) => (value as { prototype?: unknown } | undefined | null)?.prototype instanceof Module,
    ]);
    check("ResNet", "blocks", blocks, [
      "four numbers of blocks",
      (value) => Array.isArray(value) && value.length === 4,
    ]);
    checkAll("ResNet", Object.fromEntries(blocks.map((count, i) => [`blocks[${i}]`, count])), aCount);
    const { numClasses = 1000, device } = checkOptions("ResNet", options, resnetOptions);
    this.conv1 = new Conv2d(3, stemChannels, 7, { stride: 2, padding: 3, bias: false, device });
    this.bn1 = new BatchNorm2d(stemChannels, { device });
    this.maxpool = new MaxPool2d(3, { stride: 2, padding: 1 });
    let channels = stemChannels;
    const stage = (width: number, count: number, firstStride: number) => {
      const modules = Array.from({ length: count }, (_, i) => {
        const made = new block(channels, width, i === 0 ? firstStride : 1, { device });
        channels = width * block.expansion;
        return made;
      });
      return new Sequential(...modules);
    };
    this.layer1 = stage(64, blocks[0], 1);
    this.layer2 = stage(128, blocks[1], 2);
    this.layer3 = stage(256, blocks[2], 2);
    this.layer4 = stage(512, blocks[3], 2);
    this.avgpool = new AdaptiveAvgPool2d(1);
    this.fc = new Linear(channels, numClasses, { device });
    for (const [, module] of this.namedModules()) {
      if (!(module instanceof Conv2d)) continue;
      const { weight } = module;
      initialize(weight, kaimingNormal(weight.shape, weight.device, { mode: "fanOut" }));
    }
  }

  forward(x: Tensor): Tensor {
    const stem = this.maxpool.forward(relu(this.bn1.forward(this.conv1.forward(x))));
    const features = [this.layer1, this.layer2, this.layer3, this.layer4].reduce(
      (value, stage) => stage.forward(value),
      stem,
    );
    return this.fc.forward(flatten(this.avgpool.forward(features), 1));
  }
}

/** 18 layers, basic blocks: 11,689,512 parameters for 1000 classes. */
export function resnet18(options?: ResNetOptions): ResNet {
  return new ResNet(BasicBlock, [2, 2, 2, 2], options);
}

/** 34 layers, basic blocks: 21,797,672 parameters for 1000 classes. */
export function resnet34(options?: ResNetOptions): ResNet {
  return new ResNet(BasicBlock, [3, 4, 6, 3], options);
}

/** 50 layers, bottlenecks: 25,557,032 parameters for 1000 classes. */
export function resnet50(options?: ResNetOptions): ResNet {
  return new ResNet(Bottleneck, [3, 4, 6, 3], options);
}

/** 101 layers, bottlenecks: 44,549,160 parameters for 1000 classes. */
export function resnet101(options?: ResNetOptions): ResNet {
  return new ResNet(Bottleneck, [3, 4, 23, 3], options);
}
