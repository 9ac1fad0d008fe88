/** Gradients of changed tensors, after a step, and of pending values; modes around functions. */
import { describe, expect, expectTypeOf, it } from "vitest";
import { grad } from "../../src/autograd/backward.js";
import * as ops from "../../src/ops/index.js";
import { overwrite } from "../../src/runtime/host_data.js";
import { realize } from "../../src/runtime/realize.js";
import { sessionOf } from "../../src/runtime/session.js";
import "../../src/ops/methods.js";
import { ArgumentError, ShapeError, StaleTensorError } from "../../src/core/errors.js";
import { currentScope, enterScope, inScope } from "../../src/graph/scope.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import { SGD } from "../../src/optim/index.js";
import { cost } from "../../src/profile/cost.js";
import { devices } from "../devices.js";

for (const { label, device } of devices) {
  const parameter = (...values: number[]) => ops.tensor(values, { device, requiresGrad: true });
  const sgd = (...parameters: Tensor[]) => new SGD(parameters, { lr: 0.5 });
  /** A step that moves every element by −0.5. */
  const step = (p: Tensor) => {
    p.sum().backward();
    sgd(p).step();
  };

  describe(`gradients that are read one by one on ${label}`, () => {
    it("are computed once, together", async () => {
      const layers = Array.from({ length: 8 }, (_, i) => parameter(1 + i / 10, 2));
      const model = () =>
        layers.reduce((x, layer) => x.mul(layer).sin(), ops.tensor([0.5, 0.25], { device }));
      const spent = async (work: () => Promise<unknown>) => (await cost(device, work)).flops;
      const together = await spent(async () => {
        model().sum().backward();
        realize(layers.map(({ grad }) => grad!));
      });
      const expected = await Promise.all(layers.map(async ({ grad }) => [...(await grad!.data())]));
      for (const layer of layers) layer.grad = undefined;
      const values: number[][] = [];
      const oneByOne = await spent(async () => {
        model().sum().backward();
        for (const { grad } of layers) values.push([...(await grad!.data())]);
      });
      expect(values).toEqual(expected);
      expect(oneByOne).toBe(together);
      sgd(...layers).step();
      expect((await layers[7].data())[1]).toBeCloseTo(2 - 0.5 * expected[7][1], 5);
    });

    it("are computed although another one never can be", async () => {
      const [p, q, r] = [parameter(3), parameter(5), parameter(2)];
      p.mul(r).sum().backward();
      q.square().sum().backward();
      r.storage!.noteChange();
      expect(await q.grad!.item()).toBe(10);
      await expect(p.grad!.item()).rejects.toThrow(StaleTensorError);
      sessionOf(device).abandon();
    });
  });

  describe(`backward after a step on ${label}`, () => {
    it("through weights that the gradient reads is refused, whether the loss was read or not", async () => {
      for (const isRead of [true, false]) {
        const [p, q] = [parameter(3), parameter(5)];
        const loss = p.mul(q).square().sum();
        if (isRead) expect(await loss.item()).toBe(225);
        step(p);
        expect(() => loss.backward()).toThrow(
          /^backward: a tensor of shape \[1\] .* changed in place .*compute the loss again/,
        );
        expect(() => grad(loss, [q])).toThrow(/^grad: /);
        expect([p.grad, q.grad]).toEqual([undefined, undefined]);
        // Nothing is left behind, and the loss can be computed again.
        expect(sessionOf(device).roots.size).toBe(0);
        p.mul(q).square().sum().backward();
        expect(await q.grad!.item()).toBe(2 * 2.5 * 5 * 2.5);
      }
    });

    it("is right where the gradient does not read them, as in PyTorch", async () => {
      const [p, q] = [parameter(3), parameter(5)];
      const [sum, product] = [p.add(q).sum(), p.mul(2).mul(q).sum()];
      expect([await sum.item(), await product.item()]).toEqual([8, 30]);
      step(q);
      // ∂(p + q)/∂p reads nothing; ∂(2pq)/∂p reads q.
      sum.backward();
      expect(await p.grad!.item()).toBe(1);
      expect(await sum.item()).toBe(8);
      expect(() => product.backward()).toThrow(StaleTensorError);
      expect(await p.grad!.item()).toBe(1);
    });

    it("sees an output that the gradient reads and somebody has overwritten", async () => {
      const p = parameter(0);
      const y = p.exp();
      expect(await y.item()).toBe(1);
      const loss = y.sum();
      overwrite(y, Float32Array.of(7));
      expect(() => loss.backward()).toThrow(StaleTensorError);
    });

    it("of the loss that the step used is refused, and of what was computed from it", async () => {
      const p = parameter(3);
      const loss = p.square().sum();
      const scaled = loss.mul(2);
      loss.backward();
      sgd(p).step();
      expect(await loss.item()).toBe(9);
      for (const late of [loss, scaled, loss.mul(2)]) {
        expect(() => late.backward()).toThrow(
          /^backward: the graph of the loss of shape \[\] was given up by the step .*compute the loss again/,
        );
      }
      expect([loss.grad, p.grad]).toEqual([undefined, undefined]);
    });

    it("twice before the step adds the gradients twice", async () => {
      const p = parameter(3);
      const loss = p.square().sum();
      loss.backward();
      loss.backward();
      expect(await p.grad!.item()).toBe(12);
      loss.backward();
      sgd(p).step();
      expect(await p.item()).toBe(3 - 9);
    });

    it("fails as a whole: no gradient is half added", async () => {
      const [p, q] = [parameter(1), parameter(2)];
      p.mul(q).sum().backward();
      const before = [p.grad, q.grad];
      const bad = ops.ones([3], { device });
      expect(() => p.mul(q).backward({ gradient: bad })).toThrow(ShapeError);
      expect([p.grad, q.grad]).toEqual(before);
      expect(await q.grad!.item()).toBe(1);
    });
  });

  describe(`while an assigned value waits on ${label}`, () => {
    it("first, second and third derivatives are those of the new value", async () => {
      const p = parameter(1);
      p.assign(ops.tensor([2], { device }));
      const [first] = grad(p.mul(p).mul(p).mul(p).sum(), [p], { createGraph: true });
      const [second] = grad(first.sum(), [p], { createGraph: true });
      const [third] = grad(second.sum(), [p]);
      expect([await first.item(), await second.item(), await third.item()]).toEqual([32, 48, 48]);
    });

    it("also of a lazy value that depends on the old one, and after another assignment", async () => {
      const p = parameter(1);
      p.assign(p.add(1));
      const y = p.pow(3).sum();
      p.assign(p.add(1));
      const z = p.pow(3).sum();
      const [dy] = grad(y, [p], { createGraph: true });
      const [dz] = grad(z, [p], { createGraph: true });
      expect([await dy.item(), await dz.item()]).toEqual([12, 27]);
      expect(await grad(dy.sum(), [p])[0].item()).toBe(12);
      expect(await grad(dz.sum(), [p])[0].item()).toBe(18);
      // Written by a read, p and what was built on its value go on together.
      expect(await p.item()).toBe(3);
      expect(await z.item()).toBe(27);
    });

    it("a gradient penalty trains", async () => {
      // |∂(w·x³)/∂x| − 1 squared, at x = 1: (3w − 1)², whose derivative is 6(3w − 1).
      const [w, x] = [parameter(1), parameter(1)];
      const optimizer = new SGD([w], { lr: 0.01 });
      let expected = 1;
      for (let i = 0; i < 3; i++) {
        const [slope] = grad(w.mul(x.pow(3)).sum(), [x], { createGraph: true });
        slope.sub(1).square().sum().backward();
        optimizer.step();
        x.grad = undefined;
        expected -= 0.01 * 6 * (3 * expected - 1);
        expect(await w.item()).toBeCloseTo(expected, 5);
      }
    });
  });
}

describe("modes around functions", () => {
  const [{ device }] = devices;
  const w = ops.tensor([1], { device, requiresGrad: true });
  const later = async () => {
    await null;
    throw new Error("must not be unhandled");
  };

  it("an async function or a generator is refused, and the mode is as before", () => {
    // TypeScript asks for an argument more, which nobody has.
    expectTypeOf<Parameters<typeof noGrad<Promise<never>>>["length"]>().toEqualTypeOf<2>();
    expectTypeOf<Parameters<typeof noGrad<Tensor>>["length"]>().toEqualTypeOf<1>();
    expect(() => (noGrad as (fn: () => unknown) => unknown)(later)).toThrow(/^noGrad: the function is async/);
    expect(() =>
      noGrad(function* () {
        yield w.mul(2);
      }),
    ).toThrow(ArgumentError);
    expect(() => inScope("layer", later)).toThrow(ArgumentError);
    expect(currentScope()).toBeUndefined();
    expect(w.mul(2).requiresGrad).toBe(true);
    expect(noGrad(() => w.mul(2)).requiresGrad).toBe(false);
  });

  it("scopes over awaits may end in any order", () => {
    const [leaveFirst, leaveSecond] = [enterScope("first"), enterScope("second")];
    leaveFirst();
    expect(currentScope()).toBe("second");
    leaveSecond();
    leaveSecond();
    expect(currentScope()).toBeUndefined();
  });

  it("two counts of cost at once both see everything, and end", async () => {
    const x = ops.ones([4], { device });
    const work = async () => {
      await null;
      x.mul(2).realize();
      await null;
      await null;
      x.mul(3).realize();
    };
    const [first, second] = await Promise.all([
      cost(device, async () => {
        await null;
        x.mul(4).realize();
      }),
      cost(device, work),
    ]);
    const runs = ({ programs }: typeof first) => programs.reduce((sum, each) => sum + each.runs, 0);
    expect(runs(first)).toBeGreaterThanOrEqual(1);
    expect(runs(second)).toBe(3);
    expect(sessionOf(device).observers.size).toBe(0);
  });
});
