/** A small classifier of images and data for it, on a given device. */
import { type Dataset, TensorDataset } from "../../src/data/index.js";
import type { Device } from "../../src/device/device.js";
import type { Tensor } from "../../src/graph/tensor.js";
import {
  BatchNorm2d,
  Conv2d,
  Flatten,
  Linear,
  MaxPool2d,
  Module,
  ReLU,
  Sequential,
} from "../../src/nn/index.js";
import { add, manualSeed, relu } from "../../src/ops/index.js";
import { uniform } from "../cases/generate.js";

export const classes = 4;
export const imageSize = 8;

/** Images with a bright quadrant, which is the class, in noise. */
export function quadrants(count: number, seed = 1): Dataset {
  const images = new Float32Array(count * imageSize ** 2);
  const labels = Int32Array.from({ length: count }, (_, i) => Math.floor(uniform(seed, i) * classes));
  for (let i = 0; i < count; i++) {
    for (let p = 0; p < imageSize ** 2; p++) {
      const [y, x] = [Math.floor(p / imageSize), p % imageSize];
      const quadrant = 2 * Number(y >= imageSize / 2) + Number(x >= imageSize / 2);
      const noise = 2 * uniform(seed + 1 + i, p) - 1;
      images[i * imageSize ** 2 + p] = noise + (quadrant === labels[i] ? 0.8 : 0);
    }
  }
  return new TensorDataset(
    { dtype: "float32", shape: [count, 1, imageSize, imageSize], data: images },
    { dtype: "int32", shape: [count], data: labels },
  );
}

/** Five images without noise of a generator. */
export const exampleImages = {
  shape: [5, 1, imageSize, imageSize],
  data: Float32Array.from({ length: 5 * imageSize ** 2 }, (_, i) => Math.sin(i * 1.3)),
} as const;

/** Convolutions, batch norms, pooling and linear layers in a row. */
export function smallCnn(device: Device): Sequential {
  manualSeed(3);
  return new Sequential(
    new Conv2d(1, 8, 3, { padding: 1, device }),
    new BatchNorm2d(8, { device }),
    new ReLU(),
    new MaxPool2d(2),
    new Conv2d(8, 12, 3, { padding: 1, bias: false, device }),
    new BatchNorm2d(12, { device }),
    new ReLU(),
    new Flatten(),
    new Linear(12 * 16, 32, { device }),
    new ReLU(),
    new Linear(32, classes, { device }),
  );
}

/** A residual block whose order shows only when it runs; one convolution's output is read twice. */
export class Residual extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly fc: Linear;

  constructor(device: Device) {
    super();
    this.conv1 = new Conv2d(1, 8, 3, { padding: 1, device, bias: false });
    this.bn1 = new BatchNorm2d(8, { device });
    this.conv2 = new Conv2d(8, 8, 3, { padding: 1, device });
    this.bn2 = new BatchNorm2d(8, { device });
    this.fc = new Linear(8 * imageSize ** 2, classes, { device });
  }

  forward(x: Tensor): Tensor {
    const first = relu(this.bn1.forward(this.conv1.forward(x)));
    const second = this.conv2.forward(first);
    // The convolution's output is needed as it is, too.
    const sum = add(this.bn2.forward(second), second);
    return this.fc.forward(sum.reshape([-1, 8 * imageSize ** 2]));
  }
}
