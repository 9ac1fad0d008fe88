/**
 * Loss curves: 100 training steps of four networks from PyTorch's initial weights on the same batches stay within
 * 1e-3 of PyTorch's losses, step by step. fixtures/make_curves.py made them, in float64, with learning rates at which
 * PyTorch's own float32 stays within 3e-5 of them: beyond, training amplifies any rounding.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { jit } from "../src/compiler/jit.js";
import { readExact } from "../src/compiler/realize.js";
import { loadMnist } from "../src/data/index.js";
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
import "../src/ops/methods.js";
import { Adam, AdamW, SGD } from "../src/optim/index.js";
import type { Shape } from "../src/tensor/shape.js";
import type { Tensor } from "../src/tensor/tensor.js";
import { generate } from "./cases/generate.js";
import { devices, reference } from "./devices.js";

interface Curve {
  readonly name: keyof typeof networks;
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

const fixture: { readonly text: string; readonly curves: readonly Curve[] } = JSON.parse(
  readFileSync(new URL("fixtures/curves.json", import.meta.url), "utf8"),
);
const mnist = await loadMnist(fileURLToPath(new URL("data/mnist", import.meta.url)));
const characters = [...new Set(fixture.text)].sort();
const context = 16;

const networks = {
  mlp: (device: Device): Module => new Mlp({ sizes: [784, 24, 16, 10], device }),
  smallCnn: (device: Device): Module =>
    new Sequential(
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
    ),
  cnn: (device: Device): Module => new Cnn({ device }),
  charGpt: (device: Device): Module =>
    new CharGpt({ vocabulary: characters.length, context, width: 16, numHeads: 2, numLayers: 2, device }),
};

/** The file's images in order, with pixels (p − 32)/64: exact in float32. */
function imageBatch(step: number, size: number, device: Device): [Tensor, Tensor] {
  const pixels = 28 * 28;
  const bytes = mnist.images.data.subarray(step * size * pixels, (step + 1) * size * pixels);
  const x = Float32Array.from(bytes, (p) => (p - 32) / 64);
  const y = Int32Array.from(mnist.labels.data.subarray(step * size, (step + 1) * size));
  return [ops.tensor(x, { device, shape: [size, 1, 28, 28] }), ops.tensor(y, { device })];
}

/** Windows of the text, 37 characters apart, and their next characters. */
function textBatch(step: number, size: number, device: Device): [Tensor, Tensor] {
  const codes = [...fixture.text].map((character) => characters.indexOf(character));
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

/** The float64 device takes half a second per step of the full-size network, and its small sister runs all of them. */
function stepsOn(device: Device, { name, losses }: Curve): number {
  return device === reference && name === "cnn" ? 8 : losses.length;
}

/** Relative, per step: the bar, and for equal arithmetic in float64 what 100 steps make of a few roundings. */
const tolerance = { float32: 1e-3, float64: 1e-9 };

interface Trained {
  readonly model: Module;
  readonly losses: readonly number[];
}

/** As a user would write it: forward, backward, step; `captured` as one jit function. */
async function train(curve: Curve, device: Device, { captured }: { captured: boolean }): Promise<Trained> {
  const model = networks[curve.name](device);
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
  for (let i = 0; i < stepsOn(device, curve); i++) {
    const [x, y] = batchOf(i, curve.batch, device);
    const loss = step(x, y);
    losses.push((await readExact(loss))[0]);
    for (const tensor of [x, y, loss]) tensor.dispose();
  }
  return { model, losses };
}

for (const curve of fixture.curves) {
  describe(`${curve.name} with ${curve.optimizer}`, () => {
    it("has PyTorch's parameters under PyTorch's names", () => {
      const model = networks[curve.name](reference);
      const own = [...model.namedParameters()].map(([name, { shape }]) => ({ name, shape }));
      expect(own).toEqual(curve.parameters.map(({ name, shape }) => ({ name, shape })));
      expect([...model.namedBuffers().keys()]).toEqual(Object.keys(curve.buffers));
    });

    for (const { label, device } of devices) {
      it(`follows PyTorch's losses on ${label}`, async () => {
        const { model, losses } = await train(curve, device, { captured: false });
        const steps = stepsOn(device, curve);
        const bound = device === reference ? tolerance.float64 : tolerance.float32;
        expect(losses.length).toBe(steps);
        losses.forEach((loss, i) => {
          const expected = curve.losses[i];
          expect(Math.abs(loss - expected) / expected, `step ${i}`).toBeLessThanOrEqual(bound);
        });
        if (steps < curve.losses.length) return;
        for (const [name, tensor] of model.namedBuffers()) {
          const values = await readExact(tensor);
          curve.buffers[name].forEach((expected, i) => {
            const size = Math.max(1, Math.abs(expected));
            expect(Math.abs(values[i] - expected) / size, `${name} ${i}`).toBeLessThanOrEqual(bound);
          });
        }
      });

      if (device === reference) continue;
      it(`gives the same bits through jit on ${label}`, async () => {
        const plain = await train(curve, device, { captured: false });
        const captured = await train(curve, device, { captured: true });
        expect(captured.losses).toEqual(plain.losses);
        for (const [name, tensor] of plain.model.stateDict()) {
          expect(await readExact(captured.model.stateDict().get(name)!), name).toEqual(
            await readExact(tensor),
          );
        }
      });
    }
  });
}
