/** Compared training steps: an MLP, a CNN and a character-level GPT, each on one fixed random batch. */

import type { Shape } from "../core/shape.js";
import type { Device } from "../device/device.js";
import type { Tensor } from "../graph/tensor.js";
import { CharGpt, CnnLarge, Mlp } from "../models/index.js";
import { crossEntropy, type Module } from "../nn/index.js";
import { defaultGenerator, reshape } from "../ops/index.js";
import { Adam, AdamW } from "../optim/index.js";
import { integers, normal } from "./inputs.js";
import type { TrainedModel } from "./problem.js";

/** With Adam's usual moments; AdamW's weight decay is 0.01. */
export const learningRate = 1e-3;

interface Batch {
  readonly x: { readonly shape: Shape; readonly data: Float32Array | Int32Array };
  readonly y: { readonly shape: Shape; readonly data: Int32Array };
}

export interface Workload {
  readonly optimizer: "Adam" | "AdamW";
  batch(): Batch;
  create(device: Device): Module;
  loss(model: Module, x: Tensor, y: Tensor): Tensor;
}

function images(shape: Shape, seed: number): Batch {
  return {
    x: { shape, data: normal(64 * 784, seed) },
    y: { shape: [64], data: integers(64, 10, seed + 1) },
  };
}

export const workloads: Readonly<Record<TrainedModel, Workload>> = {
  /** 784-256-128-10, ReLU, batch 64. */
  mlp: {
    optimizer: "Adam",
    batch: () => images([64, 784], 1),
    create: (device) => new Mlp({ device }),
    loss: (model, x, y) => crossEntropy(model.forward(x), y),
  },
  /** Two 5 × 5 convolutions with ReLU and max-pooling, 3136-512-10, batch 64 of 28 × 28. */
  cnn: {
    optimizer: "Adam",
    batch: () => images([64, 1, 28, 28], 3),
    create: (device) => new CnnLarge({ device }),
    loss: (model, x, y) => crossEntropy(model.forward(x), y),
  },
  /** 4 pre-norm blocks, width 128, 4 heads, context 128, vocabulary 65, batch 16. */
  gpt: {
    optimizer: "AdamW",
    batch: () => ({
      x: { shape: [16, 128], data: integers(16 * 128, 65, 5) },
      y: { shape: [16, 128], data: integers(16 * 128, 65, 6) },
    }),
    create: (device) => new CharGpt({ device }),
    loss: (model, x, y) => crossEntropy(reshape(model.forward(x), [16 * 128, 65]), reshape(y, [16 * 128])),
  },
};

/** All contenders start from the same weights. */
const seed = 1;

/** The model with its initial weights, the same on every device. */
export function initialModel(workload: Workload, device: Device): Module {
  const state = defaultGenerator.state();
  defaultGenerator.seed(seed);
  try {
    const model = workload.create(device);
    model.train();
    return model;
  } finally {
    defaultGenerator.setState(state);
  }
}

/** The optimizer of a workload over a model's parameters. */
export function optimizerOf({ optimizer }: Workload, model: Module): Adam | AdamW {
  const parameters = [...model.parameters()];
  return optimizer === "Adam"
    ? new Adam(parameters, { lr: learningRate })
    : new AdamW(parameters, { lr: learningRate });
}
