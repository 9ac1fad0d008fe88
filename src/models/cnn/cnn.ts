/** Convolutional networks for 28 × 28 grey images such as MNIST: x [N, 1, 28, 28] → logits [N, 10]. */

import { aNumber, checkOptions, type Kinds } from "../../core/check.js";
import type { Tensor } from "../../graph/tensor.js";
import { Flatten, ReLU } from "../../nn/activation.js";
import { Sequential } from "../../nn/container.js";
import { Conv2d } from "../../nn/conv.js";
import { Dropout } from "../../nn/dropout.js";
import { Linear } from "../../nn/linear.js";
import { Module } from "../../nn/module.js";
import { BatchNorm2d } from "../../nn/normalization.js";
import { type ParameterOptions, parameterOptions } from "../../nn/parameter.js";
import { MaxPool2d } from "../../nn/pooling.js";

/** Options of `Cnn` and `CnnLarge`. */
export interface CnnOptions extends ParameterOptions {
  /** Dropout before the last layer. Default 0. */
  readonly dropout?: number;
}

const cnnOptions: Kinds<CnnOptions> = { ...parameterOptions, dropout: aNumber };

/**
 * A small convolutional network for 28 × 28 grey images, [N, 1, 28, 28] → logits [N, 10]: two blocks of 3 × 3 convolution, batch norm,
 * ReLU and max-pooling, then two linear layers.
 *
 * @example
 * const model = new Cnn();
 * model.parameterCount(); // 207018
 * model.forward(zeros([2, 1, 28, 28])).shape; // [2, 10]
 */
export class Cnn extends Module {
  readonly features: Sequential;
  readonly classifier: Sequential;

  constructor(options: CnnOptions = {}) {
    super();
    const { device, dropout = 0 } = checkOptions("Cnn", options, cnnOptions);
    this.features = new Sequential(
      new Conv2d(1, 16, 3, { padding: 1, device }),
      new BatchNorm2d(16, { device }),
      new ReLU(),
      new MaxPool2d(2),
      new Conv2d(16, 32, 3, { padding: 1, device }),
      new BatchNorm2d(32, { device }),
      new ReLU(),
      new MaxPool2d(2),
      new Flatten(),
    );
    this.classifier = new Sequential(
      new Linear(32 * 7 * 7, 128, { device }),
      new ReLU(),
      new Dropout(dropout),
      new Linear(128, 10, { device }),
    );
  }

  forward(x: Tensor): Tensor {
    return this.classifier.forward(this.features.forward(x));
  }
}

/**
 * The larger network of the benchmarks, [N, 1, 28, 28] → logits [N, 10]: 5 × 5 convolutions with 32 and 64 filters, 512 hidden units.
 *
 * @example
 * const model = new CnnLarge({ device: openMeta() });
 * model.parameterCount(); // 1663370
 */
export class CnnLarge extends Module {
  readonly features: Sequential;
  readonly classifier: Sequential;

  constructor(options: CnnOptions = {}) {
    super();
    const { device, dropout = 0 } = checkOptions("CnnLarge", options, cnnOptions);
    this.features = new Sequential(
      new Conv2d(1, 32, 5, { padding: 2, device }),
      new ReLU(),
      new MaxPool2d(2),
      new Conv2d(32, 64, 5, { padding: 2, device }),
      new ReLU(),
      new MaxPool2d(2),
      new Flatten(),
    );
    this.classifier = new Sequential(
      new Linear(64 * 7 * 7, 512, { device }),
      new ReLU(),
      new Dropout(dropout),
      new Linear(512, 10, { device }),
    );
  }

  forward(x: Tensor): Tensor {
    return this.classifier.forward(this.features.forward(x));
  }
}
