/** quantize: the replaced layers, the accuracy of the result, and its errors. */
import { beforeAll, describe, expect, it } from "vitest";
import { DataLoader } from "../../src/data/index.js";
import type { Device } from "../../src/device/device.js";
import { CharGpt } from "../../src/models/index.js";
import { crossEntropy, Identity, Linear, type Module, ReLU, Sequential } from "../../src/nn/index.js";
import { randint, tensor } from "../../src/ops/index.js";
import { readTensor } from "../../src/runtime/host_data.js";
import "../../src/ops/methods.js";
import { ShapeError } from "../../src/core/errors.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import { AdamW } from "../../src/optim/index.js";
import {
  compareModels,
  int4WeightOnly,
  int8Dynamic,
  int8Static,
  int8WeightOnly,
  observerNames,
  QuantizationError,
  QuantizedConv2d,
  QuantizedLinear,
  quantize,
  type Scheme,
} from "../../src/quantization/index.js";
import { accuracy, evaluate, fit } from "../../src/train/index.js";
import { devices } from "../devices.js";
import { noiseOf } from "./noise.js";
import { quadrants, Residual, smallCnn } from "./problem.js";

// The reference would take minutes for the trainings.
for (const { label, device } of devices.filter(({ label }) => label !== "reference")) {
  describe(label, () => suite(device));
}

function suite(device: Device): void {
  const test = quadrants(300, 1000);
  const loader = (count = 128) => new DataLoader(quadrants(count), { device, batchSize: 32 });
  const state = new Map<
    string,
    { dtype: "float32" | "int32"; shape: readonly number[]; data: Float32Array | Int32Array }
  >();
  let trainedAccuracy = 0;

  beforeAll(async () => {
    const model = smallCnn(device);
    // biome-ignore lint/suspicious/noFocusedTests: this fit trains; it is not the test function of that name.
    await fit({
      model,
      optimizer: new AdamW(model.parameters(), { lr: 3e-3 }),
      train: new DataLoader(quadrants(512), { device, batchSize: 32 }),
      loss: crossEntropy,
      epochs: 4,
    });
    for (const [name, t] of model.stateDict()) {
      const data = (await readTensor(t)) as Float32Array | Int32Array;
      state.set(name, { dtype: t.dtype as "float32" | "int32", shape: t.shape, data });
    }
    trainedAccuracy = await accuracyOf(model);
    expect(trainedAccuracy).toBeGreaterThan(0.9);
  });

  async function trained(): Promise<Sequential> {
    const model = smallCnn(device);
    await model.loadStateDict(state);
    return model;
  }

  async function accuracyOf(model: Module): Promise<number> {
    const data = new DataLoader(test, { device, batchSize: 100 });
    return (await evaluate({ model, data, loss: crossEntropy, metrics: { accuracy } })).metrics.accuracy;
  }

  const schemes: readonly [name: string, scheme: () => Scheme, snr: number][] = [
    ["int8-dynamic", () => int8Dynamic(), 30],
    ["int8-dynamic, 7 bits", () => int8Dynamic({ weightBits: 7 }), 25],
    ["int8-weight-only", () => int8WeightOnly(), 30],
    ["int4-weight-only", () => int4WeightOnly(), 12],
    // Rows of 192 and 32: a last group of 64, and a group that is wider than the row.
    ["int4-weight-only, groups of 128", () => int4WeightOnly({ groupSize: 128 }), 12],
    ...observerNames.map((observer): [string, () => Scheme, number] => [
      `int8-static, ${observer}`,
      () => int8Static({ data: loader(), observer }),
      25,
    ]),
    ["int8-static, 7 bits", () => int8Static({ data: loader() }, { weightBits: 7 }), 25],
  ];
  for (const [name, scheme, leastSnr] of schemes) {
    it(`${name} keeps the accuracy`, async () => {
      const [float, model] = [await trained(), await trained()];
      const { layers, folded } = await quantize(model, scheme());
      const hasConv = name.startsWith("int8-dynamic") || name.startsWith("int8-static");
      expect(folded).toEqual(hasConv ? ["1", "5"] : []);
      expect(layers.map((layer) => layer.name)).toEqual(hasConv ? ["0", "4", "8", "10"] : ["8", "10"]);
      const comparison = await compareModels(float, model, test, {
        loss: crossEntropy,
        metrics: { accuracy },
      });
      expect(comparison.float.metrics.accuracy).toBe(trainedAccuracy);
      expect(comparison.quantized.metrics.accuracy).toBeGreaterThan(trainedAccuracy - 0.02);
      expect(comparison.layers.map((layer) => layer.name)).toEqual(layers.map((layer) => layer.name));
      for (const layer of comparison.layers) expect(layer.snr, layer.name).toBeGreaterThan(leastSnr);
      // Of whole layers; the smallest ones have more scales and biases than others.
      if (hasConv) expect(comparison.quantized.bytes / comparison.float.bytes).toBeLessThan(0.35);
    });
  }

  it("folds batch norms that only a run shows, and leaves those alone whose input is needed", async () => {
    const model = new Residual(device);
    const x = tensor(
      new Float32Array(2 * 64).map((_, i) => Math.sin(i)),
      { device, shape: [2, 1, 8, 8] },
    );
    // Statistics that are not the initial ones.
    model.forward(x);
    model.eval();
    const before = await readTensor(noGrad(() => model.forward(x)));
    const { folded } = await quantize(model, int8Static({ data: [x] }));
    expect(folded).toEqual(["bn1"]);
    expect(model.bn1).toBeInstanceOf(Identity);
    const after = await readTensor(noGrad(() => model.forward(x)));
    expect(noiseOf(after, before)).toBeGreaterThan(30);
  });

  it("quantizes what the filter chooses", async () => {
    const model = await trained();
    await quantize(model, int8Dynamic(), { filter: (name) => name === "4" || name === "10" });
    const types = model.modules.map((module) => module.constructor.name);
    expect(types.filter((type) => type.startsWith("Quantized"))).toEqual([
      QuantizedConv2d.name,
      QuantizedLinear.name,
    ]);
    expect(await accuracyOf(model)).toBeGreaterThan(trainedAccuracy - 0.02);
  });

  it("leaves sensitive layers out by measured error", async () => {
    const model = await trained();
    const { layers } = await quantize(model, int4WeightOnly(), { data: loader(), minSnr: 60 });
    expect(layers.map(({ quantized }) => quantized)).toEqual([false, false]);
    for (const { snr } of layers) expect(snr).toBeGreaterThan(10);
    expect(model.modules[8]).toBeInstanceOf(Linear);
    expect(await accuracyOf(model)).toBe(trainedAccuracy);
    const again = await quantize(model, int8Dynamic(), { data: loader(), minSnr: 20 });
    expect(again.layers.every(({ quantized }) => quantized)).toBe(true);
  });

  it("quantizes a GPT, row by row", async () => {
    const model = new CharGpt({ device, numLayers: 2, width: 64, context: 32 });
    const tokens = randint(0, 65, [2, 16], { device });
    const logits = () => readTensor(noGrad(() => model.forward(tokens)));
    const before = await logits();
    await quantize(model, int8Dynamic(), { filter: (_, module) => module instanceof Linear });
    const after = await logits();
    expect(noiseOf(after, before)).toBeGreaterThan(25);
  });

  it("gives memory back: a quantized model has its own bytes alone", async () => {
    const model = await trained();
    const before = device.memory().liveBytes;
    await quantize(model, int8Static({ data: loader() }));
    model.dispose();
    const left = smallCnn(device);
    const size = [...left.stateDict().values()].reduce((sum, t) => sum + 4 * t.size, 0);
    left.dispose();
    expect(device.memory().liveBytes).toBeLessThanOrEqual(before - size + 64);
  });

  describe("refuses, and leaves the model as it was,", () => {
    const cases: readonly [
      string,
      () => Promise<Scheme> | Scheme,
      object,
      typeof QuantizationError | typeof ShapeError,
      RegExp,
    ][] = [
      ["no calibration", () => int8Static(), {}, QuantizationError, /needs calibration data/],
      ["empty data", () => int8Static({ data: [] }), {}, QuantizationError, /no calibration data/],
      [
        "NaN",
        () => int8Static({ data: [images(64, Number.NaN)] }),
        {},
        QuantizationError,
        /input of 0 holds NaN in calibration batch 1/,
      ],
      [
        "infinity",
        () => int8Static({ data: [images(64, Infinity)] }),
        {},
        QuantizationError,
        /holds Infinity/,
      ],
      [
        "zeros",
        () => int8Static({ data: [images(64, 0)] }),
        {},
        QuantizationError,
        /was 0 in all of 1 calibration batches/,
      ],
      [
        "another shape",
        () => int8Static({ data: [tensor(new Float32Array(64), { device, shape: [1, 2, 4, 8] })] }),
        {},
        ShapeError,
        /conv2d/,
      ],
      [
        "a layer that the scheme does not take",
        () => int8WeightOnly(),
        { filter: (name: string) => name === "0" },
        QuantizationError,
        /0 is a Conv2d, which int8-weight-only does not take/,
      ],
      [
        "a layer that no scheme takes",
        () => int8Dynamic(),
        { filter: (name: string) => name === "3" },
        QuantizationError,
        /3 is a MaxPool2d/,
      ],
      ["nothing chosen", () => int8Dynamic(), { filter: () => false }, QuantizationError, /no layer/],
      ["minSnr without data", () => int8Dynamic(), { minSnr: 10 }, QuantizationError, /needs data/],
    ];
    function images(size: number, value: number): Tensor {
      return tensor(new Float32Array(size).fill(value), { device, shape: [size / 64, 1, 8, 8] });
    }
    for (const [name, scheme, options, type, message] of cases) {
      it(name, async () => {
        const model = await trained();
        const modules = [...model.modules];
        const attempt = quantize(model, await scheme(), options);
        await expect(attempt).rejects.toThrow(type);
        await expect(attempt).rejects.toThrow(message);
        expect(model.modules).toEqual(modules);
        expect(await accuracyOf(model)).toBe(trainedAccuracy);
      });
    }

    it("a model that is one layer", async () => {
      await expect(quantize(new Linear(4, 4, { device }), int8Dynamic())).rejects.toThrow(
        /wrap it: new Sequential/,
      );
      const wrapped = new Sequential(new Linear(4, 4, { device }), new ReLU());
      await quantize(wrapped, int8Dynamic());
      expect(wrapped.modules[0]).toBeInstanceOf(QuantizedLinear);
    });
  });
}
