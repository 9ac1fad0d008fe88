/** A lazy tensor built on a value that was overwritten since is an error, never a wrong number. */
import { describe, expect, it } from "vitest";
import * as ops from "../../src/ops/index.js";
import { commit } from "../../src/runtime/commit.js";
import { overwrite } from "../../src/runtime/host_data.js";
import { jit } from "../../src/runtime/jit.js";
import "../../src/ops/methods.js";
import { StaleTensorError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { SGD } from "../../src/optim/index.js";
import { devices } from "../devices.js";

for (const { label, device } of devices) {
  describe(label, () => {
    /** A parameter 1, 2 whose gradient of the loss is 3, 3. */
    function problem() {
      const w = ops.tensor([1, 2], { device, requiresGrad: true });
      const optimizer = new SGD([w], { lr: 0.5 });
      const loss = () => w.mul(3).sum();
      return { w, optimizer, loss };
    }
    const expectStale = (tensor: Tensor) => expect(tensor.data()).rejects.toThrow(StaleTensorError);

    it("a lazy tensor on a parameter's old value, after the step", async () => {
      const { w, optimizer, loss } = problem();
      const [early, late] = [w.add(1), w.add(2).exp().sum()];
      expect(await early.tolist()).toEqual([2, 3]);
      loss().backward();
      optimizer.step();
      expect(await w.tolist()).toEqual([-0.5, 0.5]);
      expect(await early.tolist()).toEqual([2, 3]);
      await expect(late.data()).rejects.toThrow(
        /shape \[2\] was built on a tensor of shape \[2\] that has been changed in place since \(realize\(\) or read it/,
      );
      await expectStale(late.mul(2));
      expect(await w.add(2).tolist()).toEqual([1.5, 2.5]);
    });

    it("the loss is not stale: the step computes it", async () => {
      const { optimizer, loss } = problem();
      const value = loss();
      value.backward();
      optimizer.step();
      expect(await value.item()).toBe(9);
    });

    it("a gradient that the step did not use is computed by it, and the next is added", async () => {
      const { w, optimizer } = problem();
      const other = ops.tensor([5, 5], { device, requiresGrad: true });
      const both = () => w.mul(other).sum();
      both().backward();
      optimizer.step();
      expect(await other.grad!.tolist()).toEqual([1, 2]);
      both().backward();
      expect(await other.grad!.tolist()).toEqual([-0.5, 1.5]);
      expect(await w.grad!.tolist()).toEqual([5, 5]);
    });

    it("assigned, overwritten and replayed values count as changes", async () => {
      const { w, optimizer, loss } = problem();
      const changes = [
        async () => {
          w.assign(w.mul(2));
          await w.data();
        },
        async () => overwrite(w, Float32Array.of(7, 8)),
        async () => {
          const step = jit((x: Tensor) => {
            const value = loss().add(x);
            value.backward();
            optimizer.step();
            return value;
          });
          const zero = ops.tensor([0], { device }).reshape([]);
          step(zero);
          const between = w.neg();
          step(zero);
          await expectStale(between);
        },
      ];
      for (const change of changes) {
        const old = w.neg();
        await change();
        await expectStale(old);
      }
      expect(await w.tolist()).toEqual([4, 5]);
    });

    it("a pending value is seen by what is built later, and by nothing built before", async () => {
      const { w } = problem();
      const before = w.add(0.5);
      w.assign(w.mul(10));
      const after = w.add(0.5);
      expect(await after.tolist()).toEqual([10.5, 20.5]);
      expect(await before.tolist()).toEqual([1.5, 2.5]);
      expect(await w.tolist()).toEqual([10, 20]);
    });

    it("two parameters swap their values, and rotate them", async () => {
      const [a, b, c] = [1, 2, 3].map((value) => ops.tensor([value, -value], { device }));
      const old = a.detach();
      a.assign(b);
      b.assign(old);
      expect([await a.tolist(), await b.tolist()]).toEqual([
        [2, -2],
        [1, -1],
      ]);
      const first = a.detach();
      a.assign(b);
      b.assign(c.flip());
      c.assign(first);
      expect([await a.tolist(), await b.tolist(), await c.tolist()]).toEqual([
        [1, -1],
        [-3, 3],
        [2, -2],
      ]);
    });

    it("a disposed tensor, itself and in what was built on it", async () => {
      const x = ops.tensor([1, 2], { device });
      const [lazy, done] = [x.add(1), x.add(2).realize()];
      x.dispose();
      await expectStale(x);
      await expectStale(lazy);
      expect(await done.tolist()).toEqual([3, 4]);
      expect(() => x.assign(done)).toThrow(StaleTensorError);
      expect(() => commit(device)).not.toThrow();
    });
  });
}
