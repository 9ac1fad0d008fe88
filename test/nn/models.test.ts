/** The architectures: parameter names, shapes and counts, and that training reduces the loss. */
import { beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { CharGpt, Cnn, CnnLarge, imageClassifiers, Mlp } from "../../src/models/index.js";
import { crossEntropy, setDefaultDevice } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import { readExact } from "../../src/runtime/host_data.js";
import "../../src/ops/methods.js";
import { ShapeError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { Adam } from "../../src/optim/index.js";

let device: Device;
beforeAll(() => {
  device = openReference();
  setDefaultDevice(device);
  ops.manualSeed(11);
});

const shapes = (state: ReadonlyMap<string, Tensor>) =>
  [...state].map(([name, { shape }]) => `${name} [${shape}]`);

describe("image classifiers", () => {
  it("Mlp", () => {
    const model = new Mlp({ sizes: [784, 32, 10] });
    expect(shapes(model.stateDict())).toEqual([
      "layers.0.weight [32,784]",
      "layers.0.bias [32]",
      "layers.1.weight [10,32]",
      "layers.1.bias [10]",
    ]);
    expect(model.forward(ops.zeros([2, 1, 28, 28], { device })).shape).toEqual([2, 10]);
  });

  it("Cnn", () => {
    const model = new Cnn();
    expect(shapes(model.stateDict()).filter((entry) => !/running|batches/.test(entry))).toEqual([
      "features.0.weight [16,1,3,3]",
      "features.0.bias [16]",
      "features.1.weight [16]",
      "features.1.bias [16]",
      "features.4.weight [32,16,3,3]",
      "features.4.bias [32]",
      "features.5.weight [32]",
      "features.5.bias [32]",
      "classifier.0.weight [128,1568]",
      "classifier.0.bias [128]",
      "classifier.3.weight [10,128]",
      "classifier.3.bias [10]",
    ]);
    expect(model.parameterCount()).toBe(207_018);
    expect(model.eval().forward(ops.zeros([2, 1, 28, 28], { device })).shape).toEqual([2, 10]);
  });

  it("CnnLarge", () => {
    const model = new CnnLarge();
    expect([...model.stateDict().keys()]).toEqual(
      ["features.0", "features.3", "classifier.0", "classifier.3"].flatMap((layer) => [
        `${layer}.weight`,
        `${layer}.bias`,
      ]),
    );
    expect(model.parameterCount()).toBe(832 + 51_264 + 1_606_144 + 5_130);
    expect(model.forward(ops.zeros([1, 1, 28, 28], { device })).shape).toEqual([1, 10]);
  });

  it("are made by name", () => {
    for (const make of Object.values(imageClassifiers)) {
      expect(make({ device }).parameterCount()).toBeGreaterThan(10_000);
    }
  });
});

describe("CharGpt", () => {
  const small = { vocabulary: 11, context: 8, width: 8, numHeads: 2, numLayers: 2 };
  const tokens = (values: number[]) => ops.tensor(new Int32Array(values), { device }).reshape([1, -1]);

  it("has the parameters of its defaults", () => {
    const state = new CharGpt().stateDict();
    expect(shapes(state).slice(0, 13)).toEqual([
      "tok.weight [65,128]",
      "pos.weight [128,128]",
      "blocks.0.ln1.weight [128]",
      "blocks.0.ln1.bias [128]",
      "blocks.0.attn.qkv.weight [384,128]",
      "blocks.0.attn.proj.weight [128,128]",
      "blocks.0.ln2.weight [128]",
      "blocks.0.ln2.bias [128]",
      "blocks.0.fc.weight [512,128]",
      "blocks.0.fc.bias [512]",
      "blocks.0.proj.weight [128,512]",
      "blocks.0.proj.bias [128]",
      "blocks.1.ln1.weight [128]",
    ]);
    expect(shapes(state).slice(-3)).toEqual(["norm.weight [128]", "norm.bias [128]", "head.weight [65,128]"]);
    expect(state.size).toBe(2 + 4 * 10 + 3);
  });

  it("does not see what comes later, and knows its context", async () => {
    const model = new CharGpt(small);
    const logits = model.forward(tokens([1, 2, 3, 4]));
    expect(logits.shape).toEqual([1, 4, 11]);
    const first = (x: Tensor) => readExact(x.narrow(1, 0, 3));
    const changed = model.forward(tokens([1, 2, 3, 9]));
    expect(await first(changed)).toEqual(await first(logits));
    expect(await readExact(changed)).not.toEqual(await readExact(logits));
    expect(() => model.forward(tokens([1, 2, 3, 4, 5, 6, 7, 8, 9]))).toThrow(ShapeError);
  });

  it("drops in training only", async () => {
    const model = new CharGpt({ ...small, dropout: 0.5 });
    const run = () => readExact(model.forward(tokens([1, 2, 3])));
    expect(await run()).not.toEqual(await run());
    model.eval();
    expect(await run()).toEqual(await run());
  });

  it("learns a sequence by heart", async () => {
    const model = new CharGpt(small);
    const optimizer = new Adam(model.parameters(), { lr: 0.02 });
    const [x, y] = [tokens([3, 1, 4, 1, 5, 9]), tokens([1, 4, 1, 5, 9, 2])];
    const loss = () => crossEntropy(model.forward(x).reshape([6, 11]), y.reshape([6]));
    for (let step = 0; step < 60; step++) {
      loss().backward();
      optimizer.step();
    }
    expect(await loss().item()).toBeLessThan(0.1);
  });
});
