/** Quantization-aware training. */
import { describe, expect, it } from "vitest";
import { DataLoader } from "../../src/data/index.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { noGrad } from "../../src/graph/tensor.js";
import { crossEntropy, type Module } from "../../src/nn/index.js";
import { AdamW } from "../../src/optim/index.js";
import { FakeQuantizedLayer } from "../../src/quantization/fake.js";
import {
  convert,
  int8Dynamic,
  int8Static,
  prepare,
  QuantizedLayer,
  quantize,
} from "../../src/quantization/index.js";
import { readTensor } from "../../src/runtime/host_data.js";
import { accuracy, evaluate, fit } from "../../src/train/index.js";
import { quadrants, smallCnn } from "./problem.js";
import "../../src/ops/methods.js";
import { tensor } from "../../src/ops/index.js";

const device = await openWasm();
const test = quadrants(300, 1000);

const train = (model: Module, epochs: number, lr: number) =>
  // biome-ignore lint/suspicious/noFocusedTests: this fit trains; it is not the test function of that name.
  fit({
    model,
    optimizer: new AdamW(model.parameters(), { lr }),
    train: new DataLoader(quadrants(512), { device, batchSize: 32 }),
    loss: crossEntropy,
    epochs,
  });

async function accuracyOf(model: Module): Promise<number> {
  const data = new DataLoader(test, { device, batchSize: 100 });
  return (await evaluate({ model, data, loss: crossEntropy, metrics: { accuracy } })).metrics.accuracy;
}

for (const [name, scheme] of [
  ["int8-dynamic", () => int8Dynamic()],
  ["int8-dynamic of 7 bits", () => int8Dynamic({ weightBits: 7 })],
  ["int8-static", () => int8Static()],
  ["int8-static of 7 bits", () => int8Static(undefined, { weightBits: 7 })],
] as const) {
  describe(name, () => {
    it("trains, and the converted model computes what was trained", async () => {
      const model = smallCnn(device);
      await train(model, 3, 3e-3);
      const parameters = model.modules[8].parameters();
      await prepare(model, scheme());
      // The same tensors: an optimizer goes on with them.
      expect(model.modules[8].parameters()).toEqual(parameters);
      await train(model, 2, 3e-4);
      const x = tensor(
        Float32Array.from({ length: 20 * 64 }, (_, i) => Math.sin(i * 1.7)),
        { device, shape: [20, 1, 8, 8] },
      );
      model.eval();
      const fake = await readTensor(noGrad(() => model.forward(x)));
      const before = await accuracyOf(model);
      await convert(model);
      const real = await readTensor(noGrad(() => model.forward(x)));
      const largest = Math.max(...Array.from(fake, Math.abs));
      // Rounding the other way at a tie of some value in between moves an output by a step or two.
      const differences = Array.from(real, (value, i) => Math.abs(value - fake[i]));
      expect(Math.max(...differences)).toBeLessThan(0.03 * largest);
      expect([...model.namedModules()].filter(([, module]) => module instanceof QuantizedLayer)).toHaveLength(
        4,
      );
      expect(
        [...model.namedModules()].filter(([, module]) => module instanceof FakeQuantizedLayer),
      ).toHaveLength(0);
      expect(Math.abs((await accuracyOf(model)) - before)).toBeLessThan(0.01);
      expect(before).toBeGreaterThan(0.9);
    });
  });
}

it("learns to live with 7 bits better than rounding afterwards does, or as well", async () => {
  const rounded = smallCnn(device);
  await train(rounded, 4, 3e-3);
  const float = await accuracyOf(rounded);
  await quantize(
    rounded,
    int8Static({ data: new DataLoader(quadrants(128), { device, batchSize: 32 }) }, { weightBits: 7 }),
  );
  const learned = smallCnn(device);
  await train(learned, 4, 3e-3);
  await prepare(learned, int8Static(undefined, { weightBits: 7 }));
  await train(learned, 2, 3e-4);
  await convert(learned);
  expect(await accuracyOf(learned)).toBeGreaterThanOrEqual((await accuracyOf(rounded)) - 0.01);
  expect(await accuracyOf(learned)).toBeGreaterThan(float - 0.02);
});

it("gradients pass the rounding", async () => {
  const model = smallCnn(device);
  await prepare(model, int8Static());
  const before = await Promise.all(model.parameters().map(readTensor));
  await train(model, 1, 1e-3);
  const after = await Promise.all(model.parameters().map(readTensor));
  const same = after.filter((values, i) => values.every((value, j) => value === before[i][j]));
  expect(same).toEqual([]);
});

it("convert refuses what was not prepared, and static ranges that were never learned", async () => {
  const model = smallCnn(device);
  await expect(convert(model)).rejects.toThrow(/prepare\(\) it first/);
  await prepare(model, int8Static());
  await expect(convert(model)).rejects.toThrow(/has seen no inputs/);
  expect(model.modules[0]).toBeInstanceOf(FakeQuantizedLayer);
});
