/** Arguments and results of jit functions: numbers, records and arrays; other values are refused. */
import { describe, expect, expectTypeOf, it } from "vitest";
import { openReference } from "../../src/device/reference/reference.js";
import {
  ArgumentError,
  compileCount,
  DeviceError,
  JitError,
  type JitFunction,
  type JitResult,
  jit,
  noGrad,
  randn,
  StaleTensorError,
  type Tensor,
  tensor,
} from "../../src/index.js";
import { Linear, mseLoss, parameter } from "../../src/nn/index.js";
import { SGD } from "../../src/optim/index.js";
import { devices } from "../devices.js";
import { values } from "./jit_programs.js";

for (const { label, device } of devices) {
  describe(label, () => {
    it("numbers are runtime scalars: others compile and record nothing", async () => {
      let calls = 0;
      const f = jit((x: Tensor, t: Tensor, { shift }: { readonly shift: Tensor }) => {
        calls++;
        return [x.mul(t).add(shift), t];
      });
      const x = values(device, 1, 2);
      const before = compileCount(device);
      for (const [t, shift] of [
        [2, 1],
        [0.5, -3],
        [0, 1e9],
        [-1, 0.25],
      ]) {
        const [y, same] = f(x, t, { shift });
        expect(await y.tolist()).toEqual([t + shift, 2 * t + shift].map(Math.fround));
        expect(await same.item()).toBe(t);
      }
      expect(await f(x, Number.NaN, { shift: 0 })[0].tolist()).toEqual([Number.NaN, Number.NaN]);
      expect([calls, compileCount(device) - before]).toEqual([1, 1]);
      // A tensor in the number's place is another structure.
      expect(await f(x, values(device, 3), { shift: 1 })[0].tolist()).toEqual([4, 7]);
      expect(calls).toBe(2);
    });

    it("a number of JavaScript's own arithmetic is refused where the function computes with it", () => {
      const f = jit((x: Tensor, t: Tensor) => x.mul((t as unknown as number) * 2));
      expect(() => f(values(device, 1), 3)).toThrow(/is not a number/);
    });

    it("records and arrays, nested, in any order, with parts that are missing", async () => {
      type Batch = { readonly x: Tensor; readonly more?: readonly Tensor[]; readonly mask?: Tensor };
      let calls = 0;
      const f = jit((batch: Batch, scale: Tensor | undefined) => {
        calls++;
        let y = batch.more?.reduce((a, b) => a.add(b), batch.x) ?? batch.x;
        if (batch.mask) y = y.mul(batch.mask);
        return { y: scale ? y.mul(scale) : y, parts: [batch.x, batch.mask] };
      });
      const [a, b, c] = [1, 10, 100].map((value) => values(device, value));
      const read = async (batch: Parameters<typeof f>[0], scale?: number) => await f(batch, scale).y.item();
      for (let i = 0; i < 2; i++) {
        expect(await read({ x: a })).toBe(1);
        expect(await read({ x: a, more: [b, c] })).toBe(111);
        expect(await read({ x: c, more: [b, b] })).toBe(120);
        expect(await read({ x: a, mask: b }, 3)).toBe(30);
        expect(await read({ mask: b, x: a }, 4)).toBe(40);
        expect(await read({ x: a, more: [] })).toBe(1);
      }
      const { parts } = f({ x: a, mask: b }, 1);
      expect([parts[0], parts[1]]).toEqual([a, b]);
      expect(calls).toBe(5);
      expect(f.program({ x: a, mask: b }, 7)).toBe(f.program({ x: c, mask: a }, 8));
      expect(f.program({ x: a, mask: b, more: [a] }, 7)).toBeUndefined();
    });

    it("anything else is refused with its place", () => {
      const f = jit((...args: Tensor[]) => args[0]) as (...args: unknown[]) => unknown;
      const x = values(device, 1);
      const cyclic: unknown[] = [];
      cyclic.push(cyclic);
      const refused = [1n, () => 1, new Map(), new Date(), new Float32Array(1), cyclic, Symbol("s")];
      for (const value of [...refused, new Linear(1, 1, { device })]) {
        expect(() => f(x, value)).toThrow(ArgumentError);
        expect(() => f(x, { parts: [x, value] })).toThrow(/argument 1\.parts\[1\]/);
      }
      expect(() => f(x, { mask: new Map() })).toThrow(/argument 1\.mask is a Map/);
      expect(() => f()).toThrow(ArgumentError);
      expect(() => f(1, 2)).toThrow(/at least one tensor/);
      expect(() => f(x, tensor([1], { device: openReference() }))).toThrow(DeviceError);
    });

    it("null, booleans and strings tell recordings apart; in results, and numbers there, they are the recorded call's", async () => {
      let calls = 0;
      const f = jit((x: Tensor, options: { mode: string; deep?: boolean | null }) => {
        calls++;
        const y = options.mode === "double" ? x.add(x) : x.neg();
        return { y: options.deep ? y.add(1) : y, ...options, all: [options.deep, x.shape[0]] };
      });
      const x = values(device, 3);
      for (let i = 0; i < 2; i++) {
        const double = f(x, { mode: "double" });
        expect([await double.y.item(), double.mode, double.all]).toEqual([6, "double", [undefined, 1]]);
        const deep = f(x, { mode: 'do"uble;', deep: true });
        expect([await deep.y.item(), deep.mode, deep.deep, deep.all]).toEqual([
          -2,
          'do"uble;',
          true,
          [true, 1],
        ]);
        expect(f(x, { mode: "", deep: false }).deep).toBe(false);
        expect(f(x, { mode: "", deep: null }).all).toEqual([null, 1]);
      }
      expect(calls).toBe(4);
      let count = 0;
      const counting = jit((y: Tensor) => ({ y: y.neg(), count: count++ }), { check: true });
      expect(counting(x).count).toBe(0);
      expect(() => counting(x)).toThrow(/the result has \[0\] beside tensors, and \[1\] when/);
    });

    it("what is no tensor is refused as a result, and nothing is left behind", async () => {
      const w = parameter(tensor([2], { device }));
      const optimizer = new SGD([w], { lr: 0.1 });
      const results = [1n, Symbol("s"), new Map(), new Linear(1, 1, { device }), Promise.resolve(), () => 1];
      for (const result of results) {
        const f = jit((x: Tensor) => {
          w.mul(x).sum().backward();
          optimizer.step();
          return { loss: x, result } as unknown as JitResult;
        });
        expect(() => f(values(device, 1))).toThrow(JitError);
        expect(() => f(values(device, 1))).toThrow(/the result\.result is (a|null)/);
      }
      for (const result of [5, "text", null, true]) {
        const f = jit(() => result as unknown as JitResult) as (...args: unknown[]) => unknown;
        expect(() => f(values(device, 1))).toThrow(/the result is (a|null)/);
      }
      const asynchronous = jit((async (x: Tensor) => x) as unknown as (x: Tensor) => Tensor);
      expect(() => asynchronous(values(device, 1))).toThrow(/an async function cannot be replayed/);
      expect([await w.item(), w.grad, optimizer.stateDict().numbers.steps]).toEqual([2, undefined, [0]]);
    });

    it("results that are arguments, parameters, constants, one tensor twice, or nothing", async () => {
      const w = parameter(tensor([2], { device }));
      const f = jit((x: Tensor) => {
        const y = x.mul(w);
        return {
          x,
          w,
          y,
          again: y,
          constant: tensor([7], { device }),
          lazy: y.mul(0).add(3),
          nothing: undefined,
        };
      });
      for (const value of [1, 2, 3]) {
        const x = values(device, value);
        const result = f(x);
        expect([result.x === x, result.w === w, result.again === result.y, result.nothing]).toEqual([
          true,
          true,
          true,
          undefined,
        ]);
        expect(await Promise.all([result.y, result.constant, result.lazy].map((t) => t.item()))).toEqual([
          2 * value,
          7,
          3,
        ]);
        for (const own of [result.y, result.constant, result.lazy]) own.dispose();
      }
    });

    it("what fails leaves nothing behind: modes, gradients, steps, and the next call", async () => {
      const layer = new Linear(1, 1, { device, bias: false });
      const [w] = layer.parameters();
      const optimizer = new SGD([w], { lr: 1 });
      let fails = true;
      const f = jit((x: Tensor) => {
        layer.eval();
        w.requiresGrad = true;
        mseLoss(layer.forward(x), x).backward();
        optimizer.step();
        layer.freeze();
        if (fails) throw new Error("on purpose");
        layer.unfreeze();
        return undefined;
      });
      const start = await w.item();
      const x = tensor([[1]], { device });
      for (let i = 0; i < 2; i++) expect(() => f(x)).toThrow("on purpose");
      expect([layer.training, w.requiresGrad, w.grad, await w.item()]).toEqual([
        true,
        true,
        undefined,
        start,
      ]);
      expect(optimizer.stateDict().numbers.steps).toEqual([0]);
      expect(noGrad(() => x.mul(w)).requiresGrad).toBe(false);
      expect(x.mul(w).requiresGrad).toBe(true);
      fails = false;
      f(x);
      expect(await w.item()).toBeCloseTo(start - 2 * (start - 1), 5);
      expect(layer.training).toBe(false);
    });

    it("disposed parameters and arguments are named, and the steps of the optimizer stay", async () => {
      const w = parameter(tensor([2], { device }));
      const extra = tensor([1], { device });
      const optimizer = new SGD([w], { lr: 1 });
      const f = jit((x: Tensor) => {
        const loss = w.mul(x).mul(extra).sum();
        loss.backward();
        optimizer.step();
        return loss;
      });
      const x = values(device, 1);
      f(x);
      x.dispose();
      expect(() => f(x)).toThrow(StaleTensorError);
      extra.dispose();
      expect(() => f(values(device, 1))).toThrow(StaleTensorError);
      expect(optimizer.stateDict().numbers.steps).toEqual([1]);
      expect(await w.item()).toBe(1);
    });

    it("warmup takes the same arguments", async () => {
      const f = jit(({ x }: { readonly x: Tensor }, t: Tensor) => x.mul(t));
      await f.warmup([{ x: values(device, 2) }, 3]);
      expect(await f({ x: values(device, 2) }, 4).item()).toBe(8);
      await expect(f.warmup([{ x: "text" } as never, 3])).rejects.toThrow(ArgumentError);
    });

    it("parameters, buffers, overwritten memory and reads are refused inside", async () => {
      const w = parameter(tensor([2], { device }));
      const x = values(device, 1);
      const refused: readonly ((x: Tensor) => unknown)[] = [
        (x) => parameter(x.mul(2)),
        () => new Linear(1, 1, { device }),
        (x) => void x.mul(2).realize().assign(x),
        (x) => void tensor([1], { device }).assign(x),
      ];
      for (const fn of refused) expect(() => jit(fn as (x: Tensor) => undefined)(x)).toThrow(JitError);
      let read: Promise<unknown> | undefined;
      jit((x: Tensor) => {
        read = x.mul(w).data();
        return undefined;
      })(x);
      await expect(read).rejects.toThrow(/cannot read values/);
    });

    it("realize() inside computes nothing before its time", async () => {
      const f = jit((x: Tensor) => x.mul(2).realize().add(x));
      for (const value of [1, 2]) expect(await f(values(device, value)).item()).toBe(3 * value);
    });
  });
}

it("devices that are closed between calls, and jit functions of two devices inside each other", async () => {
  const [first, second] = [openReference(), openReference()];
  const w = tensor([2], { device: first });
  const f = jit((x: Tensor) => x.mul(w));
  const g = jit((x: Tensor) => {
    f(tensor([1], { device: first }));
    return x;
  });
  expect(await f(tensor([3], { device: first })).item()).toBe(6);
  expect(() => g(tensor([1], { device: second }))).toThrow(JitError);
  const other = jit((x: Tensor) => {
    w.assign(w.mul(2));
    return x;
  });
  expect(() => other(tensor([1], { device: second }))).toThrow(JitError);
  expect(await f(tensor([3], { device: first })).item()).toBe(6);
  const x = tensor([3], { device: first });
  first.close();
  expect(() => f(x)).toThrow(DeviceError);
});

it("a function that is called on several devices has a recording for each", async () => {
  let calls = 0;
  const f = jit((x: Tensor, y: Tensor) => {
    calls++;
    y.assign(x.mul(2));
    return x.add(1);
  });
  for (let round = 0; round < 3; round++) {
    for (const { device } of devices) {
      const [x, y] = [tensor([round], { device }), tensor([0], { device })];
      const result = f(x, y);
      expect(result.device).toBe(device);
      expect([Number(await result.item()), Number(await y.item())]).toEqual([round + 1, 2 * round]);
    }
  }
  expect(calls).toBe(devices.length);
});

it("types", () => {
  const two = jit((x: Tensor, t: Tensor) => x.mul(t));
  expectTypeOf(two).toEqualTypeOf<JitFunction<[x: Tensor, t: Tensor], Tensor>>();
  expectTypeOf<Parameters<typeof two>>().toExtend<readonly [Tensor | number, Tensor | number]>();
  const record = jit((batch: { x: Tensor; list: Tensor[] }) => batch.x);
  expectTypeOf<Parameters<typeof record>[0]>().toEqualTypeOf<{
    readonly x: Tensor | number;
    readonly list: readonly (Tensor | number)[];
  }>();
  jit((x) => expectTypeOf(x).toEqualTypeOf<Tensor>() && undefined);

  // What TypeScript refuses.
  type Fn<A extends readonly unknown[], R> = (...args: A) => R;
  type Takes<F> = F extends (...args: infer A) => infer R
    ? [A, R] extends [readonly (Tensor | undefined | object)[], JitResult]
      ? true
      : false
    : never;
  expectTypeOf<Takes<Fn<[Tensor], Promise<Tensor>>>>().toEqualTypeOf<false>();
  expectTypeOf<Takes<Fn<[Tensor], number>>>().toEqualTypeOf<false>();
  expectTypeOf<Takes<Fn<[Tensor], Map<string, Tensor>>>>().toEqualTypeOf<false>();
  expectTypeOf<Takes<Fn<[Tensor, string], Tensor>>>().toEqualTypeOf<false>();
  expectTypeOf<Takes<Fn<[Tensor], Tensor>>>().toEqualTypeOf<true>();
  expect(randn).toBeDefined();
});
