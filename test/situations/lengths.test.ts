/** Loops over lengths that are always new: Programs are evicted and compiled again, and memory stays constant. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { Linear } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import { jit } from "../../src/runtime/jit.js";
import { maxPrograms } from "../../src/runtime/session.js";
import "../../src/ops/methods.js";
import { OutOfMemoryError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { SGD } from "../../src/optim/index.js";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

/** Finalizers run some time after the collection. */
async function heapBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return process.memoryUsage().heapUsed;
}

const kinds: Record<string, () => Promise<Device>> = {
  reference: async () => openReference(),
  wasm: () => openWasm(),
};

for (const [name, open] of Object.entries(kinds)) {
  describe(name, () => {
    /** So many Programs that nothing else is needed often enough to stay. */
    const fillCache = async (device: Device) => {
      for (let n = 1; n <= maxPrograms + 10; n++) {
        const x = ops.ones([n], { device });
        expect(await x.exp().mul(0).sum().item()).toBe(0);
      }
    };

    it("a jitted step lives on when its Program was evicted, and so does one that shares it", async () => {
      const device = await open();
      const p = ops.tensor([1], { device, requiresGrad: true });
      const optimizer = new SGD([p], { lr: 0.5, momentum: 0.5 });
      const make = () =>
        jit((x: Tensor) => {
          const loss = ops.mul(p, x).sum();
          loss.backward();
          optimizer.step();
          return loss;
        });
      const [step, same] = [make(), make()];
      const x = ops.tensor([1], { device });
      const seen: number[] = [];
      for (let i = 0; i < 2; i++) {
        seen.push(await step(x).item(), await same(x).item());
        await fillCache(device);
        expect(device.memory().executables).toBe(maxPrograms);
      }
      // Momentum 0.5: steps of 0.5, 0.75, 0.875, …
      expect(seen).toEqual([1, 0.5, -0.25, -1.125]);
      device.close();
    });

    it("a jit function that nobody holds keeps neither its tensors nor its results", async () => {
      const device = await open();
      const { liveBuffers } = device.memory();
      const use = async () => {
        const w = ops.ones([8], { device });
        const fn = jit((x: Tensor) => x.mul(w).sum());
        for (let n = 0; n < 2; n++) expect(await fn(ops.full([8], 2, { device })).item()).toBe(16);
      };
      await use();
      await heapBytes();
      expect(device.memory().liveBuffers).toBe(liveBuffers);
      device.close();
    });
  });
}

describe("wasm", () => {
  it("memory is flat over new lengths: a forward pass, and a jitted step", async () => {
    const device = await openWasm();
    const layer = new Linear(4, 4, { device });
    const optimizer = new SGD(layer.parameters(), { lr: 0.01 });
    const forward = (x: Tensor) => layer.forward(x).square().mean();
    const train = (x: Tensor) => {
      const loss = forward(x);
      loss.backward();
      optimizer.step();
      return loss;
    };
    const functions = [forward, jit(train)];
    const lengths = maxPrograms + 110;
    const loop = async (from: number, to: number) => {
      for (let i = from; i < to; i++) {
        // Short and long ones mixed: what the cache holds is as large at one time as at another.
        const n = 1 + ((i * 211) % lengths);
        const x = ops.full([n, 4], 1 / n, { device });
        for (const fn of functions) {
          const result = fn(x);
          await result.item();
          result.dispose();
        }
        x.dispose();
      }
    };
    // Two Programs a length: the session's cache is full after half of the lengths, the recordings after all but 110.
    await loop(0, lengths - 100);
    const before = { heap: await heapBytes(), ...device.memory() };
    await loop(lengths - 100, lengths);
    const after = { heap: await heapBytes(), ...device.memory() };
    expect(after.executables).toBe(maxPrograms);
    expect(after.liveBuffers).toBe(before.liveBuffers);
    expect(after.reservedBytes).toBeLessThan(1.1 * before.reservedBytes);
    expect(after.heap - before.heap).toBeLessThan(1e6);
    device.close();
  });

  it("the working space of a large Program makes room for a tensor, and is there again when it runs", async () => {
    const device = await openWasm({ maximumBytes: 64 << 20 });
    const n = 3000;
    const ones = (shape: number[]) => ops.ones(shape, { device });
    const [column, row, vector] = [ones([n, 1]), ones([1, n]), ones([n, 1])];
    /** The outer product, 36 MB, is a temporary. */
    const run = async () => {
      const result = ops.matmul(ops.matmul(column, row), vector).sum();
      try {
        return (await result.item()) / n;
      } finally {
        result.dispose();
      }
    };
    expect(await run()).toBe(n);
    const tensor = ops.tensor(new Float32Array(8 << 20).fill(1), { device });
    expect((await tensor.data())[0]).toBe(1);
    await expect(run()).rejects.toThrow(OutOfMemoryError);
    tensor.dispose();
    expect(await run()).toBe(n);
    device.close();
  });
});
