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

/** Options of the ResNets. */
export interface ResNetOptions extends ParameterOptions {
  /** Number of classes. Default 1000, ImageNet's. */
  readonly numClasses?: number;
}

const resnetOptions: Kinds<ResNetOptions> = { ...parameterOptions, numClasses: aCount };

/** Channels after the first convolution. */
const stemChannels = 64;

/**
 * ResNet (He et al. 2015, table 1): x [N, 3, H, W] → logits [N, numClasses], with H = W = 224 for ImageNet; other sizes work. A 7 × 7
 * convolution and max-pooling divide H and W by 4, stages 2 to 4 by 2 each; a linear layer follows the mean over positions.
 * Convolutions start as torchvision's: normal, after He et al. 2015 by fan-out. torchvision's state dicts load unchanged.
 *
 * @example
 * const model = new ResNet(BasicBlock, [1, 1, 1, 1], { numClasses: 10 });
 * model.eval().forward(zeros([1, 3, 32, 32])).shape; // [1, 10]
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

/**
 * ResNet with 18 layers of basic blocks.
 *
 * @example
 * resnet18({ device: openMeta() }).parameterCount(); // 11689512
 */
export function resnet18(options?: ResNetOptions): ResNet {
  return new ResNet(BasicBlock, [2, 2, 2, 2], options);
}

/**
 * ResNet with 34 layers of basic blocks.
 *
 * @example
 * resnet34({ device: openMeta() }).parameterCount(); // 21797672
 */
export function resnet34(options?: ResNetOptions): ResNet {
  return new ResNet(BasicBlock, [3, 4, 6, 3], options);
}

/**
 * ResNet with 50 layers of bottleneck blocks.
 *
 * @example
 * resnet50({ device: openMeta() }).parameterCount(); // 25557032
 */
export function resnet50(options?: ResNetOptions): ResNet {
  return new ResNet(Bottleneck, [3, 4, 6, 3], options);
}

/**
 * ResNet with 101 layers of bottleneck blocks.
 *
 * @example
 * resnet101({ device: openMeta() }).parameterCount(); // 44549160
 */
export function resnet101(options?: ResNetOptions): ResNet {
  return new ResNet(Bottleneck, [3, 4, 23, 3], options);
}
