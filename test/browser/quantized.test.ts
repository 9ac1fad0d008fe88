/** A file that was quantized in Node, run in a browser: the same predictions on every device. */
import { afterAll, describe, expect, it } from "vitest";
import { DataLoader } from "../../src/data/index.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { writeSafetensors } from "../../src/formats/index.js";
import { noGrad } from "../../src/graph/tensor.js";
import { tensor } from "../../src/ops/index.js";
import {
  int4WeightOnly,
  int8Dynamic,
  int8Static,
  int8WeightOnly,
  quantize,
  quantizedState,
  type Scheme,
} from "../../src/quantization/index.js";
import { readTensor } from "../../src/runtime/host_data.js";
import { noiseOf } from "../quantization/noise.js";
import { exampleImages, quadrants, smallCnn } from "../quantization/problem.js";
import { openBrowser } from "./open.js";
import type { DeviceLabel } from "./pages/devices.js";

const device = await openWasm();
const labels: readonly DeviceLabel[] = ["wasm-relaxed", "wasm-simd", "webgl", "webgl-bits", "webgl-half"];
const schemes: readonly [string, () => Scheme][] = [
  ["int8-static", () => int8Static({ data: new DataLoader(quadrants(64), { device, batchSize: 32 }) })],
  [
    "int8-static of 7 bits",
    () => int8Static({ data: new DataLoader(quadrants(64), { device, batchSize: 32 }) }, { weightBits: 7 }),
  ],
  ["int8-dynamic", () => int8Dynamic()],
  ["int8-weight-only", () => int8WeightOnly()],
  ["int4-weight-only", () => int4WeightOnly()],
];

const browser = await openBrowser("swiftshader");
if (typeof browser === "string") {
  it.skip(`quantized models in the browser: ${browser}`);
} else {
  afterAll(() => browser.close());
  const page = await browser.openPage();
  for (const [name, scheme] of schemes) {
    describe(name, () => {
      for (const label of labels) {
        it(`on ${label}`, async () => {
          const model = smallCnn(device);
          await quantize(model, scheme());
          const { tensors, metadata } = await quantizedState(model);
          const file = Buffer.from(writeSafetensors(tensors, metadata)).toString("base64");
          const { shape, data } = exampleImages;
          const output = noGrad(() => model.eval().forward(tensor(data, { device, shape })));
          const want = await readTensor(output);
          const { logits, bytes } = await page.evaluate(
            (...request) => globalThis.wattgradPage.runQuantized(...request),
            label,
            file,
          );
          // A value in between that lies at a half may be rounded the other way by the last bit of a float.
          expect(noiseOf(logits, want)).toBeGreaterThan(35);
          const size = [...model.stateDict().values()].reduce(
            (sum, t) => sum + t.size * (t.dtype === "int8" ? 1 : 4),
            0,
          );
          expect(bytes[1] - bytes[0]).toBeLessThanOrEqual(1.1 * size + 1024);
        });
      }
    });
  }

  it("quantized: no error but those of the tests", () => {
    expect(browser.problems).toEqual([]);
  });
}
