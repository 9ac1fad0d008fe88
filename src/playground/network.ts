/** The network that the page trains, with its optimizer, on one device; its state can go on on another. */
import { type HostTensor, ImageDataset, type Mnist, mnistNormalization } from "../data/index.js";
import { writeSafetensors } from "../formats/index.js";
import {
  type Device,
  type JitFunction,
  jit,
  manualSeed,
  noGrad,
  softmax,
  type Tensor,
  tensor,
  type WarmupProgress,
} from "../index.js";
import { Cnn } from "../models/index.js";
import { AdamW } from "../optim/index.js";
import { hostTensors } from "../train/index.js";
import { imageSize } from "./messages.js";

/** As `wattgrad train` has it. */
const weightDecay = 0.01;

/** Weights, statistics, moments and step counts, off the device. */
export interface NetworkState {
  readonly model: ReadonlyMap<string, HostTensor>;
  readonly optimizer: {
    readonly tensors: ReadonlyMap<string, HostTensor>;
    readonly numbers: ReturnType<AdamW["stateDict"]>["numbers"];
  };
}

export interface NetworkOptions {
  readonly seed: number;
  readonly learningRate: number;
  readonly onWarmup: WarmupProgress;
}

export class Network {
  readonly device: Device;
  readonly model: Cnn;
  readonly optimizer: AdamW;
  readonly #probabilities: JitFunction<readonly [Tensor], Tensor>;
  readonly #onWarmup: WarmupProgress;

  /** A new network; `seed` decides its weights, `onWarmup` is told while shaders for answers are compiled. */
  constructor(device: Device, { seed, learningRate, onWarmup }: NetworkOptions) {
    manualSeed(seed);
    const model = new Cnn({ device });
    this.device = device;
    this.model = model;
    this.optimizer = new AdamW(model.parameters(), { lr: learningRate, weightDecay });
    // Recorded in one turn, so the mode of a training that is going on is back before its next step.
    this.#onWarmup = onWarmup;
    this.#probabilities = jit((x) => {
      const { training } = model;
      model.eval();
      try {
        return noGrad(() => softmax(model.forward(x), -1));
      } finally {
        model.train(training);
      }
    });
  }

  async state(): Promise<NetworkState> {
    const { tensors, numbers } = this.optimizer.stateDict();
    return {
      model: await hostTensors(this.model.stateDict()),
      optimizer: { tensors: await hostTensors(tensors), numbers },
    };
  }

  async load(state: NetworkState): Promise<void> {
    await this.model.loadStateDict(state.model);
    await this.optimizer.loadStateDict(state.optimizer);
  }

  /** `images`: float32 [N, 1, 28, 28], normalised. Returns N rows of ten probabilities. */
  async classify(images: HostTensor): Promise<Float32Array> {
    const input = tensor(images.data, { device: this.device, shape: images.shape });
    try {
      await this.#probabilities.warmup([input], this.#onWarmup);
      const output = this.#probabilities(input);
      try {
        return Float32Array.from(await output.data());
      } finally {
        output.dispose();
      }
    } finally {
      input.dispose();
    }
  }

  /** A safetensors file that `wattgrad eval` takes. */
  async file(): Promise<Uint8Array<ArrayBuffer>> {
    const metadata = { format: "pt", model: "cnn", normalization: JSON.stringify(mnistNormalization) };
    return new Uint8Array(writeSafetensors(await hostTensors(this.model.stateDict()), metadata));
  }

  dispose(): void {
    this.model.dispose();
    for (const moment of this.optimizer.stateDict().tensors.values()) moment.dispose();
  }
}

/** Images as the network takes them. */
export function normalized({ images, labels }: Mnist): ImageDataset {
  return new ImageDataset(images, labels, mnistNormalization);
}

/** One image of 28 × 28 bytes as a batch. */
export function batchOfOne(pixels: Uint8Array): HostTensor {
  const images = { dtype: "uint8", shape: [1, 1, imageSize, imageSize], data: pixels } as const;
  const labels = { dtype: "int32", shape: [1], data: Int32Array.of(0) } as const;
  return normalized({ images, labels }).batch(Int32Array.of(0))[0];
}
