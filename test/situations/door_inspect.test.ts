/** String() and console.log of tensors, models, optimizers and devices, and the table of `summary`. */
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DataLoader, TensorDataset } from "../../src/data/index.js";
import * as wg from "../../src/index.js";
import { CharGpt, Cnn } from "../../src/models/index.js";
import * as nn from "../../src/nn/index.js";
import { AdamW, cosine, LRScheduler } from "../../src/optim/index.js";
import { cost, openDry } from "../../src/profile/index.js";
import { openMeta } from "../../src/quantization/index.js";
import { devices } from "../devices.js";

describe.each(devices)("$label", ({ device }) => {
  beforeAll(() => wg.setDefaultDevice(device));
  afterAll(() => wg.setDefaultDevice(undefined));
  const on = `on ${device.name}`;

  it("tensors: values at hand, else what they are", () => {
    expect(String(wg.tensor([1, 2.5]))).toBe(`Tensor [2] float32 ${on}: [1, 2.5]`);
    expect(inspect(wg.tensor([[true, false]]))).toBe(`Tensor [1, 2] bool ${on}:\n[[true, false]]`);
    expect(inspect({ x: wg.tensor(0.1) })).toContain(`Tensor [] float32 ${on}: 0.1`);
    expect(String(wg.zeros([0, 3]).realize())).toContain("[]");
    const lazy = wg.ones([2]).add(1);
    expect(String(lazy)).toBe(`Tensor [2] float32 ${on}, lazy (add): await data() computes it`);
    expect(lazy.storage).toBeUndefined();
    const large = inspect(wg.arange(10_000).reshape([100, 100]).realize());
    expect(large).toContain("[0, 1, 2, …, 97, 98, 99]");
    expect(large.split("\n").length).toBe(8);
    const gone = wg.tensor([1]);
    gone.dispose();
    expect(String(gone)).toBe(`Tensor [1] float32 ${on}, disposed`);
    expect(String(nn.parameter(wg.ones([1])))).toBe(`Tensor [1] float32 ${on}, requiresGrad: [1]`);
  });

  it("modules: the tree, equal layers once", () => {
    const model = new nn.Sequential(new nn.Linear(4, 2, { bias: false }), new nn.ReLU(), new nn.Dropout(0.1));
    expect(String(model)).toBe(
      [
        "Sequential(",
        "  (0): Linear(inFeatures=4, outFeatures=2, bias=false)",
        "  (1): ReLU()",
        "  (2): Dropout(p=0.1)",
        ")",
      ].join("\n"),
    );
    expect(inspect(model.eval())).toContain(`\n8 parameters ${on}, evaluating`);
    const gpt = String(new CharGpt({ width: 4, numHeads: 1, numLayers: 3, context: 4 }));
    expect(gpt).toContain("    (0-2): 3 × Block(\n      (ln1): LayerNorm(normalizedShape=[4], eps=0.00001)");
    expect(String(new nn.Conv2d(2, 4, 3, { padding: 1, groups: 2 }))).toBe(
      "Conv2d(inChannels=2, outChannels=4, kernelSize=[3, 3], stride=[1, 1], padding=[1, 1], dilation=[1, 1], groups=2, bias=true)",
    );
  });

  it("devices, optimizers, loaders, generators", () => {
    expect(inspect(device)).toMatch(new RegExp(`^${device.name}: .*; \\d+ buffers, [\\d,]+ bytes$`));
    const optimizer = new AdamW(new nn.Linear(10, 200).parameters(), { lr: 0.1 });
    expect(inspect(optimizer)).toBe(
      "AdamW: 2,200 values in 2 parameters, lr=0.1, betas=[0.9, 0.999], eps=1e-8, weightDecay=0.01",
    );
    expect(inspect(new LRScheduler(optimizer, cosine({ steps: 9 })))).toBe("LRScheduler at step 0: lr 0.1");
    const dataset = new TensorDataset({ dtype: "float32", shape: [5, 2], data: new Float32Array(10) });
    expect(inspect(dataset)).toBe("TensorDataset of 5 samples: float32 [2]");
    expect(inspect(new DataLoader(dataset, { batchSize: 2 }))).toBe(
      "DataLoader of 3 batches of 2; epoch 0, batch 0",
    );
    expect(inspect(new wg.Generator(3))).toBe("Generator(seed=3, offset=0)");
    expect(inspect(wg.tensor([1, 2]).storage)).toBe(`Storage of 2 float32 ${on}`);
  });

  it("summary: shapes, parameters and FLOPs without running anything", () => {
    const model = new Cnn();
    const before = wg.totalCost(device).runs;
    const { allocations } = device.memory();
    const table = nn.summary(model, [2, 1, 28, 28]);
    expect(wg.totalCost(device).runs).toBe(before);
    expect(device.memory().allocations).toBe(allocations);
    expect([table.parameters, table.trainable]).toEqual([207_018, 207_018]);
    const layer = (name: string) => table.layers.find((row) => row.name === name)!;
    expect(layer("features.0")).toMatchObject({ type: "Conv2d", output: [2, 16, 28, 28], parameters: 160 });
    expect(layer("classifier.3")).toMatchObject({
      output: [2, 10],
      parameters: 1290,
      // A multiply-add per weight and the bias.
      flops: 2 * (2 * 128 + 1) * 10,
    });
    expect(layer("features.0").flops).toBeGreaterThanOrEqual(2 * 2 * 16 * 28 * 28 * 9);
    expect(table.layers.reduce((sum, { flops }) => sum + flops, 0)).toBe(table.flops);
    for (const line of String(table).split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    // Modes and methods are as they were.
    expect(model.training).toBe(true);
    expect(Object.hasOwn(model.features, "forward")).toBe(false);
    expect(() => nn.summary(model, [2, 3, 28, 28])).toThrow(wg.ShapeError);
    expect(model.classifier.training).toBe(true);
  });
});

it("summary of a model on the meta device counts what a dry run counts", async () => {
  const options = { width: 16, numHeads: 2, numLayers: 2, context: 8, vocabulary: 11 };
  const { flops, parameters } = nn.summary(new CharGpt({ ...options, device: openMeta() }), [1, 8], {
    dtype: "int32",
  });
  const device = openDry();
  const model = new CharGpt({ ...options, device });
  model.eval();
  // A leaf: constants are folded.
  const tokens = wg.tensor(new Int32Array(8), { device, shape: [1, 8] });
  const counted = await cost(device, () => wg.noGrad(() => model.forward(tokens)));
  expect(flops).toBe(counted.flops);
  expect(parameters).toBe(model.parameterCount());
});

it("devices may be named where one is awaited", async () => {
  wg.setDefaultDevice(undefined);
  const [, { device }] = devices;
  const model = new nn.Linear(2, 2, { device });
  await model.to("reference");
  const x = await wg.ones([1, 2], { device }).to("reference");
  expect(x.device).toBe(model.weight.device);
  expect(x.device.name).toBe("reference");
  expect(model.forward(x).shape).toEqual([1, 2]);
  // The default device if it has the name; a closed one is opened anew.
  wg.setDefaultDevice(device);
  expect((await x.to("wasm")).device).toBe(device);
  wg.setDefaultDevice(undefined);
  x.device.close();
  const again = await wg.ones([1], { device }).to("reference");
  expect(again.device).not.toBe(x.device);
  expect(await again.tolist()).toEqual([1]);
  await expect(model.to("wasm32" as "wasm")).rejects.toThrow(
    'to: the device is a device or one of auto, webgl, wasm, reference, got "wasm32"',
  );
  await expect(wg.openDevice("refrence" as "reference")).rejects.toThrow("did you mean reference?");
});
