/** Free names in state dicts, keys that are ignored or derived, and tied parameters. */
import { describe, expect, it } from "vitest";
import { openMeta } from "../../src/device/meta.js";
import { readSafetensors, writeSafetensors } from "../../src/formats/index.js";
import type { Tensor } from "../../src/graph/tensor.js";
import {
  Embedding,
  Linear,
  Module,
  ModuleList,
  parameter,
  Sequential,
  StateDictError,
  summary,
} from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { ArgumentError } from "../../src/core/errors.js";
import type { Device } from "../../src/device/device.js";
import { SGD } from "../../src/optim/index.js";
import {
  convert,
  int4WeightOnly,
  int8Dynamic,
  int8Static,
  loadQuantized,
  prepare,
  quantize,
  quantizedState,
} from "../../src/quantization/index.js";
import { jit } from "../../src/runtime/jit.js";
import { hostTensors } from "../../src/train/index.js";
import { reference as device, devices } from "../devices.js";

const linear = (on: Device = device) => new Linear(2, 2, { bias: false, device: on });
const names = (module: Module) => [...module.stateDict().keys()];

abstract class Plain extends Module {
  forward(input: Tensor): Tensor {
    return input;
  }
}

describe("stateNames", () => {
  class Names extends Plain {
    readonly trainModule = linear();
    readonly loraA = parameter(ops.ones([1], { device }));
    readonly selfAttention = linear();
    readonly attentionOutput = { dense: linear() };
    readonly blocks = [linear(), linear()];
    readonly base = new Sequential(linear());
    override stateNames() {
      return {
        trainModule: "train",
        loraA: "lora_A",
        selfAttention: "attention.self",
        attentionOutput: "attention.output",
        blocks: "",
        base: "",
        missing: "is no field of every instance",
      };
    }
  }

  it("gives any names, paths, and levels without a name", () => {
    class Nameless extends Names {
      override stateNames() {
        return { ...super.stateNames(), base: "base" };
      }
    }
    expect(names(new Nameless())).toEqual([
      "lora_A",
      "train.weight",
      "attention.self.weight",
      "attention.output.dense.weight",
      "0.weight",
      "1.weight",
      "base.0.weight",
    ]);
    expect([...new Nameless().namedModules()].map(([name]) => name)).toEqual([
      "",
      "train",
      "attention.self",
      "attention.output.dense",
      "0",
      "1",
      "base",
      "base.0",
    ]);
  });

  it("refuses two places of one name, and names both", () => {
    expect(() => names(new Names())).toThrow(
      "Names: weight of 0 (Linear) and weight of base.0 (Linear) are both 0.weight in a state dict",
    );
    class Twice extends Plain {
      readonly a = linear();
      readonly b = linear();
      override stateNames() {
        return { a: "x.y", b: "x.y" };
      }
    }
    expect(() => names(new Twice())).toThrow("Twice: the fields a and b are both x.y in a state dict");
  });

  /** A low-rank update of a linear layer whose own names stay: `weight`, `lora_A`, `lora_B`. */
  class Lora extends Module {
    readonly base: Linear;
    readonly loraA: Tensor;
    readonly loraB: Tensor;
    constructor(base: Linear) {
      super();
      this.base = base;
      const [out, inner] = base.weight.shape;
      this.loraA = parameter(ops.ones([1, inner], { device: base.weight.device }));
      this.loraB = parameter(ops.zeros([out, 1], { device: base.weight.device }));
    }
    override stateNames() {
      return { base: "", loraA: "lora_A", loraB: "lora_B" };
    }
    forward(x: Tensor): Tensor {
      return this.base.forward(x).add(ops.linear(ops.linear(x, this.loraA), this.loraB));
    }
  }

  it("a module on a level without a name keeps a name for tools, and can be quantized, saved and loaded", async () => {
    const make = (on: Device) => new Sequential(new Lora(new Linear(32, 8, { device: on })));
    const model = make(device);
    expect(names(model)).toEqual(["0.lora_A", "0.lora_B", "0.weight", "0.bias"]);
    expect([...model.namedModules()].map(([name]) => name)).toEqual(["", "0", "0.base"]);
    const x = ops.randn([3, 32], { device });
    expect(summary(model, [3, 32]).layers.map(({ name }) => name)).toEqual(["", "0", "0.base"]);
    const { layers } = await quantize(model, int8Dynamic());
    expect(layers.map(({ name }) => name)).toEqual(["0.base"]);
    const saved = await quantizedState(model);
    expect([...saved.tensors].map(([name, { dtype }]) => `${name} ${dtype}`)).toEqual([
      "0.lora_A float32",
      "0.lora_B float32",
      "0.weight int8",
      "0.scale float32",
      "0.bias float32",
    ]);
    const again = await loadQuantized(make(openMeta()), saved, device);
    expect(await again.forward(x).tolist()).toEqual(await model.forward(x).tolist());
  });
});

/** A language model whose head has the weight of its embedding, and a bias with two names, as BERT. */
class Tied extends Module {
  readonly tokens: Embedding;
  readonly body: Linear;
  readonly bias: Tensor;
  readonly head: Linear;
  constructor(on: Device = device) {
    super();
    this.tokens = new Embedding(5, 32, { device: on });
    this.body = new Linear(32, 32, { device: on });
    this.head = new Linear(32, 5, { device: on });
    this.head.weight = this.tokens.weight;
    this.bias = parameter(ops.zeros([5], { device: on }));
    this.head.bias = this.bias;
  }
  forward(tokens: Tensor): Tensor {
    return this.head.forward(ops.tanh(this.body.forward(this.tokens.forward(tokens))));
  }
}
const tokens = ops.tensor([0, 1, 4], { device, dtype: "int32" });

describe("tied parameters", () => {
  it("are one parameter, saved once, and loaded from either name", async () => {
    const model = new Tied();
    expect([...model.namedParameters().keys()]).toEqual([
      "bias",
      "tokens.weight",
      "body.weight",
      "body.bias",
    ]);
    expect(model.parameterCount()).toBe(5 + 160 + 32 * 32 + 32);
    expect(names(model)).toContain("head.weight");
    const bytes = writeSafetensors(await hostTensors(model.stateDict()));
    const { tensors } = readSafetensors(bytes);
    expect([...tensors.keys()].sort()).toEqual(["bias", "body.bias", "body.weight", "tokens.weight"]);
    await model.loadStateDict(tensors);
    const want = await model.forward(tokens).tolist();

    const renamed = new Map([...tensors].map(([name, value]) => [name.replace("tokens.", "head."), value]));
    for (const state of [tensors, renamed, new Map([...tensors, ...renamed]), model.stateDict()]) {
      const copy = new Tied();
      await copy.loadStateDict(state);
      expect(await copy.forward(tokens).tolist()).toEqual(want);
      expect(copy.head.weight).toBe(copy.tokens.weight);
      const moved = new Tied(openMeta());
      await moved.loadStateDict(state, { assign: device });
      expect(await moved.forward(tokens).tolist()).toEqual(want);
      expect(moved.head.weight).toBe(moved.tokens.weight);
    }
  });

  it("must be equal under both names, and there under one", async () => {
    const model = new Tied();
    const { tensors } = readSafetensors(writeSafetensors(await hostTensors(model.stateDict())));
    const before = await model.forward(tokens).tolist();
    const other = { ...tensors.get("tokens.weight")!, data: new Float32Array(160) };
    const error = await model.loadStateDict(new Map([...tensors, ["head.weight", other]])).catch((e) => e);
    expect(error).toBeInstanceOf(StateDictError);
    expect(error.message).toContain(
      "tokens.weight and head.weight differ, which are one tensor in the module",
    );
    expect(error.mismatched).toEqual(["tokens.weight", "head.weight"]);
    tensors.delete("tokens.weight");
    await expect(model.loadStateDict(tensors)).rejects.toThrow(/missing tokens\.weight$/);
    expect(await model.forward(tokens).tolist()).toEqual(before);
  });

  it("stay tied on another device, in steps, in jit, and count once in a summary", async () => {
    for (const { device: target } of devices) {
      const model = await new Tied().to(target);
      expect(model.head.weight).toBe(model.tokens.weight);
      const optimizer = new SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
      const input = ops.tensor([0, 1, 4], { device: target, dtype: "int32" });
      const step = jit((x: Tensor) => {
        const loss = ops.crossEntropy(model.forward(x), x);
        loss.backward();
        optimizer.step();
        return loss;
      });
      const losses: number[] = [];
      for (let i = 0; i < 4; i++) losses.push(await step(input).item());
      expect(losses[3]).toBeLessThan(losses[0]);
      expect(optimizer.stateDict().numbers.steps).toEqual([4, 4, 4, 4]);
      expect(model.head.weight).toBe(model.tokens.weight);
    }
    const table = summary(new Tied(), [3], { dtype: "int32" });
    expect(table.layers.map(({ name, parameters }) => `${name} ${parameters}`)).toEqual([
      " 5",
      "tokens 160",
      "body 1056",
      "head 0",
    ]);
    expect(table.parameters).toBe(5 + 160 + 1056);
  });

  it("of an embedding and a quantized head stay in float for the embedding", async () => {
    for (const scheme of [int8Dynamic(), int4WeightOnly()]) {
      const model = new Tied();
      const float = await model.forward(tokens).data();
      await quantize(model, scheme);
      const rounded = await model.forward(tokens).data();
      float.forEach((value, i) => {
        expect(Math.abs(value - rounded[i])).toBeLessThan(2.5);
      });
      const saved = await quantizedState(model);
      const again = await loadQuantized(new Tied(openMeta()), saved, device);
      expect(await again.forward(tokens).data()).toEqual(rounded);
    }
  });

  class Towers extends Module {
    readonly left: Linear;
    readonly right: Linear;
    readonly again: Linear;
    constructor(on: Device = device) {
      super();
      this.left = new Linear(32, 32, { device: on });
      this.right = new Linear(32, 32, { device: on });
      this.right.weight = this.left.weight;
      this.again = this.left;
    }
    forward(x: Tensor): Tensor {
      return this.again.forward(this.right.forward(this.left.forward(x)));
    }
  }

  it("of linear layers share one packed weight, through files as well", async () => {
    const x = ops.randn([4, 32], { device });
    for (const scheme of [int8Dynamic(), int4WeightOnly(), int8Static({ data: [x] })]) {
      const model = new Towers();
      const { layers } = await quantize(model, scheme);
      expect(layers.map(({ name }) => name)).toEqual(["left", "right", "again"]);
      expect(model.again).toBe(model.left);
      expect(model.right).not.toBe(model.left);
      expect(model.right.weight).toBe(model.left.weight);
      const want = await model.forward(x).tolist();
      const saved = await quantizedState(model);
      expect([...saved.tensors.keys()].filter((name) => name.endsWith("weight"))).toEqual(["left.weight"]);
      const again = await loadQuantized(new Towers(openMeta()), saved, device);
      expect(await again.forward(x).tolist()).toEqual(want);
      expect(again.right.weight).toBe(again.left.weight);
      expect(again.again).toBe(again.left);
    }
  });

  it("and a layer that quantization leaves out keep what they share", async () => {
    const x = ops.randn([4, 32], { device });
    const model = new Towers();
    const report = await quantize(model, int8Dynamic(), { filter: (name) => name === "right" });
    expect(report.layers.length).toBe(1);
    expect(model.left).toBeInstanceOf(Linear);
    expect((await model.forward(x).data()).every(Number.isFinite)).toBe(true);
    const picky = new Towers();
    await quantize(picky, int8Dynamic(), { minSnr: 1000, data: [x] });
    expect(picky.right.weight).toBe(picky.left.weight);
    expect((await picky.forward(x).data()).every(Number.isFinite)).toBe(true);
  });

  it("stay tied in training that expects quantization", async () => {
    const x = ops.randn([4, 32], { device });
    const model = new Towers();
    await prepare(model, int8Dynamic());
    expect(model.right.weight).toBe(model.left.weight);
    expect(model.again).toBe(model.left);
    const optimizer = new SGD(model.parameters(), { lr: 0.1 });
    model.forward(x).sum().backward();
    optimizer.step();
    await convert(model);
    expect(model.right.weight).toBe(model.left.weight);
    expect(model.again).toBe(model.left);
    expect((await model.forward(x).data()).every(Number.isFinite)).toBe(true);
  });
});

describe("keys that are ignored, absent or derived", () => {
  class Attention extends Plain {
    readonly proj: Linear;
    readonly mask: Tensor;
    readonly positions: Tensor;
    constructor(on: Device = device) {
      super();
      this.proj = linear(on);
      this.mask = this.registerBuffer("mask", ops.ones([2], { device: on }), { persistent: false });
      const derive = (target: Device) => ops.arange(3, { device: target });
      this.positions = this.registerBuffer("positions", derive(on), { derive });
    }
    override ignoredKeys() {
      return [/^(bias|masked_bias)$/, /^rotary_emb\.inv_freq$/];
    }
  }
  const weight = { dtype: "float32" as const, shape: [2, 2], data: new Float32Array([1, 2, 3, 4]) };
  const one = { dtype: "float32" as const, shape: [1], data: new Float32Array(1) };

  it("a module declares the patterns, tested below its own name", async () => {
    const model = new ModuleList([new Attention(), new Sequential(new Attention())]);
    expect(names(model)).toEqual(["0.proj.weight", "1.0.proj.weight"]);
    const state = new Map([
      ["0.proj.weight", weight],
      ["1.0.proj.weight", weight],
      ["0.bias", one],
      ["1.0.masked_bias", one],
      ["1.0.rotary_emb.inv_freq", one],
      ["0.positions", one],
    ]);
    const report = await model.loadStateDict(state);
    expect(report).toEqual({
      ignored: ["0.bias", "1.0.masked_bias", "1.0.rotary_emb.inv_freq", "0.positions"],
      missing: [],
    });
    state.set("0.proj.bias", one);
    await expect(model.loadStateDict(state)).rejects.toThrow(/fit: unexpected 0\.proj\.bias$/);
    state.delete("0.proj.bias");
    state.set("1.bias", one);
    await expect(model.loadStateDict(state)).rejects.toThrow(/fit: unexpected 1\.bias$/);
  });

  it("options ignore keys of the file, and let it lack keys of the module", async () => {
    const model = new ModuleList([linear(), linear()]);
    const before = await (model.modules[1] as Linear).weight.tolist();
    const state = new Map([
      ["0.weight", weight],
      ["0.position_ids", one],
    ]);
    await expect(model.loadStateDict(state, { optional: [/^1\./] })).rejects.toThrow(/unexpected 0\.pos/);
    await expect(model.loadStateDict(state, { ignore: [/position_ids$/] })).rejects.toThrow(/missing 1\./);
    const options = { ignore: [/position_ids$/g], optional: [/^1\./] };
    for (let i = 0; i < 2; i++) {
      const report = await model.loadStateDict(state, options);
      expect(report).toEqual({ ignored: ["0.position_ids"], missing: ["1.weight"] });
    }
    expect(await (model.modules[1] as Linear).weight.tolist()).toEqual(before);
    expect(await model.loadStateDict(new Map([["x", one]]), { strict: false })).toEqual({
      ignored: ["x"],
      missing: ["0.weight", "1.weight"],
    });
  });

  it("buffers that are not persistent move with the module and are computed anew after the meta device", async () => {
    const model = new Attention();
    expect([...model.namedBuffers().keys()]).toEqual(["mask", "positions"]);
    const [{ device: wasm }] = devices.filter(({ label }) => label === "wasm-simd");
    await model.to(wasm);
    expect([model.mask.device, model.positions.device]).toEqual([wasm, wasm]);
    expect(await model.mask.tolist()).toEqual([1, 1]);
    expect(await model.positions.tolist()).toEqual([0, 1, 2]);

    const onMeta = new Attention(openMeta());
    const state = new Map([["proj.weight", weight]]);
    await expect(onMeta.loadStateDict(state, { assign: device })).rejects.toThrow(
      /no values .* registerBuffer takes \{ derive \}/,
    );
    expect(onMeta.proj.weight.device.name).toBe("meta");
    class Derived extends Plain {
      readonly proj = linear(openMeta());
      readonly positions = this.registerBuffer("positions", ops.arange(3, { device: openMeta() }), {
        derive: (target) => ops.arange(3, { device: target }),
      });
    }
    const derived = new Derived();
    await derived.loadStateDict(state, { assign: device });
    expect(await derived.positions.tolist()).toEqual([0, 1, 2]);
    expect(await derived.proj.weight.tolist()).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  it("options of a buffer are checked", () => {
    class Wrong extends Plain {
      readonly x = this.registerBuffer("x", ops.ones([1], { device }), { persistant: false } as object);
    }
    expect(() => new Wrong()).toThrow(ArgumentError);
    expect(() => new Wrong()).toThrow(/did you mean persistent/);
  });
});
