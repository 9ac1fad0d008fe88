/** Memory of training loops: after 1,000 steps the same as after two, and no growing graph. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { Mlp } from "../../src/models/index.js";
import { BatchNorm2d, crossEntropy } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import { commit } from "../../src/runtime/commit.js";
import { compileCount, memory } from "../../src/runtime/counters.js";
import { jit } from "../../src/runtime/jit.js";
import { sessionOf } from "../../src/runtime/session.js";
import "../../src/ops/methods.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { AdamW } from "../../src/optim/index.js";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

/** Finalizers run some time after the collection. */
async function settled(done: () => boolean): Promise<void> {
  for (let i = 0; i < 50 && !done(); i++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Devices of their own: the counts below are of one loop alone. */
const kinds: Record<string, () => Promise<Device>> = {
  reference: async () => openReference(),
  wasm: () => openWasm(),
};

function training(device: Device) {
  const model = new Mlp({ sizes: [20, 16, 4], device });
  const optimizer = new AdamW(model.parameters());
  return (x: Tensor, y: Tensor): Tensor => {
    const loss = crossEntropy(model.forward(x), y);
    loss.backward();
    optimizer.step();
    return loss;
  };
}

function batch(device: Device, step: number): [Tensor, Tensor] {
  const x = Float32Array.from({ length: 160 }, (_, i) => Math.sin(i + step));
  const y = Int32Array.from({ length: 8 }, (_, i) => (i + step) % 4);
  return [ops.tensor(x, { device, shape: [8, 20] }), ops.tensor(y, { device })];
}

/** Everything but the number of requests, which counts buffers that are given back and taken again. */
function held(device: Device) {
  const { allocations, ...rest } = memory(device);
  return { ...rest, compiled: compileCount(device) };
}

for (const [name, open] of Object.entries(kinds)) {
  describe(name, () => {
    for (const captured of [false, true]) {
      const title = captured ? "a captured step" : "a plain step";
      it(`${title}: after 1,000 steps nothing is held that was not after the second`, async () => {
        const device = await open();
        const plain = training(device);
        const step = captured ? jit(plain) : plain;
        const run = (i: number) => {
          const [x, y] = batch(device, i);
          const loss = step(x, y);
          for (const tensor of [x, y, loss]) tensor.dispose();
        };
        run(1);
        run(2);
        const second = held(device);
        const { allocations } = memory(device);
        for (let i = 3; i <= 1000; i++) run(i);
        expect(held(device)).toEqual(second);
        // Two for the batch and one for the loss, in memory that the step before gave back.
        expect(memory(device).allocations).toBe(allocations + 3 * 998);
        device.close();
      });
    }

    it("a captured step on the same batch that returns nothing asks for no buffer at all", async () => {
      const device = await open();
      const plain = training(device);
      const step = jit((x: Tensor, y: Tensor) => {
        plain(x, y);
        return undefined;
      });
      const [x, y] = batch(device, 0);
      step(x, y);
      step(x, y);
      const second = memory(device);
      for (let i = 3; i <= 1000; i++) step(x, y);
      expect(memory(device)).toEqual(second);
      device.close();
    });

    it("losses that are dropped, not disposed, are given back by the garbage collection", async () => {
      const device = await open();
      const step = training(device);
      const [x, y] = batch(device, 0);
      for (let i = 0; i < 2; i++) step(x, y).dispose();
      const { liveBuffers, liveBytes } = memory(device);
      for (let i = 0; i < 200; i++) step(x, y);
      await settled(() => memory(device).liveBuffers === liveBuffers);
      expect(memory(device)).toMatchObject({ liveBuffers, liveBytes });
      device.close();
    });

    it("a loop that never reads stays flat", async () => {
      const device = await open();
      let total = ops.tensor([0, 0], { device });
      let deepest = 0;
      for (let i = 0; i < 20_000; i++) {
        total = total.add(1);
        deepest = Math.max(deepest, total.node?.depth ?? 0);
      }
      expect(deepest).toBeLessThanOrEqual(4097);
      expect(await total.tolist()).toEqual([20_000, 20_000]);
      await settled(() => memory(device).liveBuffers <= 2);
      expect(memory(device).liveBuffers).toBeLessThanOrEqual(2);
      device.close();
    });

    it("gradients that are added up and never used by a step stay flat", async () => {
      const device = await open();
      const w = ops.tensor([1, 2, 3], { device, requiresGrad: true });
      const x = ops.tensor([1, 1, 1], { device });
      const backward = () => w.mul(x).sum().backward();
      for (let i = 0; i < 300; i++) backward();
      expect(sessionOf(device).roots.size).toBeLessThanOrEqual(1);
      expect(compileCount(device)).toBeLessThanOrEqual(3);
      expect(await w.grad!.tolist()).toEqual([300, 300, 300]);
      await settled(() => memory(device).liveBuffers <= 6);
      expect(memory(device).liveBuffers).toBeLessThanOrEqual(6);
      device.close();
    });

    it("gradients are added up over batches that are disposed on the way", async () => {
      const device = await open();
      const w = ops.tensor([1, 2], { device, requiresGrad: true });
      const losses: Tensor[] = [];
      for (let i = 1; i <= 4; i++) {
        const x = ops.tensor([i, 10 * i], { device });
        const loss = w.mul(x).sum();
        loss.backward();
        losses.push(loss);
        x.dispose();
      }
      expect(await w.grad!.tolist()).toEqual([10, 100]);
      expect(await Promise.all(losses.map((loss) => loss.item()))).toEqual([21, 42, 63, 84]);
      device.close();
    });

    it("a loss that is disposed before the step is not computed", async () => {
      const device = await open();
      const w = ops.tensor([1, 2], { device, requiresGrad: true });
      const loss = w.mul(3).sum();
      loss.backward();
      loss.dispose();
      w.assign(w.sub(w.grad!));
      commit(device);
      expect(await w.tolist()).toEqual([-2, -1]);
      device.close();
    });

    it("running statistics of forward passes without a step stay flat", async () => {
      const device = await open();
      const norm = new BatchNorm2d(2, { device });
      let deepest = 0;
      for (let i = 0; i < 100; i++) {
        const x = ops.tensor(Float32Array.of(i, 1, 2, 3), { device, shape: [2, 2, 1, 1] });
        norm.forward(x);
        deepest = Math.max(deepest, norm.runningMean.pending?.node?.depth ?? 0);
        // Read by nobody; disposed by some, as a DataLoader does.
        if (i >= 50) x.dispose();
      }
      expect(deepest).toBeLessThan(50);
      expect(compileCount(device)).toBeLessThan(20);
      expect(await norm.numBatchesTracked.item()).toBe(100);
      // Channel 0 sees i and 2, whose mean is (i + 2)/2.
      let mean = 0;
      for (let i = 0; i < 100; i++) mean = 0.9 * mean + 0.1 * ((i + 2) / 2);
      expect((await norm.runningMean.data())[0]).toBeCloseTo(mean, 4);
      device.close();
    });
  });
}
