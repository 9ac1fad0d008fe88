/** backward() with leaves, shared nodes, repeated calls and captured functions. */
import { beforeAll, describe, expect, it } from "vitest";
import { grad } from "../../src/autograd/backward.js";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import * as ops from "../../src/ops/index.js";
import { commit } from "../../src/runtime/commit.js";
import { jit } from "../../src/runtime/jit.js";
import "../../src/ops/methods.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";

let device: Device;
beforeAll(async () => {
  device = await openReference();
});

const parameter = (values: number[]) => ops.tensor(values, { device, requiresGrad: true });

describe("backward", () => {
  it("adds up over uses and over calls", async () => {
    const x = parameter([1, 2]);
    const loss = () => x.mul(x).add(x).sum();
    loss().backward();
    expect(await x.grad!.tolist()).toEqual([3, 5]);
    loss().backward();
    loss().backward();
    expect(await x.grad!.tolist()).toEqual([9, 15]);
  });

  it("takes the gradient of an output that is not a scalar", async () => {
    const x = parameter([1, 2]);
    x.square().backward({ gradient: ops.tensor([1, 10], { device }) });
    expect(await x.grad!.tolist()).toEqual([2, 40]);
    expect(() => x.square().backward()).toThrow(/backward: the output is not a single number/);
    expect(() => x.square().backward({ gradient: ops.ones([3], { device }) })).toThrow("[3]");
  });

  it("says why there is no gradient", () => {
    const x = parameter([1, 2]);
    expect(() => x.detach().sum().backward()).toThrow(/depends on no tensor with requiresGrad/);
    expect(() => noGrad(() => x.sum()).backward()).toThrow(/noGrad/);
    expect(() => grad(x.sum(), [parameter([1])])).toThrow(/does not depend on the input of shape \[1\]/);
  });

  it("goes through graphs deeper than the call stack", async () => {
    const x = parameter([1]);
    let y: Tensor = x;
    for (let i = 0; i < 3000; i++) y = y.mul(1.0001);
    y.sum().backward();
    expect((await x.grad!.data())[0]).toBeCloseTo(1.0001 ** 3000, 4);
  });

  it("works after the loss has been read, and with a lazy tensor as parameter", async () => {
    const x = ops.arange(3, { device }).cast("float32");
    x.requiresGrad = true;
    const loss = x.square().sum();
    expect(await loss.item()).toBe(5);
    loss.backward();
    expect(await x.grad!.tolist()).toEqual([0, 2, 4]);
  });

  it("differentiates derivatives", async () => {
    const x = parameter([2]);
    const [first] = grad(x.pow(4).sum(), [x], { createGraph: true });
    const [second] = grad(first.sum(), [x], { createGraph: true });
    const [third] = grad(second.sum(), [x]);
    expect([await first.item(), await second.item(), await third.item()]).toEqual([32, 48, 48]);
  });

  it("gives gradients of intermediate tensors", async () => {
    const x = parameter([1, 2]);
    const y = x.mul(3);
    const [dy] = grad(y.square().sum(), [y]);
    expect(await dy.tolist()).toEqual([6, 12]);
  });

  it("puts the gradients of a tensor's parts together without adding whole tensors", async () => {
    const x = parameter([1, 2, 3, 4]);
    const [a, b] = x.split(2);
    a.mul(b).sum().backward();
    expect(x.grad!.node!.op.name).toBe("place");
    expect(await x.grad!.tolist()).toEqual([3, 4, 1, 2]);
    const y = parameter([1, 2, 3]);
    y.slice(0, 0, 2).add(y.slice(0, 1)).square().sum().backward();
    expect(await y.grad!.tolist()).toEqual([6, 16, 10]);
  });

  it("forgets the graph of a loss when a step flushes it", () => {
    const x = parameter([1]);
    const loss = x.square().sum();
    loss.backward();
    commit(device);
    expect(loss.node).toBeUndefined();
  });
});

describe("random", () => {
  it("repeats after manualSeed and goes on from a saved state", async () => {
    const draw = () => ops.randn([4], { device }).tolist();
    ops.manualSeed(7);
    const [first, second] = [await draw(), await draw()];
    expect(first).not.toEqual(second);
    ops.manualSeed(7);
    expect(await draw()).toEqual(first);
    const state = ops.defaultGenerator.state();
    expect(await draw()).toEqual(second);
    ops.defaultGenerator.setState(state);
    expect(await draw()).toEqual(second);
  });

  it("gives two draws in one Program different numbers", async () => {
    const a = ops.rand([8], { device });
    const b = ops.rand([8], { device });
    expect(await a.sub(b).abs().max().item()).toBeGreaterThan(0);
  });

  it("draws moments as expected", async () => {
    const x = ops.randn([4000], { device, generator: new ops.Generator(1) });
    expect(Math.abs(await x.mean().item())).toBeLessThan(0.08);
    expect(Math.abs((await x.std().item()) - 1)).toBeLessThan(0.08);
    const n = ops.randint(2, 5, [500], { device });
    expect([n.dtype, await n.min().item(), await n.max().item()]).toEqual(["int32", 2, 4]);
  });

  it("dropout has one mask forward and backward", async () => {
    const x = ops.tensor(
      Float64Array.from({ length: 64 }, () => 1),
      { device, requiresGrad: true },
    );
    const y = ops.dropout(x, 0.25);
    y.sum().backward();
    const kept = await y.data();
    expect(await x.grad!.data()).toEqual(kept);
    expect(new Set(kept).size).toBe(2);
    expect(Math.max(...kept)).toBeCloseTo(4 / 3, 6);
    expect(ops.dropout(x, 0.25, { training: false })).toBe(x);
    expect(() => ops.dropout(x, 2)).toThrow("dropout: the probability lies in 0..1, got 2");
  });

  it("a captured function draws anew at each replay, as if it had run", async () => {
    const x = ops.ones([16], { device });
    const noisy = (v: Tensor) => v.add(ops.rand([16], { device }));
    ops.manualSeed(3);
    const expected = [await noisy(x).tolist(), await noisy(x).tolist(), await noisy(x).tolist()];
    ops.manualSeed(3);
    const captured = jit(noisy);
    for (const values of expected) expect(await captured(x).tolist()).toEqual(values);
  });
});
