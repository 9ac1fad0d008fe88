/** Optimizers: PyTorch's sequences, state, groups, captured steps, and the cost of a step. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import type { Program } from "../../src/kernels/kernel.js";
import * as ops from "../../src/ops/index.js";
import { compileCount } from "../../src/runtime/counters.js";
import { readExact } from "../../src/runtime/host_data.js";
import { jit } from "../../src/runtime/jit.js";
import "../../src/ops/methods.js";
import { ArgumentError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";
import {
  Adam,
  AdamW,
  clipGradNorm,
  clipGradValue,
  cosine,
  LRScheduler,
  type Optimizer,
  SGD,
} from "../../src/optim/index.js";

interface Fixture {
  readonly start: { readonly weight: number[][]; readonly bias: number[] };
  /** [step][parameter][element] */
  readonly gradients: number[][][];
  readonly cases: readonly {
    readonly optimizer: "SGD" | "Adam" | "AdamW";
    readonly settings: Record<string, number | number[] | boolean>;
    readonly values: number[][][];
  }[];
  readonly clip: readonly {
    readonly maxNorm: number;
    readonly norm: number;
    readonly gradients: number[][];
  }[];
}

/** Made by fixtures/make_optim.py. */
const fixture: Fixture = JSON.parse(readFileSync(new URL("../fixtures/optim.json", import.meta.url), "utf8"));
const classes = { SGD, Adam, AdamW };

let device: Device;
beforeAll(() => {
  device = openReference();
});

function startParameters(on = device): Tensor[] {
  return [fixture.start.weight.flat(), fixture.start.bias].map((values, i) =>
    ops.tensor(Float64Array.from(values), {
      device: on,
      shape: i === 0 ? [2, 3] : [2],
      requiresGrad: true,
    }),
  );
}

function setGradients(parameters: readonly Tensor[], gradients: readonly number[][]): void {
  parameters.forEach((parameter, i) => {
    parameter.grad = ops.tensor(gradients[i], { device: parameter.device, shape: parameter.shape });
  });
}

/** Steps `from`..`to` - 1 of the fixture's gradients. */
function steps(
  optimizer: Optimizer<{ lr: number }>,
  parameters: readonly Tensor[],
  from: number,
  to: number,
) {
  for (let step = from; step < to; step++) {
    setGradients(parameters, fixture.gradients[step]);
    optimizer.step();
  }
}

async function read(parameters: readonly Tensor[]): Promise<number[][]> {
  return Promise.all(parameters.map(async (parameter) => [...(await readExact(parameter))]));
}

function expectAllClose(got: readonly number[][], expected: readonly number[][], tolerance: number): void {
  got.forEach((values, i) => {
    values.forEach((value, j) => {
      expect(Math.abs(value - expected[i][j]), `element ${i}, ${j}`).toBeLessThanOrEqual(tolerance);
    });
  });
}

const camelCase = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

describe("PyTorch's sequences", () => {
  for (const { optimizer: name, settings, values } of fixture.cases) {
    const own = Object.fromEntries(Object.entries(settings).map(([key, value]) => [camelCase(key), value]));
    for (const where of ["reference", "wasm"] as const) {
      it(`${name} ${JSON.stringify(own)} on ${where}`, async () => {
        const on = where === "reference" ? device : await openWasm({ binary: "simd" });
        const parameters = startParameters(on);
        const optimizer = new classes[name](parameters, own);
        for (const [step, expected] of values.entries()) {
          steps(optimizer, parameters, step, step + 1);
          expect(parameters.every(({ grad }) => grad === undefined)).toBe(true);
          // Values up to 2, six steps: 1e-12 is some 10³ roundings of float64, 5e-6 some 20 of float32.
          expectAllClose(await read(parameters), expected, where === "reference" ? 1e-12 : 5e-6);
        }
        if (on !== device) on.close();
      });
    }
  }
});

describe("state", () => {
  const make = {
    SGD: (parameters: Tensor[]) => new SGD(parameters, { lr: 0.1, momentum: 0.9, dampening: 0.5 }),
    AdamW: (parameters: Tensor[]) => new AdamW(parameters, { lr: 0.05 }),
  };

  for (const [name, create] of Object.entries(make)) {
    it(`${name} goes on bit for bit from a saved state`, async () => {
      const through = startParameters();
      const whole = create(through);
      steps(whole, through, 0, 3);
      const { tensors, numbers } = whole.stateDict();
      const saved = new Map<string, { data: Float64Array }>();
      for (const [key, tensor] of tensors) {
        saved.set(key, { data: Float64Array.from(await readExact(tensor)) });
      }
      const resumed = (await read(through)).map((values, i) =>
        ops.tensor(Float64Array.from(values), { device, shape: through[i].shape, requiresGrad: true }),
      );
      const second = create(resumed);
      second.lr = 7;
      await second.loadStateDict({ tensors: saved, numbers: JSON.parse(JSON.stringify(numbers)) });
      expect(second.lr).toBe(whole.lr);
      steps(whole, through, 3, 6);
      steps(second, resumed, 3, 6);
      expect(await read(resumed)).toEqual(await read(through));
      expect(second.stateDict().numbers).toEqual(whole.stateDict().numbers);
    });

    it(`${name}: a captured step goes on from a restored state`, async () => {
      const parameters = startParameters();
      const optimizer = create(parameters);
      const data = fixture.gradients.map((step) =>
        step.map((values, i) => ops.tensor(values, { device, shape: parameters[i].shape })),
      );
      // The gradient of Σ p·g is g.
      const step = jit((g0: Tensor, g1: Tensor) => {
        const loss = parameters[0].mul(g0).sum().add(parameters[1].mul(g1).sum());
        loss.backward();
        optimizer.step();
        return loss;
      });
      const before = optimizer.stateDict().numbers;
      const start = await read(parameters);
      const replay = async () => {
        for (const [g0, g1] of data) step(g0, g1);
        return read(parameters);
      };
      const first = await replay();
      expect(optimizer.stateDict().numbers.steps).toEqual([6, 6]);

      const plain = startParameters();
      steps(create(plain), plain, 0, 6);
      expectAllClose(first, await read(plain), 1e-12);

      parameters.forEach((parameter, i) => {
        parameter.assign(ops.tensor(Float64Array.from(start[i]), { device, shape: parameter.shape }));
      });
      await optimizer.loadStateDict({ tensors: new Map(), numbers: before });
      expect(await replay()).toEqual(first);
    });
  }

  it("names PyTorch's moments, and has none before the first step", () => {
    const parameters = startParameters();
    const optimizer = new Adam(parameters);
    expect(optimizer.stateDict()).toEqual({ tensors: new Map(), numbers: { lr: [1e-3], steps: [0, 0] } });
    steps(optimizer, parameters, 0, 1);
    const { tensors, numbers } = optimizer.stateDict();
    expect([...tensors.keys()]).toEqual(["exp_avg.0", "exp_avg_sq.0", "exp_avg.1", "exp_avg_sq.1"]);
    expect(numbers.steps).toEqual([1, 1]);
  });

  it("refuses what belongs to other parameters, and changes nothing", async () => {
    const parameters = startParameters();
    const optimizer = new Adam(parameters);
    steps(optimizer, parameters, 0, 2);
    const state = optimizer.stateDict();
    const before = await read([...state.tensors.values()]);
    const { numbers } = state;
    const fails = (part: object) =>
      expect(optimizer.loadStateDict({ ...state, ...part })).rejects.toThrow(ArgumentError);
    await fails({ numbers: { ...numbers, steps: [2] } });
    await fails({ numbers: { ...numbers, steps: [2, 0.5] } });
    await fails({ numbers: { ...numbers, lr: [Number.NaN] } });
    await fails({ tensors: new Map([...state.tensors].slice(0, 3)), numbers: { lr: [1], steps: [0, 2] } });
    expect(optimizer.lr).toBe(1e-3);
    expect(optimizer.stateDict().numbers).toEqual(numbers);
    expect(await read([...optimizer.stateDict().tensors.values()])).toEqual(before);
  });

  it("parameters that were skipped count their own steps", async () => {
    const parameters = startParameters();
    const optimizer = new Adam(parameters, { lr: 0.1 });
    const only = (i: number) => {
      parameters[i].grad = ops.ones(parameters[i].shape, { device });
      optimizer.step();
    };
    only(0);
    only(0);
    only(1);
    expect(optimizer.stateDict().numbers.steps).toEqual([2, 1]);
    // The first step of Adam is lr · sign(gradient), at any time.
    expect((await read(parameters))[1][0]).toBeCloseTo(0.3 - 0.1, 7);
    const copy = new Adam(parameters, { lr: 0.1 });
    await copy.loadStateDict(optimizer.stateDict());
    expect(copy.stateDict().numbers.steps).toEqual([2, 1]);
  });
});

describe("groups", () => {
  it("have their own settings", async () => {
    const [weight, bias] = startParameters();
    const optimizer = new SGD(
      [
        { parameters: [weight], settings: { weightDecay: 0.5, momentum: 0.9 } },
        { parameters: [bias], settings: { lr: 1, dampening: 0.5 } },
      ],
      { lr: 0.1 },
    );
    for (let step = 0; step < 2; step++) {
      setGradients([weight, bias], [Array(6).fill(1), [1, 2]]);
      optimizer.step();
    }
    // Weight 0.5: d1 = 1.25 → 0.375; d2 = 1.1875, running 2.3125 → 0.14375. No momentum, so no dampening, for the bias.
    const values = await read([weight, bias]);
    expect(values[0][0]).toBeCloseTo(0.14375, 12);
    expectAllClose([values[1]], [[0.3 - 2, -0.6 - 4]], 1e-12);
  });

  it("are scheduled each from its own rate", () => {
    const [weight, bias] = startParameters();
    const optimizer = new Adam(
      [
        { parameters: [weight], settings: {} },
        { parameters: [bias], settings: { lr: 0.5 } },
      ],
      { lr: 0.1 },
    );
    const rates = () => optimizer.groups.map(({ settings }) => settings.lr);
    const scheduler = new LRScheduler(optimizer, cosine({ steps: 4, min: 0 }));
    scheduler.step();
    scheduler.step();
    expectAllClose([rates()], [[0.05, 0.25]], 1e-15);
    const resumed = new LRScheduler(optimizer, cosine({ steps: 4, min: 0 }));
    resumed.setState(JSON.parse(JSON.stringify(scheduler.state())));
    expectAllClose([rates()], [[0.05, 0.25]], 1e-15);
    expect(() => resumed.setState({ step: 0, base: [1] })).toThrow(ArgumentError);
    optimizer.lr = 2;
    expect(rates()).toEqual([2, 2]);
  });

  it("may live on two devices", async () => {
    const other = openReference();
    const parameters = [...startParameters(), ...startParameters(other)];
    const optimizer = new SGD(parameters, { lr: 0.5 });
    setGradients(parameters, [...fixture.gradients[0], ...fixture.gradients[0]]);
    optimizer.step();
    expect(parameters.every(({ pending }) => pending === undefined)).toBe(true);
    const values = await read(parameters);
    expect(values.slice(2)).toEqual(values.slice(0, 2));
    expect(values[0]).not.toEqual(fixture.start.weight.flat());
  });
});

describe("settings outside their domain", () => {
  it("are refused", () => {
    const parameters = startParameters();
    expect(() => new SGD(parameters, { lr: -1 })).toThrow(ArgumentError);
    expect(() => new SGD(parameters, { nesterov: true })).toThrow(ArgumentError);
    expect(() => new SGD(parameters, { weightDecay: -1 })).toThrow(/weight decay/);
    expect(() => new Adam(parameters, { betas: [0.9, 1] })).toThrow(/betas/);
    expect(() => new Adam(parameters, { lr: Number.NaN })).toThrow(ArgumentError);
    expect(() => new Adam([])).toThrow(/no parameters/);
    expect(() => new Adam([parameters[0], parameters[0]])).toThrow(/twice/);
  });
});

describe("clipping", () => {
  it("by norm, as PyTorch; the norm can be read after the step", async () => {
    for (const { maxNorm, norm, gradients } of fixture.clip) {
      const parameters = startParameters();
      // Lazy gradients that depend on the parameters, as backward() makes them.
      const loss = parameters.map((parameter, i) =>
        parameter
          .sub(parameter.detach())
          .add(ops.tensor(fixture.gradients[0][i], { device, shape: parameter.shape }))
          .square()
          .sum()
          .mul(0.5),
      );
      loss[0].add(loss[1]).backward();
      const total = clipGradNorm(parameters, maxNorm);
      const optimizer = new SGD(parameters, { lr: 1 });
      const before = await read(startParameters());
      optimizer.step();
      expect(await total.item()).toBeCloseTo(norm, 6);
      const moved = (await read(parameters)).map((values, i) => values.map((x, j) => before[i][j] - x));
      expectAllClose(moved, gradients, 1e-12);
    }
    expect(() => clipGradNorm(startParameters(), 1)).toThrow(ArgumentError);
  });

  it("by value", async () => {
    const parameters = startParameters();
    setGradients(parameters, fixture.gradients[0]);
    clipGradValue(parameters, 0.3);
    const expected = fixture.gradients[0].map((g) => g.map((x) => Math.max(-0.3, Math.min(0.3, x))));
    expectAllClose(await read(parameters.map(({ grad }) => grad!)), expected, 1e-7);
  });
});

describe("cost", () => {
  it("a Program is compiled and memory taken once, whatever the step and the learning rate", () => {
    const on = openReference();
    const parameters = startParameters(on);
    const optimizer = new AdamW(parameters);
    const given = parameters.map(({ shape }, i) =>
      ops.tensor(fixture.gradients[0][i], { device: on, shape }),
    );
    const step = () => {
      parameters.forEach((parameter, i) => {
        parameter.grad = given[i];
      });
      optimizer.step();
    };
    step();
    // Two parameters with their gradients and two moments each.
    expect(on.memory().liveBuffers).toBe(8);
    const [compiled, { allocations }] = [compileCount(on), on.memory()];
    for (let i = 0; i < 20; i++) {
      optimizer.lr = 1e-3 / (i + 1);
      step();
    }
    expect(compileCount(on)).toBe(compiled);
    expect(on.memory().allocations).toBe(allocations);
  });

  it("an update is one kernel with one output for the value and each moment", () => {
    const on = openReference();
    const programs: Program[] = [];
    const { prepare } = on;
    on.prepare = (program) => {
      programs.push(program);
      return prepare.call(on, program);
    };
    const made: [string, (parameters: Tensor[]) => Optimizer<{ lr: number }>, number][] = [
      ["SGD", (p) => new SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.1 }), 2],
      ["Adam", (p) => new Adam(p, { weightDecay: 0.1 }), 3],
      ["AdamW", (p) => new AdamW(p), 3],
    ];
    for (const [name, create, outputs] of made) {
      const parameters = startParameters(on);
      steps(create(parameters), parameters, 0, 1);
      const { calls } = programs.at(-1)!;
      expect(
        calls.map((call) => [call.kernel, "outputs" in call ? call.outputs.length : 1]),
        name,
      ).toEqual([
        ["map", outputs],
        ["map", outputs],
      ]);
    }
  });
});
