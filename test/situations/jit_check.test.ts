/** jit(fn, { check: true }): values that plain JavaScript computes differently in each call are detected at the second call. */
import { describe, expect, it } from "vitest";
import { defaultGenerator, JitError, jit, rand, setDebug, type Tensor, tensor } from "../../src/index.js";
import { BatchNorm2d, Dropout, Linear, mseLoss, parameter, Sequential } from "../../src/nn/index.js";
import { AdamW, LRScheduler, SGD } from "../../src/optim/index.js";
import { devices } from "../devices.js";
import { values } from "./jit_programs.js";

for (const { label, device } of devices) {
  describe(label, () => {
    /** Functions that differ from call to call, and what the error says. */
    const unsteady: Record<string, readonly [() => (x: Tensor) => Tensor, RegExp]> = {
      "a number": [
        () => {
          let decay = 1;
          return (x) => {
            decay /= 2;
            return x.mul(decay);
          };
        },
        /node 0 .* constant\(\)\{"value":0.5\}.* and is constant\(\)\{"value":0.25\}/,
      ],
      "a rebound variable": [
        () => {
          let w = values(device, 1);
          return (x) => {
            const y = x.mul(w);
            w = values(device, 2);
            return y;
          };
        },
        /tensor from outside.* another .*rebound/,
      ],
      "another op": [
        () => {
          let calls = 0;
          return (x) => (calls++ === 0 ? x.exp() : x.neg());
        },
        /was exp\(0\) float32 \[1\], and is neg\(0\) float32 \[1\]/,
      ],
      "one op more": [
        () => {
          let calls = 0;
          return (x) => (calls++ === 0 ? x : x.add(x));
        },
        /was nothing, and is tensor from outside/,
      ],
      "host data": [
        () => {
          let calls = 0;
          return (x) => x.add(tensor([calls++], { device }));
        },
        /new tensor from host data/,
      ],
      "an update": [
        () => {
          const state = values(device, 0);
          let calls = 0;
          return (x) => {
            if (calls++ > 0) state.assign(state.mul(1));
            return x.add(state.mul(1));
          };
        },
        /node 1 /,
      ],
      "a random number that is drawn and not used": [
        () => {
          let calls = 0;
          return (x) => {
            if (calls++ > 0) rand([1], { device });
            return x;
          };
        },
        /random numbers/,
      ],
    };
    for (const [name, [make, message]] of Object.entries(unsteady)) {
      it(`finds ${name}`, async () => {
        const f = jit(make(), { check: true });
        const x = values(device, 3);
        await f(x).data();
        let error: unknown;
        try {
          f(x);
        } catch (caught) {
          error = caught;
        }
        expect(error).toBeInstanceOf(JitError);
        expect((error as JitError).message).toMatch(message);
        // What was recorded first is not replayed later either.
        await f(x).data();
      });
    }

    it("lets a training step be, changes nothing, and runs it twice only", async () => {
      const run = async (check: boolean) => {
        let calls = 0;
        const weight = () => parameter(tensor([[0.5, -0.25]], { device }));
        const layers = [
          new Linear(2, 1, { device }),
          new Dropout(0.5),
          new BatchNorm2d(1, { device, affine: false }),
        ] as const;
        Object.assign(layers[0], { weight: weight(), bias: undefined });
        const model = new Sequential(...layers.slice(0, 2));
        const optimizer = new AdamW(layers[0].parameters(), { lr: 0.1 });
        const scheduler = new LRScheduler(optimizer, (step) => 0.5 ** step);
        const f = jit(
          (x: Tensor, t: Tensor) => {
            calls++;
            const y = layers[2].forward(model.forward(x).reshape([4, 1, 1, 1]));
            const loss = mseLoss(y, tensor([1, 2, 3, 4], { device, shape: [4, 1, 1, 1] })).mul(t);
            loss.backward();
            optimizer.step();
            scheduler.step();
            return loss;
          },
          { check },
        );
        const x = tensor([1, 2, 3, 4, 5, 6, 7, 9], { device, shape: [4, 2] });
        const seen: unknown[] = [];
        defaultGenerator.seed(3);
        for (let i = 0; i < 4; i++) {
          seen.push(
            await f(x, i + 1).item(),
            await layers[0].weight.tolist(),
            await layers[2].runningMean.tolist(),
          );
        }
        return { seen, calls, optimizer: optimizer.stateDict().numbers, random: defaultGenerator.state() };
      };
      const [plain, checked] = [await run(false), await run(true)];
      expect(checked).toEqual({ ...plain, calls: 2 });
      expect(plain.calls).toBe(1);
    });

    it("micro-batches, whose first and later calls differ", async () => {
      const w = parameter(tensor([0], { device }));
      const optimizer = new SGD([w], { lr: 1 });
      const micro = jit(
        (x: Tensor) => {
          w.mul(x).sum().backward();
          return undefined;
        },
        { check: true },
      );
      for (let step = 1; step <= 3; step++) {
        for (const value of [1, 2, 3]) micro(values(device, value));
        optimizer.step();
        expect(await w.item()).toBe(-6 * step);
      }
    });

    it("is on in the debug mode", () => {
      const make = () => {
        let decay = 1;
        return (x: Tensor) => {
          decay /= 2;
          return x.mul(decay);
        };
      };
      const x = values(device, 3);
      const [unchecked, off] = [jit(make()), jit(make(), { check: false })];
      unchecked(x);
      setDebug({ numerics: true });
      try {
        unchecked(x);
        off(x);
        off(x);
        const checked = jit(make());
        checked(x);
        expect(() => checked(x)).toThrow(JitError);
      } finally {
        setDebug({ numerics: false });
      }
    });
  });
}
