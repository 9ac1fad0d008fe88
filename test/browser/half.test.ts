/**
 * Half floats as storage, in addition to the cases of the other suites: one rounding per stored value, equal on every driver, half the
 * memory, and the accuracy of the digits' CNN.
 */
import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { DataLoader, ImageDataset, loadMnist, mnistNormalization } from "../../src/data/index.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { type HostTensor, writeSafetensors } from "../../src/formats/index.js";
import { Cnn } from "../../src/models/index.js";
import { crossEntropy } from "../../src/nn/index.js";
import { manualSeed } from "../../src/ops/index.js";
import { readExact } from "../../src/runtime/host_data.js";
import "../../src/ops/methods.js";
import { AdamW, cosine } from "../../src/optim/index.js";
import { fit } from "../../src/train/index.js";
import { openBrowser } from "./open.js";

const digits = new URL("../data/mnist/", import.meta.url);

/** The CNN of `npm start` after one epoch, as a file. */
async function trainedCnn(): Promise<string> {
  const device = await openWasm();
  const { images, labels } = await loadMnist(digits.pathname, { split: "train" });
  const data = new ImageDataset(images, labels, mnistNormalization);
  manualSeed(0);
  const model = new Cnn({ device });
  const train = new DataLoader(data, { device, batchSize: 64, shuffle: { seed: 0 } });
  const optimizer = new AdamW(model.parameters(), { lr: 3e-3, weightDecay: 0.01 });
  const schedule = cosine({ steps: train.length, warmup: 16 });
  // biome-ignore lint/suspicious/noFocusedTests: this fit trains; it is not the test function of that name.
  await fit({ model, optimizer, train, loss: crossEntropy, epochs: 1, schedule });
  const state = new Map<string, HostTensor>();
  for (const [name, tensor] of model.stateDict()) {
    state.set(name, { dtype: tensor.dtype, shape: tensor.shape, data: await readExact(tensor) });
  }
  device.close();
  return Buffer.from(writeSafetensors(state)).toString("base64");
}

const unpacked = async (name: string) => gunzipSync(await readFile(new URL(name, digits))).toString("base64");

let file: string | undefined;
for (const driver of ["swiftshader", "llvmpipe"] as const) {
  const browser = await openBrowser(driver);
  if (typeof browser === "string") {
    it.skip(`half floats on ${driver}: ${browser}`);
    continue;
  }
  describe(driver, () => {
    afterAll(() => browser.close());
    const page = browser.openPage();

    it("uploads and kernels round to nearest even, overflow to infinity, and keep what halves can hold", async () => {
      const found = await (await page).evaluate(() => globalThis.wattgradPage.half.roundings());
      expect(Object.keys(found).length).toBe(26);
      for (const [what, differing] of Object.entries(found)) expect(differing, what).toEqual([]);
    });

    it("sums are rounded once, however many steps they take", async () => {
      const found = await (await page).evaluate(() => globalThis.wattgradPage.half.sums());
      expect(Object.keys(found).length).toBe(7);
      for (const [what, differing] of Object.entries(found)) expect(differing, what).toEqual([]);
    });

    it("sums of squares, variances and running statistics may leave the range of halves, and so may masks", async () => {
      const text = await (await page).evaluate(() => globalThis.wattgradPage.half.range());
      const found = Object.fromEntries(Object.entries(text).map(([name, list]) => [name, list.map(Number)]));
      // Of ±2000 and a little, over 32 values each.
      for (const x of found.normalized) expect(Math.abs(x)).toBeCloseTo(1, 2);
      for (const name of ["runningVar", "movedVar"]) {
        for (const x of found[name]) expect(x / (0.9 + (0.1 * (4e6 * 32)) / 31)).toBeCloseTo(1, 1);
      }
      expect(found.movedVar).toEqual(found.runningVar);
      for (const x of found.evaluated)
        expect(Math.abs(x)).toBeCloseTo(2000 / Math.sqrt(found.runningVar[0]), 1);
      for (const x of found.layerNorm) expect(x).toBeCloseTo(1, 2);
      expect(found.mean).toEqual([3]);
      expect(found.std[0] / (20_000 * Math.SQRT1_2)).toBeCloseTo(1, 2);
      expect(found.std[1]).toBe(Infinity);
      expect(found.loss[1] / found.loss[0]).toBeCloseTo(2, 1);

      for (const hidden of ["-1000000000", "-Infinity"]) {
        for (const how of ["recorded", "fused"]) {
          const output = found[`${how} ${hidden}`];
          expect(output.slice(0, 8)).toEqual([0, 0, 0, 0, ...found.values.slice(0, 4)]);
        }
        expect(found[`gradients ${hidden}`].every(Number.isFinite)).toBe(true);
        expect(found[`gradients ${hidden}`].slice(0, 4)).toEqual([0, 0, 0, 0]);
      }
    });

    it("what an optimizer updates stays in float32", async () => {
      const { stepped, restored, moments } = await (await page).evaluate(() =>
        globalThis.wattgradPage.half.update(),
      );
      expect(stepped).toEqual([1, 1, 1].map((value) => value - 64 * 2 ** -14));
      for (const [name, list] of Object.entries(moments))
        expect(restored[name]).toEqual(list.map(Math.fround));
    });

    it("a small network trains as with float32, and its snapshot has every bit", async () => {
      const full = await (await page).evaluate(() => globalThis.wattgradPage.half.train("rgba32f"));
      const half = await (await page).evaluate(() => globalThis.wattgradPage.half.train("rgba16f"));
      expect(half.isStoredAsHalves).toBe(false);
      expect(half.lost).toEqual([]);
      expect(half.loss).toBeLessThan(1.05 * full.loss + 0.01);
    });

    it("where only halves render, inference runs and training says why not", async () => {
      const found = await (await page).evaluate(() => globalThis.wattgradPage.half.withoutFloats(true));
      expect(found).toMatchObject({ storage: "rgba16f", kind: "rgba16f", collected: [4, 3], glError: 0 });
      // One rounding of each sum of a tile, and one when it is put in its place.
      expect(found.largest).toBeLessThan(2 ** -10);
      expect(found.training).toMatchObject({ code: "DEVICE", hint: expect.stringContaining("auto") });
    });

    it("where none render, there is a typed error with a way out", async () => {
      const { error } = await (await page).evaluate(() => globalThis.wattgradPage.half.withoutFloats(false));
      expect(error).toMatchObject({
        code: "DEVICE",
        message: expect.stringContaining("half-float"),
        hint: expect.stringMatching(/auto.*wasm/),
      });
    });

    it("the CNN has the accuracy of float32 on the digits, in half of the bytes", async () => {
      file ??= await trainedCnn();
      const [images, labels] = await Promise.all(
        ["test2k-images-idx3-ubyte.gz", "test2k-labels-idx1-ubyte.gz"].map(unpacked),
      );
      const [full, half] = await (await page).evaluate(
        (...request) => globalThis.wattgradPage.half.classify(...request),
        file!,
        images,
        labels,
      );
      console.info(`${driver}: ${JSON.stringify({ full, half })}`);
      expect(full.accuracy).toBeGreaterThan(0.95);
      expect(Math.abs(half.accuracy - full.accuracy)).toBeLessThanOrEqual(0.001);
      expect(full.modelBytes - half.modelBytes).toBe(2 * half.floats);
      expect(half.bytes).toBe(full.bytes / 2);
      expect(half.peakBytes).toBeLessThan(0.55 * full.peakBytes);
    }, 300_000);
  });
}
