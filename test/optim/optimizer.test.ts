/** Optimizers: PyTorch's sequences, state, groups, captured steps, and what a step costs. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { jit } from "../../src/compiler/jit.js";
import { compileCount, readExact } from "../../src/compiler/realize.js";
import type { Device } from "../../src/device/device.js";
import type { Program } from "../../src/device/kernel.js";
import { openReference } from "../../src/device/reference/reference.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
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
import { ArgumentError } from "../../src/tensor/errors.js";
import type { Tensor } from "../../src/tensor/tensor.js";

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
