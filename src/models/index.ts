/** Architectures, and the names by which the command line knows the image classifiers among them. */
import "../ops/methods.js";
import type { Module } from "../nn/module.js";
import type { ParameterOptions } from "../nn/parameter.js";
import { Cnn, CnnLarge } from "./cnn/cnn.js";
import { Mlp } from "./mlp/mlp.js";

export { Cnn, CnnLarge, type CnnOptions } from "./cnn/cnn.js";
export { CharGpt, type DecodingOptions, type GptOptions } from "./gpt/gpt.js";
export { Mlp, type MlpOptions } from "./mlp/mlp.js";
export { BasicBlock, Bottleneck, type ResidualBlock } from "./resnet/blocks.js";
export { CifarResNet, type CifarResNetOptions } from "./resnet/cifar.js";
export { ResNet, type ResNetOptions, resnet18, resnet34, resnet50, resnet101 } from "./resnet/resnet.js";

/**
 * Constructors of classifiers of 28 × 28 grey images by name, as the command line uses them.
 *
 * @example
 * Object.keys(imageClassifiers); // ["cnn", "cnn-large", "mlp"]
 */
export const imageClassifiers: Readonly<Record<string, (options: ParameterOptions) => Module>> = {
  cnn: (options) => new Cnn(options),
  "cnn-large": (options) => new CnnLarge(options),
  mlp: (options) => new Mlp(options),
};
