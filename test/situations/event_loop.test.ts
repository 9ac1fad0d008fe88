/** User loops on a device that computes on the same thread: timers, signals and finalizers are not starved. */
import { describe, expect, it, vi } from "vitest";
import { DataLoader, TensorDataset } from "../../src/data/index.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { Linear } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { OutOfMemoryError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { SGD } from "../../src/optim/index.js";
import { devices } from "../devices.js";

const mebi = 2 ** 20;

for (const { label, device } of devices) {
  describe(label, () => {
    const training = () => {
      const layer = new Linear(64, 64, { device });
      const optimizer = new SGD(layer.parameters(), { lr: 0.01 });
      return (x: Tensor) => {
        const loss = layer.forward(x).square().mean();
        loss.backward();
        optimizer.step();
        return loss;
      };
    };

    it("a timer fires during a training loop that reads its losses", async () => {
      const step = training();
      const x = ops.ones([32, 64], { device }).realize();
      let fired = false;
      setTimeout(() => {
        fired = true;
      }, 5);
      let steps = 0;
      for (; !fired && steps < 5000; steps++) await step(x).item();
      expect(steps).toBeLessThan(5000);
    });

    it("a timer fires during a loop over a loader that reads nothing", async () => {
      const step = training();
      const data = { dtype: "float32", shape: [2000, 64], data: new Float32Array(2000 * 64) } as const;
      let fired = false;
      setTimeout(() => {
        fired = true;
      }, 5);
      for await (const [x] of new DataLoader(new TensorDataset(data), { device })) {
        step(x);
        if (fired) break;
      }
      expect(fired).toBe(true);
    });

    it("a signal is noticed within two steps, ten times of ten", async () => {
      const step = training();
      const x = ops.ones([64, 64], { device }).realize();
      let noticed = false;
      const listener = () => {
        noticed = true;
      };
      process.on("SIGUSR2", listener);
      try {
        for (let time = 0; time < 10; time++) {
          noticed = false;
          let steps = 0;
          for (; steps < 20 && !noticed; steps++) {
            const loss = step(x);
            if (steps === 0) process.kill(process.pid, "SIGUSR2");
            await loss.item();
          }
          expect(steps).toBeLessThanOrEqual(2);
        }
      } finally {
        process.off("SIGUSR2", listener);
      }
    });

    it("reads end where timers are faked", async () => {
      vi.useFakeTimers();
      try {
        for (let i = 0; i < 20; i++) {
          expect(
            await ops
              .full([1 << 16], i, { device })
              .realize()
              .mean()
              .item(),
          ).toBe(i);
        }
      } finally {
        vi.useRealTimers();
      }
    });
  });
}

describe("memory of tensors that nobody holds", () => {
  it("an inference loop over new inputs stays within a device that is 16 inputs large", async () => {
    const device = await openWasm({ maximumBytes: 64 * mebi });
    const host = new Float32Array(mebi).fill(1);
    for (let turn = 0; turn < 100; turn++) {
      const x = ops.tensor(host, { device, shape: [1024, 1024] });
      expect((await x.mul(2).sum(1).data())[1]).toBe(2048);
    }
    device.close();
  });

  it("a read that finds no memory collects, and computes then", async () => {
    const device = await openWasm({ maximumBytes: 64 * mebi });
    const held = ops.ones([4 * mebi], { device }).realize();
    // Garbage of less than is worth a collection otherwise, made without a turn.
    for (let i = 0; i < 18; i++) ops.full([mebi / 2], i, { device }).realize();
    const doubled = held.mul(2);
    expect((await doubled.data())[0]).toBe(2);
    held.dispose();
    device.close();
  });

  it("a loader that finds no memory for a batch collects, and uploads it then", async () => {
    const device = await openWasm({ maximumBytes: 64 * mebi });
    const data = { dtype: "float32", shape: [2, 6 * mebi], data: new Float32Array(12 * mebi) } as const;
    let batches = 0;
    for await (const [x] of new DataLoader(new TensorDataset(data), { device })) {
      expect(x.shape).toEqual([1, 6 * mebi]);
      // Garbage that the second batch does not fit beside.
      if (batches++ === 0) for (let i = 0; i < 19; i++) ops.full([mebi / 2], i, { device }).realize();
    }
    expect(batches).toBe(2);
    device.close();
  });

  it("what does not fit is an error still", async () => {
    const device = await openWasm({ maximumBytes: 64 * mebi });
    const [a, b] = [0, 1].map((value) => ops.full([6 * mebi], value, { device }).realize());
    await expect(a.add(b).data()).rejects.toThrow(OutOfMemoryError);
    b.dispose();
    expect((await a.add(1).data())[0]).toBe(1);
    device.close();
  });
});
