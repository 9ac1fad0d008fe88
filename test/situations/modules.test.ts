/** Modules in arrays, Maps and records, changed later, or hidden; with PyTorch's names. */
import { describe, expect, it } from "vitest";
import {
  BatchNorm2d,
  Dropout,
  LayerNorm,
  Linear,
  Module,
  parameter,
  Sequential,
} from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { ArgumentError } from "../../src/core/errors.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import { Adam, SGD } from "../../src/optim/index.js";
import { int8Dynamic, quantize } from "../../src/quantization/index.js";
import { reference as device, devices } from "../devices.js";

const linear = (size = 2) => new Linear(size, size, { bias: false, device });
const names = (module: Module) => [...module.stateDict().keys()];
const x = ops.ones([1, 2], { device });

abstract class Plain extends Module {
  forward(input: Tensor): Tensor {
    return input;
  }
}

describe("modules and parameters in containers", () => {
  class Net extends Plain {
    readonly layers = [linear(), new Dropout(0.5), [linear()]];
    readonly heads = { a: linear(), deep: { b: linear() } };
    readonly byName = new Map<string | number, Module>([
      ["first", linear()],
      [2, linear()],
    ]);
    readonly scales = [parameter(ops.ones([3], { device }))];
    readonly settings = { width: 3, names: ["a", "b"], device, self: undefined as unknown };
  }

  it("have PyTorch's names, in order", () => {
    const net = new Net();
    net.settings.self = net.settings;
    expect(names(net).sort()).toEqual([
      "by_name.2.weight",
      "by_name.first.weight",
      "heads.a.weight",
      "heads.deep.b.weight",
      "layers.0.weight",
      "layers.2.0.weight",
      "scales.0",
    ]);
    expect(net.parameters().length).toBe(7);
    expect([...net.namedModules()].map(([name]) => name)).toContain("layers.1");
  });

  it("are trained, switched, loaded, moved and replaced like those in fields", async () => {
    const net = new Net();
    net.eval();
    expect(net.layers[1]).toMatchObject({ training: false });
    const [{ device: other }] = devices.filter(({ label }) => label !== "reference");
    const copy = await new Net().to(other);
    expect(copy.parameters().every((p) => p.device === other)).toBe(true);
    expect((copy.layers[0] as Linear).weight.device).toBe(other);
    await copy.loadStateDict(net.stateDict());
    expect(await copy.heads.deep.b.weight.tolist()).toEqual(await net.heads.deep.b.weight.tolist());
    const replacement = linear();
    net.replaceChild("layers.2.0", replacement);
    expect((net.layers[2] as Module[])[0]).toBe(replacement);
    net.replaceChild("by_name.first", replacement);
    expect(net.byName.get("first")).toBe(replacement);
    expect(() => net.replaceChild("layers.9", replacement)).toThrow(ArgumentError);
    net.scales[0].sum().backward();
    new SGD(net.parameters(), { lr: 1 }).step();
    expect(await net.scales[0].tolist()).toEqual([0, 0, 0]);
  });

  it("are seen when they are added, replaced and deleted later", () => {
    const net = new Net();
    net.layers.push(linear());
    expect(names(net)).toContain("layers.3.weight");
    net.layers.length = 0;
    net.byName.delete("first");
    (net as { extra?: Module }).extra = linear();
    expect(names(net)).toEqual(
      ["heads.a.weight", "heads.deep.b.weight", "by_name.2.weight", "scales.0", "extra.weight"].sort(byOrder),
    );
    (net as { extra?: Module }).extra = undefined;
    expect(names(net)).not.toContain("extra.weight");
  });
  const order = ["scales.0", "heads.a.weight", "heads.deep.b.weight", "by_name.2.weight", "extra.weight"];
  const byOrder = (a: string, b: string) => order.indexOf(a) - order.indexOf(b);

  it("are quantized", async () => {
    class Stack extends Module {
      readonly layers = [linear(8), linear(8)];
      forward(input: Tensor): Tensor {
        return this.layers.reduce((value, layer) => layer.forward(value), input);
      }
    }
    const { layers } = await quantize(new Stack(), int8Dynamic());
    expect(layers.map(({ name }) => name)).toEqual(["layers.0", "layers.1"]);
  });

  it("with keys that cannot be names are refused", () => {
    class Dotted extends Plain {
      readonly heads = { "a.b": linear() };
    }
    class Keyed extends Plain {
      readonly heads = new Map([[{}, linear()]]);
    }
    for (const module of [new Dotted(), new Keyed()]) expect(() => names(module)).toThrow(ArgumentError);
  });
});

describe("names", () => {
  it("of fields that begin with a capital stay, others are Python's", () => {
    class Bert extends Plain {
      readonly LayerNorm = new LayerNorm(2, { device, bias: false });
      readonly SelfAttention = linear();
      readonly outProj = linear();
      readonly c_fc = linear();
    }
    expect(names(new Bert())).toEqual([
      "LayerNorm.weight",
      "SelfAttention.weight",
      "out_proj.weight",
      "c_fc.weight",
    ]);
  });

  it("that two fields share are refused", () => {
    class Twice extends Plain {
      readonly fooBar = linear();
      readonly foo_bar = parameter(ops.ones([1], { device }));
    }
    expect(() => new Twice().parameters()).toThrow(
      "Twice: the fields fooBar and foo_bar are both foo_bar in a state dict",
    );
  });

  it("of a loss that is kept in a field are none", () => {
    class Keeps extends Module {
      readonly fc = linear();
      lastLoss: Tensor | undefined;
      readonly history: Tensor[] = [];
      forward(input: Tensor): Tensor {
        this.lastLoss = this.fc.forward(input).sum();
        this.history.push(this.lastLoss);
        return this.lastLoss;
      }
    }
    const net = new Keeps();
    net.forward(x).backward();
    new SGD(net.parameters(), { lr: 0.1 }).step();
    expect(names(net)).toEqual(["fc.weight"]);
  });

  it("of a module that holds the one above it end", () => {
    class Child extends Plain {
      parent: Module | undefined;
      readonly fc = linear();
    }
    class Parent extends Plain {
      readonly child = new Child();
    }
    const parent = new Parent();
    parent.child.parent = parent;
    expect(names(parent)).toEqual(["child.fc.weight"]);
  });
});

describe("parameters that no field holds", () => {
  class Hidden extends Module {
    readonly fc = linear();
    readonly #hidden: Linear;
    constructor(hidden = linear()) {
      super();
      this.#hidden = hidden;
    }
    forward(input: Tensor): Tensor {
      return this.#hidden.forward(this.fc.forward(input));
    }
  }
  const train = (net: Module, ...others: Tensor[]) => {
    const optimizer = new SGD([...net.parameters(), ...others], { lr: 0.1 });
    for (let i = 0; i < 2; i++) {
      net.forward(x).sum().backward();
      optimizer.step();
    }
  };
  const message =
    /SGD.step: forward of (Hidden|Closure) reads a parameter of shape \[2(, 2)?\] that no field of it holds/;

  it("in a #private field or a closure: the step says so, and changes nothing", async () => {
    const net = new Hidden();
    const before = await net.fc.weight.tolist();
    expect(() => train(net)).toThrow(message);
    expect(await net.fc.weight.tolist()).toEqual(before);
    const closed = ops.tensor([1, 2], { device, requiresGrad: true });
    class Closure extends Module {
      readonly fc = linear();
      forward(input: Tensor): Tensor {
        return this.fc.forward(input).mul(closed);
      }
    }
    expect(() => train(new Closure())).toThrow(message);
  });

  it("are fine if they are frozen, not differentiated, trained by an optimizer, or arguments", async () => {
    const frozen = linear();
    frozen.freeze();
    train(new Hidden(frozen));
    const own = linear();
    train(new Hidden(own), ...own.parameters());
    const elsewhere = linear();
    const optimizer = new Adam(elsewhere.parameters());
    train(new Hidden(elsewhere));
    optimizer.zeroGrad();
    class Teacher extends Module {
      readonly fc = linear();
      readonly #teacher = linear();
      forward(input: Tensor, scale = ops.ones([2], { device })): Tensor {
        const slope = input.mul(1).detach();
        slope.requiresGrad = true;
        const target = noGrad(() => this.#teacher.forward(input));
        return this.fc.forward(slope).mul(scale).sub(target);
      }
    }
    const net = new Teacher();
    train(net);
    const prompt = parameter(ops.ones([2], { device }));
    for (let i = 0; i < 2; i++) net.forward(x, prompt).sum().backward();
    new SGD(net.parameters(), { lr: 0.1 }).step();
    expect(await prompt.grad!.data()).toHaveLength(2);
  });

  it("are fine once a field holds them", async () => {
    class Late extends Module {
      readonly fc = linear();
      readonly #layers: Linear[] = [linear()];
      layers: Linear[] = [];
      show(): void {
        this.layers = this.#layers;
      }
      forward(input: Tensor): Tensor {
        return this.#layers[0].forward(this.fc.forward(input));
      }
    }
    const net = new Late();
    net.forward(x).realize();
    net.show();
    train(net);
    expect(names(net)).toEqual(["fc.weight", "layers.0.weight"]);
  });

  it("are no matter of running statistics, shared modules and calls of parts", () => {
    const norm = new BatchNorm2d(1, { device });
    const shared = new Sequential(norm);
    class Uses extends Module {
      readonly part = shared;
      forward(input: Tensor): Tensor {
        return this.part.forward(input);
      }
    }
    const images = ops.randn([2, 1, 2, 2], { device });
    shared.forward(images).sum().backward();
    new Uses().forward(images).sum().backward();
    new SGD(new Uses().parameters(), { lr: 0.1 }).step();
  });
});
