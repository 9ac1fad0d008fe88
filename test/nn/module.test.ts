/** Modules: PyTorch's names, loading, freezing, moving, training and evaluation mode. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import * as nn from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { ArgumentError, DeviceError, DTypeError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";

let device: Device;
beforeAll(() => {
  device = openReference();
  nn.setDefaultDevice(device);
});
afterEach(() => nn.setDefaultDevice(device));

/** `name [extents]` of every entry, in order. */
function described(state: ReadonlyMap<string, Tensor>): string[] {
  return [...state].map(([name, { shape }]) => `${name} [${shape}]`);
}

async function values(module: nn.Module): Promise<number[][]> {
  return Promise.all([...module.stateDict().values()].map(async (tensor) => [...(await tensor.data())]));
}

describe("state dict", () => {
  it("has PyTorch's names, shapes and order", () => {
    const model = new nn.Sequential(
      new nn.Conv2d(1, 4, 3),
      new nn.BatchNorm2d(4),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Linear(4, 2),
      new nn.LayerNorm(2),
      new nn.Embedding(3, 2),
    );
    expect(described(model.stateDict())).toEqual([
      "0.weight [4,1,3,3]",
      "0.bias [4]",
      "1.weight [4]",
      "1.bias [4]",
      "1.running_mean [4]",
      "1.running_var [4]",
      "1.num_batches_tracked []",
      "4.weight [2,4]",
      "4.bias [2]",
      "5.weight [2]",
      "5.bias [2]",
      "6.weight [3,2]",
    ]);
    expect([...model.namedBuffers().keys()]).toEqual([
      "1.running_mean",
      "1.running_var",
      "1.num_batches_tracked",
    ]);
    expect(model.stateDict().get("1.num_batches_tracked")?.dtype).toBe("int32");
    expect(model.parameterCount()).toBe(36 + 4 + 8 + 8 + 2 + 4 + 6);
    expect([...model.namedModules()].map(([name]) => name)).toEqual(["", ..."0123456"]);
  });

  it("names attention's projections as torch.nn.MultiheadAttention does", () => {
    expect(described(new nn.MultiheadAttention(8, 2).stateDict())).toEqual([
      "in_proj_weight [24,8]",
      "in_proj_bias [24]",
      "out_proj.weight [8,8]",
      "out_proj.bias [8]",
    ]);
    const withoutBias = new nn.MultiheadAttention(8, 2, { bias: false });
    expect([...withoutBias.stateDict().keys()]).toEqual(["in_proj_weight", "out_proj.weight"]);
  });

  it("holds parameters and registered buffers, no other tensors, and a shared tensor under both names", () => {
    class Tied extends nn.Module {
      readonly first = new nn.Linear(3, 3, { bias: false });
      readonly second = new nn.Linear(3, 3, { bias: false });
      readonly mask = ops.ones([3], { device });
      readonly scale = ops.tensor([1, 1, 1], { device, requiresGrad: true });
      lastOutput: Tensor | undefined;
      constructor() {
        super();
        (this.second as { weight: Tensor }).weight = this.first.weight;
      }
      forward(x: Tensor): Tensor {
        this.lastOutput = this.second.forward(this.first.forward(x)).mul(this.scale).mul(this.mask);
        return this.lastOutput;
      }
    }
    const model = new Tied();
    model.forward(ops.ones([2, 3], { device })).realize();
    expect([...model.stateDict().keys()]).toEqual(["scale", "first.weight", "second.weight"]);
    expect([...model.namedParameters().keys()]).toEqual(["scale", "first.weight"]);
  });
});

describe("loadStateDict", () => {
  it("takes over another module's tensors, and host data of either float type", async () => {
    const [a, b] = [new nn.BatchNorm2d(2), new nn.BatchNorm2d(2)];
    a.forward(ops.randn([3, 2, 2, 2], { device }));
    await b.loadStateDict(a.stateDict());
    expect(await values(b)).toEqual(await values(a));
    expect((await values(b))[4]).toEqual([1]);

    const linear = new nn.Linear(2, 1);
    const load = (data: Float32Array | Float64Array) =>
      linear.loadStateDict(
        new Map([
          ["weight", { dtype: "float32", shape: [1, 2], data }],
          ["bias", { dtype: "float32", shape: [1], data: data.slice(0, 1) }],
        ]),
      );
    await load(new Float32Array([3, 4]));
    expect(await values(linear)).toEqual([[3, 4], [3]]);
    await load(new Float64Array([5, 6]));
    expect(await values(linear)).toEqual([[5, 6], [5]]);
    expect(linear.weight.requiresGrad).toBe(true);
  });

  it("lists everything that does not fit, in one error, and changes nothing", async () => {
    const model = new nn.Sequential(new nn.Linear(2, 3), new nn.Linear(3, 1));
    const before = await values(model);
    const filled = (shape: number[], length = shape.reduce((a, b) => a * b, 1)) => ({
      dtype: "float32" as const,
      shape,
      data: new Float32Array(length).fill(9),
    });
    const state = new Map([
      ["0.weight", filled([3, 2])],
      ["0.bias", filled([2])],
      ["1.weight", filled([1, 3], 2)],
      ["2.weight", filled([1])],
    ]);
    const error = await model.loadStateDict(state).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(nn.StateDictError);
    const { message, missing, unexpected, mismatched, code } = error as nn.StateDictError;
    expect(code).toBe("STATE_DICT");
    expect(missing).toEqual(["1.bias"]);
    expect(unexpected).toEqual(["2.weight"]);
    expect(mismatched).toEqual(["0.bias", "1.weight"]);
    expect(message).toBe(
      "loadStateDict: the state dict does not fit: missing 1.bias; unexpected 2.weight; " +
        "0.bias is float32 [2], not float32 [3]; 1.weight has 2 elements for shape [1, 3]",
    );
    expect(await values(model)).toEqual(before);

    // Not strict: keys may differ, shapes may not.
    await expect(model.loadStateDict(state, { strict: false })).rejects.toThrow(/0\.bias/);
    await model.loadStateDict(new Map([["0.bias", filled([3])]]), { strict: false });
    expect(await values(model)).toEqual([before[0], [9, 9, 9], before[2], before[3]]);
  });

  it("may lack optional buffers, which keep their values, and nothing else", async () => {
    const state = new nn.BatchNorm2d(2).stateDict();
    state.set("running_mean", ops.tensor([3, 4], { device }));
    state.delete("num_batches_tracked");
    const model = new nn.BatchNorm2d(2);
    model.forward(ops.zeros([1, 2, 1, 2], { device }));
    await model.loadStateDict(state);
    expect(await model.runningMean.tolist()).toEqual([3, 4]);
    expect(await model.numBatchesTracked.item()).toBe(1);
    state.delete("running_var");
    await expect(model.loadStateDict(state)).rejects.toThrow(/fit: missing running_var$/);
  });

  it("takes counters of any dtype that holds whole numbers, and weights of float32 only", async () => {
    const of = (dtype: "float32" | "uint8" | "int8", value: number) => {
      const state = new Map<string, Tensor | nn.HostValues>(new nn.BatchNorm2d(1).stateDict());
      return state.set("num_batches_tracked", ops.full([], value, { dtype, device }));
    };
    for (const dtype of ["float32", "uint8", "int8"] as const) {
      const model = new nn.BatchNorm2d(1);
      await model.loadStateDict(of(dtype, 7));
      expect(await model.numBatchesTracked.item()).toBe(7);
      expect(model.numBatchesTracked.dtype).toBe("int32");
      const moved = new nn.BatchNorm2d(1);
      await moved.loadStateDict(of(dtype, 7), { assign: device });
      expect(await moved.numBatchesTracked.item()).toBe(7);
    }
    const model = new nn.BatchNorm2d(1);
    await expect(model.loadStateDict(of("float32", 1.5))).rejects.toThrow(
      /num_batches_tracked holds what is no int32/,
    );
    const state = model.stateDict();
    state.set("weight", ops.ones([1], { dtype: "int8", device }));
    await expect(model.loadStateDict(state)).rejects.toThrow("weight is int8 [1], not float32 [1]");
    expect(await model.numBatchesTracked.item()).toBe(0);
  });
});

describe("modes", () => {
  it("train and eval reach every module", () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Sequential(new nn.Dropout(0.5)));
    const modes = () => [...model.namedModules()].map(([, module]) => module.training);
    expect(modes()).toEqual([true, true, true, true]);
    expect(model.eval()).toBe(model);
    expect(modes()).toEqual([false, false, false, false]);
    model.train();
    expect(modes()).toEqual([true, true, true, true]);
  });

  it("dropout drops in training only", async () => {
    const layer = new nn.Dropout(0.25);
    const x = ops.ones([4000], { device });
    const dropped = await layer.forward(x).data();
    const zeros = dropped.filter((value) => value === 0).length;
    // Binomial: mean 1000, standard deviation 27.
    expect(Math.abs(zeros - 1000)).toBeLessThan(5 * 28);
    expect(new Set(dropped).size).toBe(2);
    expect(Math.max(...dropped)).toBeCloseTo(4 / 3, 6);
    expect(layer.eval().forward(x)).toBe(x);
  });

  it("batch norm moves its statistics in training and uses them when evaluating", async () => {
    const layer = new nn.BatchNorm2d(1);
    const x = ops.tensor([1, 2, 3, 6], { device, shape: [2, 1, 2, 1] });
    // Mean 3, biased variance 3.5, unbiased 14/3.
    const y = await layer.forward(x).data();
    expect(y[3]).toBeCloseTo(3 / Math.sqrt(3.5 + 1e-5), 6);
    expect(await layer.runningMean.item()).toBeCloseTo(0.3, 6);
    expect(await layer.runningVar.item()).toBeCloseTo(0.9 + 0.1 * (14 / 3), 6);
    expect(await layer.numBatchesTracked.item()).toBe(1);
    const z = await layer.eval().forward(x).data();
    expect(z[3]).toBeCloseTo((6 - 0.3) / Math.sqrt(0.9 + 14 / 30 + 1e-5), 5);
    expect(await layer.numBatchesTracked.item()).toBe(1);
  });

  it("frozen parameters get no gradient and stay parameters", () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 1));
    model.modules[0].freeze();
    expect(model.parameters().length).toBe(4);
    model
      .forward(ops.ones([1, 2], { device }))
      .sum()
      .backward();
    expect(model.parameters().map(({ grad }) => grad !== undefined)).toEqual([false, false, true, true]);
    expect(
      model
        .unfreeze()
        .parameters()
        .every(({ requiresGrad }) => requiresGrad),
    ).toBe(true);
  });
});

describe("devices", () => {
  it("moves parameters and buffers with their values and frees the old memory", async () => {
    const wasm = await openWasm({ binary: "simd" });
    const model = new nn.Sequential(new nn.Linear(3, 2), new nn.BatchNorm2d(2));
    model.modules[0].freeze();
    const before = await values(model);
    const old = model.parameters()[0];
    expect(await model.to(wasm)).toBe(model);
    const state = [...model.stateDict().values()];
    expect(state.every((tensor) => tensor.device === wasm)).toBe(true);
    expect(model.parameters().map(({ requiresGrad }) => requiresGrad)).toEqual([false, false, true, true]);
    expect([...model.namedBuffers().keys()].length).toBe(3);
    expect(await values(model)).toEqual(before);
    expect(old.storage?.disposed).toBe(true);
    model.dispose();
    expect(wasm.memory().liveBuffers).toBe(0);
    wasm.close();
  });

  it("stays as it was if a copy fails", async () => {
    const model = new nn.Linear(3, 2);
    const before = [...model.stateDict().values()];
    let allowed = 1;
    const other = openReference();
    const { allocate } = other;
    const live = () => other.memory().liveBuffers;
    other.allocate = (dtype, size) => {
      if (allowed-- === 0) throw new Error("full");
      return allocate.call(other, dtype, size);
    };
    await expect(model.to(other)).rejects.toThrow("full");
    expect([...model.stateDict().values()]).toEqual(before);
    expect(before.every(({ storage }) => storage?.disposed === false)).toBe(true);
    expect(live()).toBe(0);
  });

  it("needs a device, and says how to give one", () => {
    nn.setDefaultDevice(undefined);
    expect(() => new nn.Linear(2, 2)).toThrow(DeviceError);
    expect(() => new nn.Linear(2, 2)).toThrow(/setDefaultDevice/);
    expect(new nn.Linear(2, 2, { device }).weight.device).toBe(device);
  });
});

it("refuses integer parameters and a call of a list", () => {
  expect(() => nn.parameter(ops.arange(3, { device }))).toThrow(DTypeError);
  expect(() => new nn.ModuleList([]).forward()).toThrow(ArgumentError);
});
