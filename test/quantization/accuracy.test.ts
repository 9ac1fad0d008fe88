/**
 * What quantization costs in accuracy on real data: the CNN of `npm start` on the shipped digits, and, where the shared data are, a
 * pretrained ResNet on CIFAR-10. Prints a table.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  DataLoader,
  type Dataset,
  ImageDataset,
  imageNetNormalization,
  loadCifar10,
  loadMnist,
  mnistNormalization,
  subset,
} from "../../src/data/index.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { type HostTensor, readSafetensors } from "../../src/formats/index.js";
import { CifarResNet, Cnn } from "../../src/models/index.js";
import { crossEntropy, type Module } from "../../src/nn/index.js";
import { manualSeed } from "../../src/ops/index.js";
import { readExact } from "../../src/runtime/host_data.js";
import "../../src/ops/methods.js";
import { AdamW, cosine } from "../../src/optim/index.js";
import { stateBytes } from "../../src/quantization/compare.js";
import { convert, int8Dynamic, int8Static, prepare, quantize } from "../../src/quantization/index.js";
import { accuracy, evaluate, fit, randomShift } from "../../src/train/index.js";

/** Largest loss of accuracy, in points, and size, as a share of float32's. */
const bars = { afterwards: 0.3, trained: 0.1, size: 0.27 };
const calibrationImages = 1024;

const device = await openWasm();
const rows: string[] = [];
afterAll(() => console.info(["scheme, bits: accuracy, change in points, size", ...rows].join("\n")));

interface Score {
  readonly accuracy: number;
  readonly bytes: number;
}

async function scoreOf(model: Module, test: Dataset): Promise<Score> {
  const data = new DataLoader(test, { device, batchSize: 100 });
  const { metrics } = await evaluate({ model, data, loss: crossEntropy, metrics: { accuracy } });
  return { accuracy: metrics.accuracy, bytes: stateBytes(model) };
}

/** Percentage points, without the rounding of their float64 (−0.1 is no less than −0.1), and a row of the table. */
function change(name: string, float: Score, quantized: Score): number {
  const points = Math.round(1e11 * (quantized.accuracy - float.accuracy)) / 1e9;
  const size = (100 * quantized.bytes) / float.bytes;
  rows.push(
    `${name}: ${(100 * quantized.accuracy).toFixed(2)} %, ${points.toFixed(2)}, ${size.toFixed(1)} %`,
  );
  return points;
}

describe("the CNN on MNIST", () => {
  const state = new Map<string, HostTensor>();
  let train: Dataset;
  let test: Dataset;
  let float: Score;

  async function trained(): Promise<Cnn> {
    const model = new Cnn({ device });
    await model.loadStateDict(state);
    return model;
  }

  function training(model: Module, epochs: number, lr: number) {
    // As `npm start` does.
    const shifted = randomShift(train, {
      pixels: 2,
      seed: 0,
      fill: -mnistNormalization.mean / mnistNormalization.std,
    });
    const loader = new DataLoader(shifted, { device, batchSize: 64, shuffle: { seed: 0 } });
    const steps = epochs * loader.length;
    const optimizer = new AdamW(model.parameters(), { lr, weightDecay: 0.01 });
    const schedule = cosine({ steps, warmup: Math.ceil(steps / 10) });
    // biome-ignore lint/suspicious/noFocusedTests: this fit trains; it is not the test function of that name.
    return fit({ model, optimizer, train: loader, loss: crossEntropy, epochs, schedule });
  }

  beforeAll(async () => {
    const directory = new URL("../data/mnist", import.meta.url).pathname;
    const [first, second] = await Promise.all(
      (["train", "test"] as const).map((split) => loadMnist(directory, { split })),
    );
    train = new ImageDataset(first.images, first.labels, mnistNormalization);
    test = new ImageDataset(second.images, second.labels, mnistNormalization);
    manualSeed(0);
    const model = new Cnn({ device });
    await training(model, 8, 3e-3);
    for (const [name, tensor] of model.stateDict()) {
      state.set(name, { dtype: tensor.dtype, shape: tensor.shape, data: await readExact(tensor) });
    }
    float = await scoreOf(model, test);
    rows.push(`float32: ${(100 * float.accuracy).toFixed(2)} %`);
    expect(float.accuracy).toBeGreaterThan(0.98);
  }, 300_000);

  for (const weightBits of [8, 7] as const) {
    it(`static, ${weightBits} bits`, async () => {
      const model = await trained();
      const data = new DataLoader(subset(train, 0, calibrationImages), { device, batchSize: 64 });
      await quantize(model, int8Static({ data }, { weightBits }));
      const score = await scoreOf(model, test);
      expect(change(`int8-static, ${weightBits}`, float, score)).toBeGreaterThanOrEqual(-bars.afterwards);
      expect(score.bytes / float.bytes).toBeLessThanOrEqual(bars.size);
    });

    it(`dynamic, ${weightBits} bits`, async () => {
      const model = await trained();
      await quantize(model, int8Dynamic({ weightBits }));
      const score = await scoreOf(model, test);
      expect(change(`int8-dynamic, ${weightBits}`, float, score)).toBeGreaterThanOrEqual(-bars.afterwards);
      expect(score.bytes / float.bytes).toBeLessThanOrEqual(bars.size);
    });

    it(`static, trained with rounding in mind, ${weightBits} bits`, async () => {
      const model = await trained();
      await prepare(model, int8Static(undefined, { weightBits }));
      await training(model, 1, 2e-4);
      await convert(model);
      const score = await scoreOf(model, test);
      expect(change(`trained int8-static, ${weightBits}`, float, score)).toBeGreaterThanOrEqual(
        -bars.trained,
      );
    }, 120_000);
  }
});

/** Weights and images lie outside the repository; see test/nn/resnet_cifar10.test.ts. */
const shared = new URL("../../../shared/data/", import.meta.url);
const weights = fileURLToPath(new URL("models/cifar-resnet/resnet20.safetensors", shared));
const images = fileURLToPath(new URL("cifar10/test500.bin.gz", shared));
const isMissing = !existsSync(weights) || !existsSync(images);
const why = isMissing ? " (skipped: weights and images are outside the repository and not here)" : "";
if (isMissing) console.warn(`left out: the quantized ResNet-20 on CIFAR-10${why}`);

/** Points that the ResNet may lose: 2 of 500 images. */
const resnetBar = 0.5;

describe.skipIf(isMissing)(`the pretrained ResNet-20 on CIFAR-10${why}`, () => {
  const load = async (): Promise<CifarResNet> => {
    const model = new CifarResNet({ depth: 20, device });
    await model.loadStateDict(readSafetensors(await readFile(weights)).tensors);
    return model;
  };
  let test: Dataset;
  let float: Score;

  beforeAll(async () => {
    const cifar = await loadCifar10(images);
    test = new ImageDataset(cifar.images, cifar.labels, imageNetNormalization);
    float = await scoreOf(await load(), test);
    rows.push(`ResNet-20, float32: ${(100 * float.accuracy).toFixed(2)} %`);
  });

  for (const weightBits of [8, 7] as const) {
    it(`static, ${weightBits} bits`, async () => {
      const model = await load();
      // There are no other images; calibration does not see the labels.
      const data = new DataLoader(subset(test, 0, 256), { device, batchSize: 64 });
      const { folded } = await quantize(model, int8Static({ data }, { weightBits }));
      expect(folded).toHaveLength(19);
      const score = await scoreOf(model, test);
      const points = change(`ResNet-20, int8-static, ${weightBits}`, float, score);
      expect(score.bytes / float.bytes).toBeLessThanOrEqual(bars.size);
      // The bar is that of full 8-bit weights; 7 bits are reported.
      if (weightBits === 8) expect(points).toBeGreaterThanOrEqual(-resnetBar);
    });
  }
});
