/** Steps are atomic: several optimizers, losses and models, and the state after a failed step. */
import { beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { BatchNorm2d, Linear, mseLoss, setDefaultDevice } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import { commit } from "../../src/runtime/commit.js";
import { overwrite } from "../../src/runtime/host_data.js";
import { sessionOf } from "../../src/runtime/session.js";
import "../../src/ops/methods.js";
import { ArgumentError, OutOfMemoryError, ShapeError, StaleTensorError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { Adam, AdamW, clipGradNorm, Optimizer, SGD, type SgdSettings } from "../../src/optim/index.js";
import { devices } from "../devices.js";

for (const { label, device } of devices) {
  const parameter = (...values: number[]) => ops.tensor(values, { device, requiresGrad: true });
  const close = async (tensor: Tensor | undefined, ...expected: number[]) => {
    const values = await tensor!.data();
    expect(values.length).toBe(expected.length);
    expected.forEach((value, i) => {
      expect(values[i]).toBeCloseTo(value, 5);
    });
  };

  describe(`several optimizers on ${label}`, () => {
    it("one loss: both use the gradients of the same weights", async () => {
      const [a, b] = [parameter(2), parameter(3)];
      const [first, second] = [new SGD([a], { lr: 0.1 }), new SGD([b], { lr: 0.1 })];
      for (let step = 0; step < 2; step++) {
        a.mul(b).sum().backward();
        first.step();
        second.step();
      }
      // (2, 3) → (1.7, 2.8) → (1.7 − 0.28, 2.8 − 0.17).
      await close(a, 1.42);
      await close(b, 2.63);
    });

    it("an adversarial pair: a gradient that waits belongs to the weights of its loss", async () => {
      // D(x) = d·x, G(z) = g·z; d minimizes d·g·z − d·x, g minimizes −d·g·z, z = 2, x = 5.
      const [d, g] = [parameter(1), parameter(0.5)];
      const [optD, optG] = [new SGD([d], { lr: 0.1 }), new SGD([g], { lr: 0.1 })];
      const fake = g.mul(2);
      d.mul(fake.detach()).sub(d.mul(5)).sum().backward();
      optD.step();
      await close(d, 1.4);
      d.mul(fake).neg().sum().backward();
      optG.step();
      await close(g, 0.5 + 0.1 * 1.4 * 2);
      // The generator's loss reached d as well, as in PyTorch: it is there until somebody uses or forgets it.
      await close(d.grad, -1);
      optD.zeroGrad();
      expect(d.grad).toBeUndefined();
    });

    it("two losses through a shared trunk, backward of both before either step", async () => {
      const [trunk, actor, critic] = [parameter(2), parameter(3), parameter(-1)];
      const optimizers = [trunk, actor, critic].map((p) => new SGD([p], { lr: 0.1 }));
      const features = trunk.mul(4);
      const [policy, value] = [features.mul(actor).sum(), features.mul(critic).square().sum()];
      policy.backward();
      value.backward();
      for (const optimizer of optimizers) optimizer.step();
      // ∂/∂trunk = 4·3 + 2·(4·2·−1)·4·−1 = 76; ∂/∂actor = 8; ∂/∂critic = 2·(−8)·8 = −128.
      await close(trunk, 2 - 7.6);
      await close(actor, 3 - 0.8);
      await close(critic, -1 + 12.8);
      expect([await policy.item(), await value.item()]).toEqual([24, 64]);
    });

    it("an independent loss computed before another model's step keeps its gradient", async () => {
      const [a, b] = [parameter(1), parameter(2)];
      const [optA, optB] = [new Adam([a], { lr: 0.1 }), new SGD([b], { lr: 0.1 })];
      const [lossA, lossB] = [a.square().sum(), b.square().sum()];
      lossA.backward();
      optA.step();
      lossB.backward();
      optB.step();
      await close(a, 0.9);
      await close(b, 1.6);
    });

    it("a parameter of two optimizers is updated by both, and each gradient once by each", async () => {
      const p = parameter(1);
      const [first, second] = [new SGD([p], { lr: 0.1 }), new SGD([p], { lr: 0.01 })];
      p.mul(3).sum().backward();
      first.step();
      first.step();
      second.step();
      second.step();
      await close(p, 1 - 0.3 - 0.03);
      // A new gradient takes the place of one that was left, and zeroGrad forgets it.
      p.mul(1).sum().backward();
      first.step();
      p.mul(2).sum().backward();
      second.step();
      await close(p, 0.67 - 0.1 - 0.02);
      first.step();
      await close(p, 0.55 - 0.2);
      p.mul(1).sum().backward();
      first.step();
      second.zeroGrad();
      second.step();
      await close(p, 0.35 - 0.1);
    });

    it("accumulating, clipping and stepping at different paces", async () => {
      const [a, b] = [parameter(3), parameter(4)];
      const [optA, optB] = [new SGD([a], { lr: 1 }), new SGD([b], { lr: 1 })];
      for (let i = 0; i < 3; i++) a.add(b).sum().backward();
      optA.step();
      await close(a, 0);
      await close(b.grad, 3);
      b.mul(4).sum().backward();
      const norm = clipGradNorm([b], 3.5);
      optB.step();
      await close(norm, 7);
      await close(b, 0.5);
    });
  });

  describe(`a step that fails on ${label}`, () => {
    /** A value that was built on weights which a step has changed since. */
    function staleValue(): Tensor {
      const p = parameter(1, 2);
      const value = p.mul(2);
      p.sum().backward();
      new SGD([p], { lr: 0.1 }).step();
      return value;
    }
    const training = () => {
      const p = parameter(1);
      const optimizer = new AdamW([p], { lr: 0.1, weightDecay: 0 });
      const step = () => {
        p.mul(2).sum().backward();
        optimizer.step();
      };
      return { p, optimizer, step };
    };

    it("by a stale assignment: it is named and forgotten, and all else goes on", async () => {
      const { p, optimizer, step } = training();
      step();
      await close(p, 0.9);
      const [target, other] = [ops.tensor([5, 5], { device }), ops.tensor([7], { device })];
      target.assign(staleValue());
      other.assign(other.add(1));
      p.mul(2).sum().backward();
      const gradient = p.grad;
      const state = optimizer.stateDict();
      expect(() => optimizer.step()).toThrow(
        /^assign: the value of a tensor of shape \[2\] cannot be computed: .*changed in place since/,
      );
      expect(p.grad).toBe(gradient);
      expect(optimizer.stateDict()).toEqual(state);
      expect(p.pending).toBeUndefined();
      await close(p, 0.9);
      await close(target, 5, 5);
      await close(other, 8);
      optimizer.step();
      await close(p, 0.8);
      // Another model on the same device.
      const { p: q, step: stepOther } = training();
      stepOther();
      await close(q, 0.9);
      commit(device);
    });

    it("by a gradient that cannot be computed: the optimizer and the shape are named", async () => {
      const [p, q] = [parameter(1, 2), parameter(5)];
      const optimizer = new AdamW([p, q], { lr: 0.1, weightDecay: 0 });
      p.grad = staleValue();
      q.grad = ops.ones([1], { device });
      expect(() => optimizer.step()).toThrow(
        /^AdamW.step: the gradient of a tensor of shape \[2\] cannot be computed/,
      );
      expect(optimizer.stateDict()).toEqual(new AdamW([p, q], { lr: 0.1 }).stateDict());
      expect(p.grad).toBeUndefined();
      await close(q.grad, 1);
      optimizer.step();
      await close(p, 1, 2);
      await close(q, 4.9);
    });

    it("by memory that a batch has taken along", async () => {
      const { p, optimizer, step } = training();
      const x = ops.tensor([3], { device });
      const loss = p.mul(x).sum();
      loss.backward();
      x.storage!.dispose();
      expect(() => optimizer.step()).toThrow(/shape \[1\] was disposed/);
      await expect(loss.item()).rejects.toThrow(StaleTensorError);
      expect(optimizer.stateDict().numbers.steps).toEqual([0]);
      step();
      await close(p, 0.9);
    });

    it("by an error in the update of one parameter", async () => {
      class Picky extends SGD {
        accepts = false;
        protected override update(...args: Parameters<SGD["update"]>) {
          if (!this.accepts && args[0].size === 2) throw new RangeError("not this one");
          return super.update(...args);
        }
      }
      const [a, b] = [parameter(1), parameter(1, 1)];
      const optimizer = new Picky([a, b], { lr: 0.5, momentum: 0.9 });
      a.mul(b).sum().backward();
      expect(() => optimizer.step()).toThrow("not this one");
      expect([a.pending, b.pending]).toEqual([undefined, undefined]);
      expect(optimizer.stateDict()).toEqual({
        tensors: new Map(),
        numbers: { lr: [0.5], steps: [0, 0] },
      });
      optimizer.accepts = true;
      optimizer.step();
      await close(a, 0);
      await close(b, 0.5, 0.5);
    });

    it("by an update of another shape, after others were planned", async () => {
      class Wrong extends Optimizer<SgdSettings> {
        protected readonly momentNames = [];
        protected createScalars() {
          return {};
        }
        protected updateScalars() {}
        protected update(parameter: Tensor) {
          return { value: parameter.size === 1 ? parameter.mul(0) : parameter.sum(), moments: [] };
        }
      }
      const [a, b] = [parameter(1), parameter(1, 1)];
      const settings = { lr: 1, momentum: 0, dampening: 0, nesterov: false, weightDecay: 0 };
      a.mul(b).sum().backward();
      expect(() => new Wrong([a, b], settings).step()).toThrow(ShapeError);
      await close(a, 1);
      new SGD([a, b], { lr: 0.5 }).step();
      await close(a, 0);
    });

    it("of parameters that were disposed or moved", () => {
      const p = parameter(1);
      const optimizer = new SGD([p, parameter(2)], { lr: 0.1 });
      p.dispose();
      expect(() => optimizer.step()).toThrow(/^SGD.step: a parameter of shape \[1\] was disposed .*model.to/);
    });

    it("a model that goes while running statistics and losses wait takes nothing along", async () => {
      const norm = new BatchNorm2d(2, { device });
      norm
        .forward(ops.ones([2, 2, 1, 1], { device }))
        .square()
        .sum()
        .backward();
      norm.dispose();
      const { p, step } = training();
      step();
      await close(p, 0.9);
      expect(sessionOf(device).pending.size).toBe(0);
    });
  });

  describe(`around a step on ${label}`, () => {
    it("gradients set by hand, of the wrong kind, and of other weights", async () => {
      const [p, q] = [parameter(1, 2), parameter(3, 4)];
      expect(() => {
        p.grad = ops.ones([3], { device });
      }).toThrow("grad: the gradient is float32 [3], its tensor float32 [2]");
      expect(() => {
        p.grad = ops.ones([2], { device, dtype: "int32" });
      }).toThrow(ShapeError);
      q.grad = p.mul(10);
      p.grad = ops.ones([2], { device });
      new SGD([p], { lr: 1 }).step();
      new SGD([q], { lr: 0.1 }).step();
      await close(q, 2, 2);
    });

    it("a parameter that no loss uses, and one that was frozen between backward and step", async () => {
      const [used, unused] = [parameter(1), parameter(2)];
      const optimizer = new Adam([used, unused], { lr: 0.1 });
      used.sum().backward();
      used.requiresGrad = false;
      optimizer.step();
      await close(used, 0.9);
      await close(unused, 2);
      expect(optimizer.stateDict().numbers.steps).toEqual([1, 0]);
      expect(() => used.sum().backward()).toThrow(ArgumentError);
    });

    it("copies of a parameter: a clone keeps the value, detach shares the memory, a lazy value is refused", async () => {
      const p = parameter(1, 2);
      const [clone, shared, lazy] = [p.clone(), p.detach(), p.mul(1)];
      p.sum().backward();
      new SGD([p], { lr: 1 }).step();
      await close(clone, 1, 2);
      await close(shared, 0, 1);
      await expect(lazy.data()).rejects.toThrow(StaleTensorError);
    });

    it("an average of the weights by assign", async () => {
      const p = parameter(0);
      const optimizer = new SGD([p], { lr: 1 });
      const average = p.detach().clone();
      let expected = 0;
      for (let i = 1; i <= 20; i++) {
        p.neg().sum().backward();
        optimizer.step();
        average.assign(average.mul(0.9).add(p.mul(0.1)));
        expected = 0.9 * expected + 0.1 * i;
      }
      await close(average, expected);
      // Used before it is written, read after the step that writes it.
      average.assign(average.mul(2));
      const twice = average.add(1);
      p.sum().backward();
      optimizer.step();
      await close(twice, 2 * expected + 1);
      await close(average.detach(), 2 * expected);
    });

    it("gradients of old weights meet new ones by loadStateDict, as in PyTorch", async () => {
      const model = new Linear(1, 1, { device });
      overwrite(model.weight, Float32Array.of(2));
      overwrite(model.bias!, Float32Array.of(0));
      const optimizer = new SGD(model.parameters(), { lr: 0.1 });
      mseLoss(model.forward(ops.ones([1, 1], { device })), ops.zeros([1, 1], { device })).backward();
      await model.loadStateDict(new Map([...model.stateDict()].map(([name, t]) => [name, t.mul(10)])));
      optimizer.step();
      await close(model.weight, 20 - 0.4);
      await model.loadStateDict(model.stateDict());
      await close(model.weight, 19.6);
    });

    it("1,000 forwards of batch norm without a step, and statistics used while they wait", async () => {
      const norm = new BatchNorm2d(1, { device });
      for (let i = 0; i < 1000; i++) {
        const x = ops.tensor([i % 2, 2], { device, shape: [2, 1, 1, 1] });
        norm.forward(x);
        x.dispose();
      }
      const y = norm.eval().forward(ops.zeros([1, 1, 1, 1], { device }));
      expect(await norm.numBatchesTracked.item()).toBe(1000);
      let mean = 0;
      for (let i = 0; i < 1000; i++) mean = 0.9 * mean + 0.1 * (((i % 2) + 2) / 2);
      await close(norm.runningMean, mean);
      const spread = await norm.runningVar.item();
      await close(y, -mean / Math.sqrt(spread + 1e-5));
    });

    it("gradients of inputs without any step hold nothing back", async () => {
      const w = ops.tensor([2], { device });
      for (let i = 0; i < 40; i++) {
        const x = parameter(i);
        w.mul(x).square().sum().backward();
        await close(x.grad, 8 * i);
      }
      const { roots, differentiated } = sessionOf(device);
      expect(Math.max(roots.size, differentiated.size)).toBeLessThanOrEqual(9);
    });
  });
}

describe("memory that runs short in a step", () => {
  let device: Device;
  let allowed: number;
  beforeAll(() => {
    device = openReference();
    setDefaultDevice(undefined);
    const { allocate } = device;
    device.allocate = (dtype, size) => {
      if (allowed-- <= 0) throw new OutOfMemoryError("full", { device: device.name });
      return allocate.call(device, dtype, size);
    };
  });

  it("changes nothing, whichever buffer is missing, and the step can be made again", async () => {
    allowed = 100;
    const parameters = [1, 2].map((value) => ops.tensor([value, value], { device, requiresGrad: true }));
    const optimizer = new Adam(parameters, { lr: 0.1 });
    const loss = parameters[0].mul(parameters[1]).sum();
    loss.backward();
    const live = device.memory().liveBuffers;
    // Two moments each, and the loss.
    for (let i = 0; i < 5; i++) {
      allowed = i;
      expect(() => optimizer.step()).toThrow(OutOfMemoryError);
      expect(device.memory().liveBuffers).toBe(live);
      expect(optimizer.stateDict()).toEqual({ tensors: new Map(), numbers: { lr: [0.1], steps: [0, 0] } });
      expect(parameters.every(({ grad, pending }) => grad !== undefined && pending === undefined)).toBe(true);
    }
    allowed = 5;
    optimizer.step();
    expect(await parameters[0].tolist()).toEqual([0.9, 0.9].map((value) => expect.closeTo(value, 6)));
    expect(await loss.item()).toBe(4);
  });
});
