/** Loss curves on the devices of this machine: within 1e-3 of PyTorch's, step by step (curves.ts). */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loadMnist } from "../src/data/index.js";
import type { Device } from "../src/device/device.js";
import { readExact } from "../src/runtime/host_data.js";
import {
  type Curve,
  type CurveFixture,
  curveTolerance,
  largestBufferDeviation,
  largestDeviation,
  networkOf,
  trainCurve,
} from "./curves.js";
import { devices, reference } from "./devices.js";

const { text, curves }: CurveFixture = JSON.parse(
  readFileSync(new URL("fixtures/curves.json", import.meta.url), "utf8"),
);
const data = { text, mnist: await loadMnist(fileURLToPath(new URL("data/mnist", import.meta.url))) };

/** The float64 device takes half a second per step of the full-size network, and its small sister runs all of them. */
function stepsOn(device: Device, { name, losses }: Curve): number {
  return device === reference && name === "cnn" ? 8 : losses.length;
}

for (const curve of curves) {
  describe(`${curve.name} with ${curve.optimizer}`, () => {
    it("has PyTorch's parameters under PyTorch's names", () => {
      const model = networkOf(curve.name, reference, text);
      const own = [...model.namedParameters()].map(([name, { shape }]) => ({ name, shape }));
      expect(own).toEqual(curve.parameters.map(({ name, shape }) => ({ name, shape })));
      expect([...model.namedBuffers().keys()]).toEqual(Object.keys(curve.buffers));
    });

    for (const { label, device } of devices) {
      it(`follows PyTorch's losses on ${label}`, async () => {
        const steps = stepsOn(device, curve);
        const { model, losses } = await trainCurve(curve, data, device, { captured: false, steps });
        const bound = device === reference ? curveTolerance.float64 : curveTolerance.float32;
        expect(losses.length).toBe(steps);
        expect(largestDeviation(losses, curve)).toBeLessThanOrEqual(bound);
        if (steps < curve.losses.length) return;
        expect(await largestBufferDeviation(model, curve)).toBeLessThanOrEqual(bound);
      });

      if (device === reference) continue;
      it(`gives the same bits through jit on ${label}`, async () => {
        const plain = await trainCurve(curve, data, device, { captured: false });
        const captured = await trainCurve(curve, data, device, { captured: true });
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
