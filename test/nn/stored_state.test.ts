/** State dicts with values in a file: read in pieces into existing tensors, or into new ones on another device. */
import { describe, expect, it } from "vitest";
import { type DType, newArray } from "../../src/core/dtype.js";
import { FormatError } from "../../src/core/errors.js";
import { openMeta } from "../../src/device/meta.js";
import { openReference } from "../../src/device/reference/reference.js";
import type { StoredTensor } from "../../src/formats/host.js";
import * as nn from "../../src/nn/index.js";
import { devices } from "../devices.js";

/** A tensor of ascending numbers in pieces of three, which may end early with an error; notes how often it is read. */
function stored(dtype: DType, shape: number[], first: number, failsAt = Number.POSITIVE_INFINITY) {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = newArray(dtype, size).map((_, i) => first + i);
  let reads = 0;
  const tensor: StoredTensor = {
    dtype,
    shape,
    async data() {
      reads++;
      return data.slice();
    },
    async *pieces() {
      reads++;
      const piece = newArray(dtype, 3);
      for (let at = 0; at < size; at += piece.length) {
        if (at >= failsAt) throw new FormatError("the file ends");
        piece.set(data.subarray(at, at + piece.length));
        yield piece.subarray(0, Math.min(piece.length, size - at));
      }
    },
  };
  return Object.assign(tensor, { reads: () => reads });
}

const linear = () => ({ weight: stored("float32", [2, 5], 1), bias: stored("float32", [2], 20) });
const asMap = (state: Record<string, StoredTensor>) => new Map(Object.entries(state));
const values = async (module: nn.Module) =>
  Promise.all([...module.stateDict().values()].map(async (tensor) => [...(await tensor.data())]));
const wanted = [
  [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  [20, 21],
];

describe.each(devices)("values of a file: $label", ({ device }) => {
  it("are written into the module's own tensors, of which lazy results go stale", async () => {
    const model = new nn.Linear(5, 2, { device });
    const { weight } = model;
    const lazy = weight.sum();
    await model.loadStateDict(asMap(linear()));
    expect(model.weight).toBe(weight);
    expect(await values(model)).toEqual(wanted);
    await expect(lazy.item()).rejects.toThrow(/changed|stale/i);
  });

  it("are written into new tensors for a model of the meta device", async () => {
    const before = device.memory();
    const model = new nn.Linear(5, 2, { device: openMeta() });
    model.bias!.requiresGrad = false;
    await model.loadStateDict(asMap(linear()), { assign: device });
    expect(await values(model)).toEqual(wanted);
    expect(model.parameters().map(({ requiresGrad }) => requiresGrad)).toEqual([true, false]);
    expect(device.memory().allocations - before.allocations).toBe(2);
    model.dispose();
    expect(device.memory().liveBuffers).toBe(before.liveBuffers);
  });

  it("that do not fit are not read, and nothing changes", async () => {
    const model = new nn.Linear(5, 2, { device });
    const before = await values(model);
    const state = { ...linear(), bias: stored("float32", [3], 0) };
    await expect(model.loadStateDict(asMap(state))).rejects.toThrow("bias is float32 [3], not float32 [2]");
    await expect(model.loadStateDict(asMap(linear()).set("x", state.bias))).rejects.toThrow("unexpected x");
    expect([state.weight.reads(), state.bias.reads()]).toEqual([0, 0]);
    expect(await values(model)).toEqual(before);
  });

  it("that cannot be read midway leave a module as it was, if it gets new tensors", async () => {
    const { liveBuffers } = device.memory();
    const model = new nn.Linear(5, 2, { device: openMeta() });
    const before = [...model.stateDict().values()];
    const state = { bias: linear().bias, weight: stored("float32", [2, 5], 1, 6) };
    await expect(model.loadStateDict(asMap(state), { assign: device })).rejects.toThrow(FormatError);
    expect([...model.stateDict().values()]).toEqual(before);
    expect(device.memory().liveBuffers).toBe(liveBuffers);
  });

  it("that cannot be read midway leave those before them in the module's own tensors", async () => {
    const model = new nn.Linear(5, 2, { device });
    const [weight] = await values(model);
    const state = { bias: linear().bias, weight: stored("float32", [2, 5], 1, 6) };
    await expect(model.loadStateDict(asMap(state))).rejects.toThrow(FormatError);
    expect(await values(model)).toEqual([[1, 2, 3, 4, 5, 6, ...weight.slice(6)], wanted[1]]);
  });

  it("of another dtype are converted before anything is written", async () => {
    const model = new nn.BatchNorm2d(2, { device });
    const state = new Map<string, nn.StateValue>(new nn.BatchNorm2d(2, { device }).stateDict());
    await model.loadStateDict(state.set("num_batches_tracked", stored("float32", [], 7)));
    expect(await model.numBatchesTracked.item()).toBe(7);
    state.set("num_batches_tracked", stored("float32", [], 1.5));
    state.set("weight", stored("float32", [2], 3));
    await expect(model.loadStateDict(state)).rejects.toThrow(/num_batches_tracked holds what is no int32/);
    expect(await model.weight!.tolist()).toEqual([1, 1]);
  });
});

it("a tensor held under two names is copied once and stays one", async () => {
  class Tied extends nn.Module {
    readonly a = new nn.Linear(2, 2, { bias: false, device: openMeta() });
    readonly b = new nn.Linear(2, 2, { bias: false, device: openMeta() });
    constructor() {
      super();
      (this.b as { weight: unknown }).weight = this.a.weight;
    }
    forward(x: Parameters<nn.Linear["forward"]>[0]) {
      return this.b.forward(this.a.forward(x));
    }
  }
  const device = openReference();
  const model = new Tied();
  const weight = stored("float32", [2, 2], 1);
  await model.loadStateDict(new Map([["b.weight", weight]]), { assign: device, strict: false });
  expect(model.a.weight).toBe(model.b.weight);
  expect(await model.a.weight.tolist()).toEqual([
    [1, 2],
    [3, 4],
  ]);
  expect(device.memory().allocations).toBe(1);

  // Files may hold both: they are compared, and one is loaded.
  const both = (other: StoredTensor) =>
    new Map<string, StoredTensor>([
      ["a.weight", stored("float32", [2, 2], 5)],
      ["b.weight", other],
    ]);
  const whole = { dtype: "float32", shape: [2, 2], data: Float32Array.of(5, 6, 7, 8) } as const;
  await model.loadStateDict(both(stored("float32", [2, 2], 5)));
  expect(await model.a.weight.tolist()).toEqual([
    [5, 6],
    [7, 8],
  ]);
  await model.loadStateDict(
    new Map<string, nn.StateValue>(both(stored("float32", [2, 2], 5))).set("b.weight", whole),
  );
  await expect(model.loadStateDict(both(stored("float32", [2, 2], 6)))).rejects.toThrow(
    /a\.weight and b\.weight differ/,
  );
});
