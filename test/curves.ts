/**
 * Loss curves: 100 training steps of four networks from PyTorch's initial weights on the same batches.
 * fixtures/make_curves.py made them, in float64, with learning rates at which PyTorch's own float32 stays within 3e-5
 * of them: with larger rates, training amplifies rounding errors. Used in Node and in pages.
 */

import type { Mnist } from "../src/data/index.js";
import type { Device } from "../src/device/device.js";
import { CharGpt, Cnn, Mlp } from "../src/models/index.js";
import {
  BatchNorm2d,
  Conv2d,
  crossEntropy,
  Flatten,
  type HostValues,
  Linear,
  MaxPool2d,
  type Module,
  ReLU,
  Sequential,
} from "../src/nn/index.js";
import * as ops from "../src/ops/index.js";
import { readExact } from "../src/runtime/host_data.js";
import { jit } from "../src/runtime/jit.js";
import "../src/ops/methods.js";
import type { Shape } from "../src/core/shape.js";
import type { Tensor } from "../src/graph/tensor.js";
import { Adam, AdamW, SGD } from "../src/optim/index.js";
import { generate } from "./cases/generate.js";

export interface Curve {
  readonly name: CurveName;
  readonly batch: number;
  readonly optimizer: "SGD" | "Adam" | "AdamW";
  readonly settings: Readonly<Record<string, number | boolean | [number, number]>>;
  /** PyTorch's parameters in its order, and the interval of the initial values of each. */
  readonly parameters: readonly {
    readonly name: string;
    readonly shape: Shape;
    readonly between: [number, number];
  }[];
  /** Running statistics after the last step. */
  readonly buffers: Readonly<Record<string, readonly number[]>>;
  readonly losses: readonly number[];
}

/** What fixtures/curves.json holds. */
export interface CurveFixture {
  readonly text: string;
  readonly curves: readonly Curve[];
}

/** What the networks are trained on: the MNIST subset of data/mnist, and the fixture's text. */
export interface CurveData {
  readonly mnist: Mnist;
  readonly text: string;
}

export type CurveName = "mlp" | "smallCnn" | "cnn" | "charGpt";

const context = 16;

function charactersOf(text: string): string[] {
  return [...new Set(text)].sort();
}

export function networkOf(name: CurveName, device: Device, text: string): Module {
  switch (name) {
    case "mlp":
      return new Mlp({ sizes: [784, 24, 16, 10], device });
    case "smallCnn":
      return new Sequential(
        new Conv2d(1, 4, 3, { stride: 2, padding: 1, bias: false, device }),
        new BatchNorm2d(4, { device }),
        new ReLU(),
        new MaxPool2d(2),
        new Conv2d(4, 8, 3, { padding: 1, bias: false, device }),
        new BatchNorm2d(8, { device }),
        new ReLU(),
        new MaxPool2d(3, { stride: 2, padding: 1 }),
        new Flatten(),
        new Linear(8 * 4 * 4, 10, { device }),
      );
    case "cnn":
      return new Cnn({ device });
    case "charGpt":
      return new CharGpt({
        vocabulary: charactersOf(text).length,
        context,
        width: 16,
        numHeads: 2,
        numLayers: 2,
        device,
      });
  }
}

/** The file's images in order, with pixels (p − 32)/64: exact in float32. */
function imageBatch({ mnist }: CurveData, step: number, size: number, device: Device): [Tensor, Tensor] {
  const pixels = 28 * 28;
  const bytes = mnist.images.data.subarray(step * size * pixels, (step + 1) * size * pixels);
  const x = Float32Array.from(bytes, (p) => (p - 32) / 64);
  const y = Int32Array.from(mnist.labels.data.subarray(step * size, (step + 1) * size));
  return [ops.tensor(x, { device, shape: [size, 1, 28, 28] }), ops.tensor(y, { device })];
}

/** Windows of the text, 37 characters apart, and their next characters. */
function textBatch({ text }: CurveData, step: number, size: number, device: Device): [Tensor, Tensor] {
  const characters = charactersOf(text);
  const codes = [...text].map((character) => characters.indexOf(character));
  const rows = Array.from({ length: size }, (_, row) => {
    const start = ((step * size + row) * 37) % (codes.length - context);
    return codes.slice(start, start + context + 1);
  });
  const windows = (from: number) => {
    const tokens = rows.flatMap((row) => row.slice(from, from + context));
    return ops.tensor(Int32Array.from(tokens), { device, shape: [size, context] });
  };
  return [windows(0), windows(1)];
}

function initialState({ name, parameters }: Curve): Map<string, HostValues> {
  return new Map(
    parameters.map(({ name: key, shape, between }) => {
      const data = generate(`curves/${name}/${key}`, shape, "float32", { between });
      return [key, { dtype: "float32", shape, data }];
    }),
  );
}

function optimizerFor({ optimizer, settings }: Curve, model: Module) {
  const own = Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [key === "weight_decay" ? "weightDecay" : key, value]),
  );
  return new { SGD, Adam, AdamW }[optimizer](model.parameters(), own);
}

/** Relative, per step: the bar, and for equal arithmetic in float64 what 100 steps make of a few roundings. */
export const curveTolerance = { float32: 1e-3, float64: 1e-9 };

export interface Trained {
  readonly model: Module;
  readonly losses: readonly number[];
}

/** As a user would write it: forward, backward, step; `captured` as one jit function. */
export async function trainCurve(
  curve: Curve,
  data: CurveData,
  device: Device,
  { captured, steps = curve.losses.length }: { captured: boolean; steps?: number },
): Promise<Trained> {
  const model = networkOf(curve.name, device, data.text);
  // strict: false for the running statistics, which start from their usual values.
  await model.loadStateDict(initialState(curve), { strict: false });
  const optimizer = optimizerFor(curve, model);
  const batchOf = curve.name === "charGpt" ? textBatch : imageBatch;
  const plain = (x: Tensor, y: Tensor) => {
    const logits = model.forward(x);
    const loss = crossEntropy(logits.reshape([-1, logits.shape[logits.rank - 1]]), y.reshape([-1]));
    loss.backward();
    optimizer.step();
    return loss;
  };
  const step = captured ? jit(plain) : plain;
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const [x, y] = batchOf(data, i, curve.batch, device);
    const loss = step(x, y);
    losses.push((await readExact(loss))[0]);
    for (const tensor of [x, y, loss]) tensor.dispose();
  }
  return { model, losses };
}

/** Largest distance of a loss from PyTorch's, relative to that. */
export function largestDeviation(losses: readonly number[], curve: Curve): number {
  return Math.max(...losses.map((loss, i) => Math.abs(loss - curve.losses[i]) / curve.losses[i]));
}

/** Largest distance of a running statistic after the last step, relative to it where it is above 1. */
export async function largestBufferDeviation(model: Module, curve: Curve): Promise<number> {
  let largest = 0;
  for (const [name, tensor] of model.namedBuffers()) {
    const values = await readExact(tensor);
    curve.buffers[name].forEach((expected, i) => {
      largest = Math.max(largest, Math.abs(values[i] - expected) / Math.max(1, Math.abs(expected)));
    });
  }
  return largest;
}
