/** Gradients, steps, schedules and random numbers inside jit, and around it: the same as without. */
import { describe, expect, it } from "vitest";
import {
  backward,
  defaultGenerator,
  Generator,
  grad,
  JitError,
  jit,
  manualSeed,
  memory,
  rand,
  StaleTensorError,
  type Tensor,
  tensor,
} from "../../src/index.js";
import { Linear, Module, mseLoss } from "../../src/nn/index.js";
import { Adam, clipGradNorm, LRScheduler, SGD } from "../../src/optim/index.js";
import { devices } from "../devices.js";
import { type Program, values, weightOf } from "./jit_programs.js";

const situations: Record<string, { readonly program: Program; readonly expected?: readonly number[] }> = {
  "micro-batches: backward inside, step outside": {
    async program(device, wrap) {
      const w = weightOf(device, 0);
      const optimizer = new SGD([w], { lr: 1 });
      const micro = wrap((x: Tensor) => {
        const loss = w.mul(x).sum();
        loss.backward();
        return loss;
      });
      const seen: number[] = [];
      for (let step = 0; step < 3; step++) {
        for (const value of [1, 2, 3]) await micro(values(device, value)).item();
        seen.push(await w.grad!.item());
        optimizer.step();
        seen.push(await w.item(), Number(w.grad !== undefined));
      }
      return seen;
    },
    expected: [6, -6, 0, 6, -12, 0, 6, -18, 0],
  },
  "micro-batches: both inside functions of their own, with clipping": {
    async program(device, wrap) {
      const [a, b] = [weightOf(device, 1), weightOf(device, 2)];
      const optimizer = new Adam([a, b], { lr: 0.1 });
      const micro = wrap((x: Tensor) => {
        const loss = a.mul(x).add(b).square().sum();
        loss.backward();
        return loss;
      });
      const apply = wrap((_: Tensor) => {
        const norm = clipGradNorm([a, b], 1);
        optimizer.step();
        return norm;
      });
      const seen: number[] = [];
      for (let step = 0; step < 3; step++) {
        for (const value of [1, -2]) seen.push(await micro(values(device, value)).item());
        seen.push(await apply(values(device, 0)).item(), await a.item(), await b.item());
      }
      return seen.map((value) => Math.fround(value)).map((value) => Number(value.toPrecision(5)));
    },
  },
  "a gradient that was there before the first call, lazy or set": {
    async program(device, wrap) {
      const [a, b] = [weightOf(device, 3), weightOf(device, 5)];
      const f = wrap((x: Tensor) => {
        const loss = a.mul(b).mul(x).sum();
        loss.backward();
        return loss;
      });
      const seen: number[] = [];
      for (const value of [1, 2, 3]) {
        a.mul(10).sum().backward();
        b.grad = values(device, 100);
        f(values(device, value));
        seen.push(await a.grad!.item(), await b.grad.item());
      }
      return seen;
    },
    expected: [15, 103, 35, 106, 60, 109],
  },
  "gradients that share one tensor": {
    async program(device, wrap) {
      const [a, b] = [weightOf(device, 3), weightOf(device, 5)];
      const f = wrap((x: Tensor) => {
        a.add(b).mul(x).sum().backward();
        a.mul(x).sum().backward();
        return undefined;
      });
      const seen: number[] = [];
      for (const value of [1, 2, 3]) {
        if (value === 2) a.add(b).sum().backward();
        f(values(device, value));
        seen.push(await a.grad!.item(), await b.grad!.item());
      }
      return seen;
    },
    expected: [2, 1, 7, 4, 13, 7],
  },
  "gradients that the function reads, returns, sets and forgets": {
    async program(device, wrap) {
      const w = weightOf(device, 3);
      const f = wrap((x: Tensor) => {
        const before = w.grad;
        w.grad = undefined;
        w.square().mul(x).sum().backward();
        const own = w.grad as Tensor | undefined;
        w.grad = before === undefined ? own : before.mul(0.5).add(own!);
        return own;
      });
      const seen: number[] = [];
      for (const value of [1, 2, 3]) {
        const own = f(values(device, value));
        seen.push(await own!.item(), await w.grad!.item());
      }
      return seen;
    },
    expected: [6, 6, 12, 15, 18, 25.5],
  },
  "zeroGrad inside, before and after": {
    async program(device, wrap) {
      const w = weightOf(device, 3);
      const optimizer = new SGD([w], { lr: 0.5 });
      const first = wrap((x: Tensor) => {
        optimizer.zeroGrad();
        w.mul(x).sum().backward();
        return undefined;
      });
      const last = wrap((x: Tensor) => {
        w.mul(x).sum().backward();
        optimizer.zeroGrad();
        return undefined;
      });
      const seen: number[] = [];
      for (const value of [1, 2, 3]) {
        first(values(device, value));
        first(values(device, value));
        seen.push(await w.grad!.item());
        last(values(device, value));
        optimizer.step();
        seen.push(await w.item());
      }
      return seen;
    },
    expected: [1, 3, 2, 3, 3, 3],
  },
  "what an argument's grad gets, given once and twice": {
    async program(device, wrap) {
      const f = wrap((a: Tensor, b: Tensor) => {
        const y = a.square().mul(b).sum();
        y.backward();
        return y;
      });
      const leaf = (value: number) => tensor([value], { device, requiresGrad: true });
      const [x, y] = [leaf(2), leaf(3)];
      const seen: number[] = [];
      for (const [a, b] of [
        [x, y],
        [x, x],
        [x, y],
        [y, x],
        [y, y],
      ] as const) {
        seen.push(await f(a, b).item(), await a.grad!.item(), await b.grad!.item());
      }
      return seen;
    },
    expected: [12, 12, 4, 8, 24, 24, 12, 36, 8, 18, 20, 45, 27, 47, 47],
  },
  "an argument that is a parameter of the function as well": {
    async program(device, wrap) {
      const [w, x] = [weightOf(device, 3), weightOf(device, 5)];
      const f = wrap((a: Tensor) => {
        const y = w.mul(a).sum();
        y.backward();
        return y;
      });
      const seen: number[] = [];
      for (const a of [w, x, w, x]) {
        seen.push(await f(a).item(), await w.grad!.item(), (await x.grad?.item()) ?? 0);
      }
      return seen;
    },
    expected: [9, 6, 0, 15, 11, 3, 9, 17, 3, 15, 22, 6],
  },
  "a scheduler that is stepped inside": {
    async program(device, wrap) {
      const w = weightOf(device, 0);
      const optimizer = new SGD([w], { lr: 1 });
      const scheduler = new LRScheduler(optimizer, (step) => 0.5 ** step);
      const f = wrap((x: Tensor) => {
        const loss = w.mul(x).sum();
        loss.backward();
        optimizer.step();
        scheduler.step();
        return loss;
      });
      const seen: number[] = [];
      for (let i = 0; i < 4; i++) {
        f(values(device, 1));
        seen.push(await w.item(), scheduler.state().step, optimizer.lr);
      }
      return seen;
    },
    expected: [-1, 1, 0.5, -1.5, 2, 0.25, -1.75, 3, 0.125, -1.875, 4, 0.0625],
  },
  "a learning rate that is set and read inside": {
    async program(device, wrap) {
      const w = weightOf(device, 0);
      const optimizer = new SGD([w], { lr: 1 });
      const f = wrap((x: Tensor) => {
        const decay = 1 - optimizer.lr / 2;
        optimizer.lr = 0.5;
        w.mul(x).sum().backward();
        optimizer.step();
        return x.mul(decay);
      });
      const seen: number[] = [];
      for (const lr of [1, 0.5, 0.25, 1]) {
        optimizer.lr = lr;
        seen.push(await f(values(device, 1)).item(), await w.item(), optimizer.lr);
      }
      return seen;
    },
    expected: [0.5, -0.5, 0.5, 0.75, -1, 0.5, 0.875, -1.5, 0.5, 0.5, -2, 0.5],
  },
  "manualSeed inside, and a generator made inside": {
    async program(device, wrap) {
      const other = new Generator(3);
      const f = wrap((x: Tensor) => {
        const before = rand([1], { device });
        manualSeed(7);
        const after = rand([1], { device });
        const [a, b] = [new Generator(1), other].map((generator) => rand([1], { device, generator }));
        return x.add(before).add(after.mul(10)).add(a.mul(100)).add(b.mul(1000)).sum();
      });
      manualSeed(1);
      const seen: number[] = [];
      for (let i = 0; i < 3; i++) {
        seen.push(await f(values(device, 0)).item(), await rand([], { device }).item());
        seen.push(defaultGenerator.state().seed, defaultGenerator.state().offset);
      }
      return seen;
    },
  },
  "gradients of gradients": {
    async program(device, wrap) {
      const w = weightOf(device, 2);
      const f = wrap((x: Tensor) => {
        const [slope] = grad(w.pow(3).mul(x).sum(), [w], { createGraph: true });
        backward(slope.square().sum());
        return slope;
      });
      const seen: number[] = [];
      for (const value of [1, 2]) seen.push(await f(values(device, value))!.item(), await w.grad!.item());
      return seen;
    },
    expected: [12, 288, 24, 1440],
  },
  "a lazy tensor from outside keeps the value of its time": {
    async program(device, wrap) {
      const w = weightOf(device, 3);
      const before = w.detach().mul(2);
      const f = wrap((x: Tensor) => {
        const y = before.mul(x);
        w.assign(w.add(x));
        return y;
      });
      const seen: number[] = [await before.item()];
      for (const value of [1, 2, 3]) seen.push(await f(values(device, value)).item(), await w.item());
      return seen;
    },
    expected: [6, 6, 4, 12, 6, 18, 9],
  },
  "one jit function inside another one": {
    async program(device, wrap) {
      const w = weightOf(device, 2);
      const inner = wrap((x: Tensor) => x.mul(w));
      const outer = wrap((x: Tensor) => {
        const y = inner(inner(x)).sum();
        y.backward();
        return y;
      });
      const seen: number[] = [];
      for (const value of [1, 2]) {
        seen.push(await outer(values(device, value)).item(), await w.grad!.item());
        seen.push(await inner(values(device, value)).item());
      }
      return seen;
    },
    expected: [4, 4, 2, 8, 12, 4],
  },
};

class Stateful extends Module {
  hidden: Tensor | undefined;
  count = 0;
  readonly sizes: number[] = [];
  readonly kind: string;
  constructor(kind: string) {
    super();
    this.kind = kind;
  }
  forward(x: Tensor): Tensor {
    if (this.kind === "hidden") this.hidden = this.hidden ? this.hidden.add(x) : x.mul(1);
    if (this.kind === "count") this.count++;
    if (this.kind === "sizes") this.sizes.push(x.size);
    return x.add(this.count);
  }
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

    it("micro-batches hold no memory, and neither do recordings that were left", async () => {
      const model = new Linear(8, 8, { device });
      const optimizer = new SGD(model.parameters(), { lr: 0.01 });
      const micro = jit((x: Tensor) => {
        const loss = mseLoss(model.forward(x), x);
        loss.backward();
        return loss;
      });
      const x = tensor(new Float32Array(64), { device, shape: [8, 8] });
      const live: number[] = [];
      for (let i = 0; i < 40; i++) {
        micro(x).dispose();
        live.push(memory(device).liveBuffers);
      }
      expect(new Set(live.slice(2)).size).toBe(1);
      optimizer.step();
    });

    it("a loss, a norm and a lazy gradient that are kept but not returned say so when they are read", async () => {
      const w = weightOf(device, 2);
      const optimizer = new SGD([w], { lr: 0.1 });
      const kept: Tensor[] = [];
      const f = jit((x: Tensor) => {
        const loss = w.mul(x).sum();
        loss.backward();
        kept.push(loss, w.grad!, clipGradNorm([w], 1), tensor([1], { device }), x.mul(0).add(1));
        optimizer.step();
        return undefined;
      });
      for (let i = 0; i < 2; i++) {
        f(values(device, 3));
        for (const i of [0, 1, 2, 4]) {
          await expect(kept[i].data()).rejects.toThrow(/made inside a jit function/);
          await expect(kept[i].add(1).data()).rejects.toThrow(StaleTensorError);
        }
        expect(await kept[3].item()).toBe(1);
        expect(() => f(kept[0])).toThrow(StaleTensorError);
      }
      expect(kept.length).toBe(5);
    });

    it("fields of modules that are set inside are refused, constants that are kept there are not", async () => {
      for (const kind of ["hidden", "count", "sizes"]) {
        const module = new Stateful(kind);
        expect(() => jit((x: Tensor) => module.forward(x))(values(device, 1))).toThrow(
          new RegExp(`(Stateful.${kind}|Array.length) is set inside`),
        );
      }
      class Masked extends Module {
        mask: Tensor | undefined;
        forward(x: Tensor): Tensor {
          this.mask ??= x.detach().mul(0).add(1).eq(1);
          return x;
        }
      }
      const masked = new Masked();
      expect(() => jit((x: Tensor) => masked.forward(x))(values(device, 1))).toThrow(JitError);
    });

    it("backward() that would leave the function is refused", async () => {
      const w = weightOf(device, 2);
      const features = w.mul(3);
      const inside = jit((x: Tensor) => {
        const loss = features.mul(x).sum();
        loss.backward();
        return loss;
      });
      expect(() => inside(values(device, 1))).toThrow(/computed outside/);
      const f = jit((x: Tensor) => {
        const loss = x.square().sum();
        loss.backward();
        return loss;
      });
      expect(() => f(w.mul(3))).toThrow(/argument that was computed with gradients/);
      expect([w.grad, features.grad]).toEqual([undefined, undefined]);
    });
  });
}
