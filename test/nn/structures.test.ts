/** Modules whose forward takes and returns structures: in Sequential, jit, summary, profile, cost and quantization. */
import { describe, expect, expectTypeOf, it } from "vitest";
import type { Tensor } from "../../src/graph/tensor.js";
import { BatchNorm2d, Conv2d, Linear, Module, Sequential, summary } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { openMeta } from "../../src/device/meta.js";
import { cost, profile } from "../../src/profile/index.js";
import { int8Dynamic, int8Static, prepare, QuantizedLayer, quantize } from "../../src/quantization/index.js";
import { jit } from "../../src/runtime/jit.js";
import { devices } from "../devices.js";

type Options = {
  readonly mask?: Tensor;
  readonly mode?: "plain" | "double";
  readonly keepHidden?: boolean;
};
type Output = {
  readonly logits: Tensor;
  readonly hidden: Tensor[];
  readonly loss: null;
  readonly mode: string;
  readonly layers: number;
};

class Encoder extends Module {
  readonly layers: Linear[];
  readonly head: Sequential<{ x: Tensor }, { logits: Tensor }>;

  constructor(device: (typeof devices)[number]["device"]) {
    super();
    this.layers = [new Linear(8, 8, { device }), new Linear(8, 8, { device })];
    this.head = new Sequential(new Unwrap(), new Linear(8, 3, { device }), new Wrap());
  }

  forward(x: Tensor, { mask, mode = "plain", keepHidden = true }: Options = {}): Output {
    const hidden: Tensor[] = [];
    let value = mask ? x.mul(mask) : x;
    for (const layer of this.layers) {
      value = layer.forward(value).tanh();
      if (keepHidden) hidden.push(value);
    }
    if (mode === "double") value = value.mul(2);
    const { logits } = this.head.forward({ x: value });
    return { logits, hidden, loss: null, mode, layers: this.layers.length };
  }
}

class Unwrap extends Module<[{ x: Tensor }], Tensor> {
  forward({ x }: { x: Tensor }): Tensor {
    return x;
  }
}

class Wrap extends Module {
  forward(logits: Tensor): { logits: Tensor } {
    return { logits };
  }
}

describe.each(devices)("$label", ({ device }) => {
  const x = ops.tensor([1, 2, 3, 4, 5, 6, 7, 8], { device, shape: [1, 8] });
  const mask = ops.tensor([1, 0, 1, 0, 1, 0, 1, 0], { device });

  it("forward in jit: structures in, structures out", async () => {
    const model = new Encoder(device);
    const f = jit((input: Tensor, options: Options) => model.forward(input, options));
    for (let i = 0; i < 2; i++) {
      for (const options of [{}, { mask }, { mask, mode: "double" as const }, { keepHidden: false }]) {
        const want = model.forward(x, options);
        const got = f(x, options);
        expect(await got.logits.tolist()).toEqual(await want.logits.tolist());
        expect(got.hidden.length).toBe(want.hidden.length);
        expect([got.loss, got.mode, got.layers]).toEqual([null, want.mode, 2]);
      }
    }
  });

  it("profile and cost compute everything in the structure", async () => {
    const model = new Encoder(device);
    const { flops } = await cost(device, () => model.forward(x, { mask }));
    expect(flops).toBeGreaterThanOrEqual(2 * (2 * 64 + 24));
    const hiddenOnly = await cost(device, () => ({ deep: [model.forward(x).hidden[0], "text", null] }));
    expect(hiddenOnly.flops).toBeLessThan(flops);
    expect(hiddenOnly.flops).toBeGreaterThanOrEqual(128);
    const { modules } = await profile(device, () => model.forward(x, { mask }), { model, repetitions: 1 });
    expect(modules.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["layers.0", "layers.1", "head.1"]),
    );
  });

  it("summary takes all arguments of forward", () => {
    const model = new Encoder(device);
    const plain = summary(model, [4, 8]);
    expect(plain.layers.map(({ name, output }) => `${name} ${output}`)).toEqual([
      " 4,3",
      "layers.0 4,8",
      "layers.1 4,8",
      "head 4,3",
      "head.0 4,8",
      "head.1 4,3",
      "head.2 4,3",
    ]);
    const options = { mask: { dtype: "float32" as const, shape: [8] }, mode: "double", keepHidden: true };
    const full = summary(model, [[4, 8], options]);
    expect(full.input).toEqual([4, 8]);
    expect(full.flops).toBeGreaterThan(plain.flops);
    expect(() => summary(model, [[4, 9], {}])).toThrow(/9/);
  });

  it("is calibrated and quantized", async () => {
    const batches = [0, 1].map((seed) => ({ inputs: ops.randn([4, 8], { device }).add(seed), mask }));
    const forward = (model: Module, batch: (typeof batches)[number]) =>
      model.forward(batch.inputs, { mask: batch.mask });
    for (const scheme of [int8Dynamic(), int8Static({ data: batches, forward })]) {
      const model = new Encoder(device);
      const want = await model.forward(x, { mask }).logits.data();
      const report = await quantize(model, scheme, { minSnr: -100, data: batches, forward });
      expect(report.layers.map(({ name, snr }) => [name, Number(snr) > 20])).toEqual([
        ["layers.0", true],
        ["layers.1", true],
        ["head.1", true],
      ]);
      expect(model.layers[0]).toBeInstanceOf(QuantizedLayer);
      const got = await model.forward(x, { mask }).logits.data();
      got.forEach((value, i) => {
        expect(Math.abs(value - want[i])).toBeLessThan(0.1);
      });
    }
    // Without `forward` a record is what the model is given.
    await expect(quantize(new Encoder(device), int8Static({ data: batches }))).rejects.toThrow(/tensor/);
  });

  it("batch norms are folded where a structure shows what they belong to", async () => {
    class Blocks extends Module {
      readonly conv = new Conv2d(1, 2, 1, { device });
      readonly bn = new BatchNorm2d(2, { device });
      forward({ image }: { image: Tensor }): { out: { maps: Tensor[] } } {
        return { out: { maps: [this.bn.forward(this.conv.forward(image))] } };
      }
    }
    const image = ops.randn([1, 1, 4, 4], { device });
    const { folded } = await quantize(new Blocks(), int8Dynamic(), { data: [{ image }] });
    expect(folded).toEqual(["bn"]);
    const model = new Blocks();
    await prepare(model, int8Dynamic(), {
      data: [[image]],
      forward: (blocks, [first]) => blocks.forward({ image: first }),
    });
    expect(model.conv).not.toBeInstanceOf(Conv2d);
    expect(model.bn).not.toBeInstanceOf(BatchNorm2d);
  });
});

it("types", () => {
  const device = openMeta();
  const model = new Encoder(device);
  expectTypeOf(model.forward).returns.toEqualTypeOf<Output>();
  expectTypeOf(model).toExtend<Module>();
  expectTypeOf(model).toExtend<Module<[Tensor, Options?], Output>>();
  expectTypeOf(new Linear(1, 1, { device })).toExtend<Module<[Tensor], Tensor>>();
  expectTypeOf<Wrap>().not.toExtend<Module<[Tensor], Tensor>>();
  expectTypeOf(new Sequential(new Linear(1, 1, { device })).forward).returns.toEqualTypeOf<Tensor>();
  const any: Module = model;
  expectTypeOf(any.forward).returns.toBeAny();
});
