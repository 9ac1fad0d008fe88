/** Captured functions: arguments that share memory, and results that are gradients. */
import { describe, expect, it } from "vitest";
import * as ops from "../../src/ops/index.js";
import { jit } from "../../src/runtime/jit.js";
import "../../src/ops/methods.js";
import { StaleTensorError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { devices } from "../devices.js";

for (const { label, device } of devices) {
  describe(label, () => {
    const values = (...list: number[]) => ops.tensor(list, { device });

    it("one tensor given twice is not taken for two that were given at the first call, nor the reverse", async () => {
      const [x, y] = [values(1, 2), values(10, 20)];
      const first = jit((a: Tensor, b: Tensor) => a.mul(2).sub(b));
      expect(await first(x, x).tolist()).toEqual([1, 2]);
      expect(await first(x, y).tolist()).toEqual([-8, -16]);
      expect(await first(y, x).tolist()).toEqual([19, 38]);
      expect(await first(y, y).tolist()).toEqual([10, 20]);
    });

    it("a captured tensor that was also the argument of the first call stays what it is", async () => {
      const w = values(1, 2);
      const step = jit((a: Tensor) => a.mul(10).add(w));
      expect(await step(w).tolist()).toEqual([11, 22]);
      expect(await step(values(5, 6)).tolist()).toEqual([51, 62]);
      expect(await step(w).tolist()).toEqual([11, 22]);
    });

    it("a detached argument is the argument of each call", async () => {
      const step = jit((a: Tensor) => [a.detach().mul(2), a.detach()]);
      for (const start of [1, 5]) {
        const [twice, same] = step(values(start, start + 1));
        expect(await twice.tolist()).toEqual([2 * start, 2 * start + 2]);
        expect(await same.tolist()).toEqual([start, start + 1]);
      }
    });

    it("updates a captured tensor that is given as an argument as well", async () => {
      const w = values(1, 2);
      const step = jit((a: Tensor) => {
        w.assign(w.add(a));
        return a.mul(3);
      });
      expect(await step(values(1, 1)).tolist()).toEqual([3, 3]);
      expect(await step(w).tolist()).toEqual([6, 9]);
      expect(await w.tolist()).toEqual([4, 6]);
    });

    it("updates the argument of each call, and lazy tensors built on its old value go stale", async () => {
      const step = jit((a: Tensor) => {
        a.assign(a.mul(2));
        return undefined;
      });
      for (const start of [1, 5]) {
        const x = values(start, start + 1);
        const old = x.add(1);
        step(x);
        expect(await x.tolist()).toEqual([2 * start, 2 * start + 2]);
        await expect(old.data()).rejects.toThrow(StaleTensorError);
      }
    });

    it("takes lazy arguments that were built on a value which is about to be overwritten", async () => {
      const w = values(1, 2);
      const step = jit((a: Tensor) => a.mul(10));
      for (let i = 1; i <= 2; i++) {
        const lazy = w.add(1);
        w.assign(w.mul(2));
        expect(await step(lazy).tolist()).toEqual([10 * (i + 1), 10 * (2 * i + 1)]);
      }
    });

    it("results have no history, at the first call either", async () => {
      const w = ops.tensor([3], { device, requiresGrad: true });
      const step = jit((a: Tensor) => a.mul(w).sum());
      for (let i = 0; i < 2; i++) {
        const result = step(values(2));
        expect([result.requiresGrad, result.isLeaf, await result.item()]).toEqual([false, true, 6]);
      }
    });
  });
}
