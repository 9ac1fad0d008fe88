/** A recording of jit is valid only in the modes in which it was made; in others the function is recorded again. */
import { describe, expect, it } from "vitest";
import { type Device, jit, noGrad, ones, type Tensor, tensor } from "../../src/index.js";
import { BatchNorm2d, Dropout, Linear, Module, ModuleList, ReLU, Sequential } from "../../src/nn/index.js";
import { Adam, AdamW, SGD } from "../../src/optim/index.js";
import { profile } from "../../src/profile/index.js";
import { devices } from "../devices.js";
import { type Program, values, weightOf } from "./jit_programs.js";

const numbers = async (x: Tensor) => Array.from(await x.data());

/** y = weight · x, all of whose parameters are known. */
class Scale extends Module {
  weight: Tensor;
  constructor(device: Device, value: number) {
    super();
    this.weight = weightOf(device, value);
  }
  forward(x: Tensor): Tensor {
    return x.mul(this.weight);
  }
}

class Net extends Module {
  layer: Module;
  factor = 1;
  readonly list: ModuleList;
  constructor(device: Device) {
    super();
    this.layer = new Scale(device, 2);
    this.list = new ModuleList([new ReLU()]);
  }
  forward(x: Tensor): Tensor {
    return this.list.modules.reduce((y, module) => module.forward(y), this.layer.forward(x)).mul(this.factor);
  }
}

class Negative extends Module {
  forward(x: Tensor): Tensor {
    return x.neg();
  }
}

const situations: Record<string, { readonly program: Program; readonly expected?: readonly number[] }> = {
  "dropout after eval(), and after train() again": {
    async program(device, wrap) {
      const layer = new Dropout(0.5);
      const f = wrap((x: Tensor) => layer.forward(x).eq(0).cast("float32").mean());
      const x = ones([400], { device }).realize();
      const dropped: number[] = [];
      for (const training of [true, false, true, false]) {
        layer.train(training);
        dropped.push(Math.round(4 * (await f(x).item())));
      }
      return dropped;
    },
    expected: [2, 0, 2, 0],
  },
  "batch norm after eval() uses the running statistics, and leaves them alone": {
    async program(device, wrap) {
      const layer = new BatchNorm2d(1, { device, momentum: 0.5, eps: 0 });
      const f = wrap((x: Tensor) => layer.forward(x));
      const x = tensor([1, 3], { device, shape: [2, 1, 1, 1] });
      const seen = await numbers(f(x));
      layer.eval();
      seen.push(...(await numbers(layer.runningMean)), ...(await numbers(f(x))));
      seen.push(...(await numbers(f(x))), ...(await numbers(layer.runningMean)));
      return seen.map((value) => Math.round(value * 1000) / 1000);
    },
    expected: [-1, 1, 1, 0, 1.633, 0, 1.633, 1],
  },
  "a mode that the function itself sets": {
    async program(device, wrap) {
      const layer = new Dropout(1);
      const f = wrap((x: Tensor) => {
        layer.eval();
        const y = layer.forward(x);
        layer.train();
        return y.add(layer.forward(x));
      });
      const seen = [];
      for (const training of [true, false, false]) {
        layer.train(training);
        seen.push(...(await numbers(f(values(device, 3)))), Number(layer.training));
      }
      return seen;
    },
    expected: [3, 1, 3, 1, 3, 1],
  },
  "a layer in a field, in a list, in a Sequential, and a parameter are replaced": {
    async program(device, wrap) {
      const net = new Net(device);
      const sequential = new Sequential(new ReLU());
      const f = wrap((x: Tensor) => sequential.forward(net.forward(x)));
      const seen: number[] = [];
      const call = async () => void seen.push(...(await numbers(f(values(device, 3)))));
      await call();
      net.layer = new Scale(device, 5);
      await call();
      net.list.replaceChild("0", new Negative());
      await call();
      sequential.replaceChild("0", new Negative());
      await call();
      (net.layer as Scale).weight = weightOf(device, 7);
      await call();
      (sequential.modules as Module[]).push(new Negative());
      await call();
      net.factor = 10;
      await call();
      return seen;
    },
    expected: [6, 15, 0, 15, 21, -21, -210],
  },
  "frozen parameters do not train, and train again": {
    async program(device, wrap) {
      const [a, b] = [new Scale(device, 2), new Scale(device, 3)];
      const optimizer = new SGD([a.weight, b.weight], { lr: 0.1 });
      const f = wrap((x: Tensor) => {
        const loss = b.forward(a.forward(x)).sum();
        loss.backward();
        optimizer.step();
        return loss;
      });
      const seen: number[] = [];
      for (const frozen of [false, true, false]) {
        if (frozen) a.freeze();
        else a.unfreeze();
        seen.push(...(await numbers(f(values(device, 1)).reshape([1]))));
        seen.push(await a.weight.item(), await b.weight.item());
      }
      return seen.map((value) => Math.round(value * 1e4) / 1e4);
    },
    expected: [6, 1.7, 2.8, 4.76, 1.7, 2.63, 4.471, 1.437, 2.46],
  },
  "requiresGrad of an argument": {
    async program(device, wrap) {
      const f = wrap((x: Tensor) => {
        const y = x.mul(x).sum();
        if (y.requiresGrad) y.backward();
        return y;
      });
      const x = values(device, 3);
      const seen = [await f(x).item()];
      x.requiresGrad = true;
      seen.push(await f(x).item(), await x.grad!.item());
      x.requiresGrad = false;
      x.grad = undefined;
      seen.push(await f(x).item(), Number(x.grad !== undefined));
      return seen;
    },
    expected: [9, 9, 6, 9, 0],
  },
  "requiresGrad that the function sets": {
    async program(device, wrap) {
      const w = weightOf(device, 2);
      const f = wrap((x: Tensor) => {
        w.requiresGrad = false;
        x.requiresGrad = true;
        const y = x.mul(w).mul(x).sum();
        y.backward();
        return x.grad!;
      });
      const seen: number[] = [];
      for (const value of [1, 2, 3]) {
        w.requiresGrad = true;
        const x = values(device, value);
        seen.push(
          ...(await numbers(f(x))),
          ...(await numbers(x.grad!)),
          Number(w.requiresGrad),
          Number(x.requiresGrad),
        );
      }
      return seen;
    },
    expected: [4, 4, 0, 1, 8, 8, 0, 1, 12, 12, 0, 1],
  },
  "gradient mode": {
    async program(device, wrap) {
      const w = weightOf(device, 2);
      const f = wrap((x: Tensor) => {
        const y = x.mul(w).sum();
        if (y.requiresGrad) y.backward();
        return y;
      });
      const seen: number[] = [];
      for (const recorded of [true, false, true, false]) {
        await (recorded ? f(values(device, 3)) : noGrad(() => f(values(device, 3)))).item();
        seen.push(await w.grad!.item());
      }
      return seen;
    },
    expected: [3, 3, 6, 6],
  },
};

/** One step on w = 1 with the gradient 1, under settings that change between the steps. */
const settings: Record<
  string,
  readonly [typeof SGD | typeof Adam | typeof AdamW, object, readonly object[]]
> = {
  "SGD's weightDecay": [SGD, { lr: 0.1 }, [{}, { weightDecay: 0.5 }, { weightDecay: 0 }]],
  "SGD's momentum and nesterov": [
    SGD,
    { lr: 0.1, momentum: 0.9 },
    [{}, { momentum: 0.5 }, { nesterov: true }],
  ],
  "SGD's dampening": [SGD, { lr: 0.1, momentum: 0.9 }, [{}, { dampening: 0.5 }, { dampening: 0 }]],
  "Adam's betas": [Adam, { lr: 0.1 }, [{}, { betas: [0.5, 0.9] }, { betas: [0.5, 0.5] }]],
  "Adam's eps": [Adam, { lr: 0.1 }, [{}, { eps: 1 }, { eps: 0.5 }]],
  "AdamW's weightDecay": [AdamW, { lr: 0.1 }, [{}, { weightDecay: 0.5 }, { weightDecay: 0 }]],
  "the learning rate": [SGD, { lr: 0.1 }, [{}, { lr: 0.2 }, { lr: 0 }]],
};
for (const [name, [Rule, start, changes]] of Object.entries(settings)) {
  situations[`a change of ${name}`] = {
    async program(device, wrap) {
      const w = weightOf(device, 1);
      const optimizer = new Rule([w], start);
      const f = wrap((x: Tensor) => {
        w.mul(x).sum().backward();
        optimizer.step();
        return undefined;
      });
      const seen: number[] = [];
      for (const change of changes) {
        Object.assign(optimizer.groups[0].settings, change);
        for (let i = 0; i < 2; i++) {
          f(values(device, 1));
          seen.push(await w.item());
        }
      }
      return seen;
    },
  };
}

for (const { label, device } of devices) {
  describe(label, () => {
    for (const [name, { program, expected }] of Object.entries(situations)) {
      it(name, async () => {
        const plain = await program(device, (fn) => fn);
        expect(await program(device, (fn) => jit(fn))).toEqual(plain);
        if (expected !== undefined) expect(plain).toEqual(expected);
      });
    }

    it("what changed back is not recorded again", async () => {
      const model = new Sequential(new Linear(2, 2, { device }), new Dropout(0.5));
      let calls = 0;
      const f = jit((x: Tensor) => {
        calls++;
        return model.forward(x);
      });
      const x = values(device, 1, 2);
      for (let i = 0; i < 3; i++) {
        f(x);
        model.eval();
        f(x);
        noGrad(() => f(x));
        model.train();
      }
      expect(calls).toBe(3);
    });

    it("a parameter group that is added", async () => {
      const [a, b] = [weightOf(device, 1), weightOf(device, 1)];
      const optimizer = new SGD([{ parameters: [a] }, { parameters: [] }] as never, { lr: 1 });
      const f = jit((x: Tensor) => {
        a.mul(b).mul(x).sum().backward();
        optimizer.step();
        optimizer.zeroGrad();
        b.grad = undefined;
        return undefined;
      });
      const x = values(device, 0.5);
      f(x);
      f(x);
      expect([await a.item(), await b.item()]).toEqual([0, 1]);
      (optimizer.groups[1].parameters as Tensor[]).push(b);
      f(x);
      expect([await a.item(), await b.item()]).toEqual([-0.5, 1]);
      f(x);
      expect([await a.item(), await b.item()]).toEqual([-1, 1.25]);
    });
  });
}

it("a profile with the modules' names after one without, and after their names have changed", async () => {
  const { device } = devices[1];
  const layer = new Linear(2, 2, { device });
  const f = jit((x: Tensor) => layer.forward(x));
  const x = ones([1, 2], { device }).realize();
  const names = async (model?: Module) => {
    const { modules } = await profile(device, () => f(x), { model, repetitions: 1 });
    return modules.map(({ name }) => name);
  };
  f(x);
  expect(await names()).toEqual(["(outside of modules)"]);
  expect(await names(new Sequential(layer))).toEqual(["0"]);
  expect(await names(new Sequential(new ReLU(), layer))).toEqual(["1"]);
  expect(await names()).toEqual(["(outside of modules)"]);
});
