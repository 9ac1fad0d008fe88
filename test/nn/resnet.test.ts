/**
 * The ResNets against torchvision's and against a CIFAR ResNet in PyTorch: state dicts, values, gradients, running
 * statistics. The fixture is made by fixtures/make_resnet.py.
 */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import {
  BasicBlock,
  Bottleneck,
  CifarResNet,
  ResNet,
  resnet18,
  resnet34,
  resnet50,
  resnet101,
} from "../../src/models/index.js";
import { crossEntropy, type HostValues, type Module, setDefaultDevice } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import { SGD } from "../../src/optim/index.js";
import { readExact } from "../../src/runtime/host_data.js";
import { jit } from "../../src/runtime/jit.js";
import { realize } from "../../src/runtime/realize.js";
import "../../src/ops/methods.js";
import { ArgumentError, ShapeError } from "../../src/core/errors.js";
import { type Shape, sizeOf } from "../../src/core/shape.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { generate, seedOf } from "../cases/generate.js";
import { expectClose, tolerance } from "../tolerance.js";

interface Computed {
  readonly input: readonly number[];
  readonly state: readonly string[];
  readonly output: readonly number[];
  readonly loss: number;
  readonly gradientNorms: Readonly<Record<string, number>>;
  readonly runningMeanSums: Readonly<Record<string, number>>;
}

interface Fixture {
  readonly labels: readonly number[];
  readonly large: Readonly<Record<string, { readonly stateHash: number; readonly parameters: number }>>;
  readonly blocks: Readonly<Record<string, Computed>>;
  readonly networks: Readonly<Record<string, Computed>>;
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL("../fixtures/resnet.json", import.meta.url), "utf8"),
);

const blocks: Readonly<Record<string, (device: Device) => Module>> = {
  basicBlock: (device) => new BasicBlock(6, 6, 1, { device }),
  basicBlockDown: (device) => new BasicBlock(4, 6, 2, { device }),
  bottleneck: (device) => new Bottleneck(12, 3, 1, { device }),
  bottleneckDown: (device) => new Bottleneck(6, 3, 2, { device }),
};

/** One block per stage. */
const networks: Readonly<Record<string, (device: Device) => Module>> = {
  basicNetwork: (device) => new ResNet(BasicBlock, [1, 1, 1, 1], { numClasses: 10, device }),
  bottleneckNetwork: (device) => new ResNet(Bottleneck, [1, 1, 1, 1], { numClasses: 10, device }),
  cifarNetwork: (device) => new CifarResNet({ depth: 8, device }),
};

/** Two float64 evaluations; gradients pass up to ten batch norms, each of which divides by a deviation. */
const float64Tolerance = 1e-9;
/** As for the losses of training on every device; gradients of networks this shallow are as well-conditioned. */
const float32Tolerance = 1e-3;
/** The longest sums of the networks: 512 channels of 3 × 3 pixels. */
const reductionLength = 512 * 9;

const lines = (model: Module) => [...model.stateDict()].map(([name, { shape }]) => `${name} [${shape}]`);

/** The values that make_resnet.py gives a parameter or running statistic. */
function generated(network: string, name: string, shape: Shape): HostValues {
  const bound = Math.sqrt(6 / sizeOf(shape.slice(1)));
  const isVector = shape.length === 1;
  const isScale = name.endsWith("running_var") || (name.includes("weight") && isVector);
  const between: [number, number] = isScale ? [0.5, 1.5] : isVector ? [-0.25, 0.25] : [-bound, bound];
  return { dtype: "float32", shape, data: generate(`${network}.${name}`, shape, "float32", { between }) };
}

/** Gives a module the fixture's weights; returns the fixture's input. */
async function prepare(name: string, model: Module, shape: Shape, device: Device): Promise<Tensor> {
  const state = [...model.stateDict()].filter(([key]) => !key.endsWith("num_batches_tracked"));
  await model.loadStateDict(new Map(state.map(([key, value]) => [key, generated(name, key, value.shape)])));
  const values = generate(`${name}.x`, shape, "float32", { between: [-2, 2] });
  return ops.tensor(values as Float32Array, { device }).reshape(shape);
}

const sum = (values: ArrayLike<number>) => Array.from(values).reduce((total, value) => total + value, 0);

function expectRelative(what: string, found: number, expected: number, bound: number): void {
  const difference = Math.abs(found - expected);
  expect(difference, `${what}: ${found}, expected ${expected}`).toBeLessThan(bound * Math.abs(expected));
}

/** One step of training: its loss, each parameter's gradient and the running means it leaves. */
async function expectTraining(
  model: Module,
  x: Tensor,
  lossOf: (output: Tensor) => Tensor,
  expected: Computed,
  bound: number,
): Promise<void> {
  const loss = lossOf(model.train().forward(x));
  loss.backward();
  const gradients = [...model.namedParameters()].map(([key, { grad }]) => [key, grad!] as const);
  realize([loss, ...gradients.map(([, gradient]) => gradient)]);
  expectRelative("loss", (await readExact(loss))[0], expected.loss, bound);
  expect(gradients.map(([key]) => key)).toEqual(Object.keys(expected.gradientNorms));
  for (const [key, gradient] of gradients) {
    const norm = Math.sqrt(sum(Array.from(await readExact(gradient), (value) => value * value)));
    expectRelative(`gradient of ${key}`, norm, expected.gradientNorms[key], bound);
  }
  const state = model.stateDict();
  for (const [key, expectedSum] of Object.entries(expected.runningMeanSums)) {
    const found = sum(await readExact(state.get(key)!));
    expect(Math.abs(found - expectedSum), key).toBeLessThan(bound * Math.max(1, Math.abs(expectedSum)));
  }
}

const reference = openReference();
let wasm: Device;
beforeAll(async () => {
  wasm = await openWasm();
  setDefaultDevice(wasm);
});

describe.each(Object.entries(blocks))("block %s", (name, make) => {
  it("is PyTorch's in float64: state dict, output, gradients, running means", async () => {
    const expected = fixture.blocks[name];
    const model = make(reference);
    expect(lines(model)).toEqual(expected.state);
    const x = await prepare(name, model, expected.input, reference);
    const output = await readExact(model.eval().forward(x));
    expectClose("output", output, expected.output, { absolute: 10 * float64Tolerance, rounded: false });
    await expectTraining(model, x, (y) => y.square().sum(), expected, float64Tolerance);
  });
});

describe.each(Object.entries(networks))("network %s", (name, make) => {
  it("is PyTorch's on wasm: state dict, logits, gradients, running means", async () => {
    const expected = fixture.networks[name];
    const model = make(wasm);
    expect(lines(model)).toEqual(expected.state);
    const x = await prepare(name, model, expected.input, wasm);
    const logits = await model.eval().forward(x).data();
    const absolute = tolerance(expected.output, { reductionLength });
    expectClose("logits", logits, expected.output, { absolute, rounded: false });
    const labels = ops.tensor(Int32Array.from(fixture.labels), { device: wasm });
    await expectTraining(model, x, (y) => crossEntropy(y, labels), expected, float32Tolerance);
  });
});

it("the CIFAR network is PyTorch's in float64", async () => {
  const expected = fixture.networks.cifarNetwork;
  const model = new CifarResNet({ depth: 8, device: reference });
  const x = await prepare("cifarNetwork", model, expected.input, reference);
  const labels = ops.tensor(Int32Array.from(fixture.labels), { device: reference });
  await expectTraining(model, x, (y) => crossEntropy(y, labels), expected, float64Tolerance);
});

describe("the published depths", () => {
  it.each(Object.entries({ resnet18, resnet34, resnet50, resnet101 }))(
    "%s has torchvision's names, shapes and number of parameters",
    (name, make) => {
      const model = make();
      const { stateHash, parameters } = fixture.large[name];
      expect(model.parameterCount()).toBe(parameters);
      expect(seedOf(lines(model).join("\n"))).toBe(stateHash);
      model.dispose();
    },
  );

  it.each([
    [20, 269_722],
    [32, 464_154],
    [44, 658_586],
    [56, 853_018],
  ])("CifarResNet of depth %i has %i parameters", (depth, parameters) => {
    expect(new CifarResNet({ depth }).parameterCount()).toBe(parameters);
  });

  it("other depths are refused", () => {
    for (const depth of [2, 18, 21]) {
      expect(() => new CifarResNet({ depth })).toThrow(ArgumentError);
    }
  });

  it("images of one channel are refused", () => {
    const x = ops.zeros([1, 1, 32, 32], { device: wasm });
    expect(() => new CifarResNet().forward(x)).toThrow(ShapeError);
  });
});

describe("initial values", () => {
  const deviation = async (tensor: Tensor) =>
    Math.sqrt(sum((await tensor.square().data()) as Float32Array) / tensor.size);

  it("of ResNet's convolutions have the deviation √(2/fanOut), of CifarResNet's √(2/fanIn)", async () => {
    ops.manualSeed(3);
    const { conv1 } = resnet18();
    // Var(s²) = 2σ⁴/n of a normal sample: five standard errors.
    const close = (n: number) => 5 / Math.sqrt(2 * n);
    expectRelative(
      "conv1",
      await deviation(conv1.weight),
      Math.sqrt(2 / (64 * 49)),
      close(conv1.weight.size),
    );
    const { conv1: first, linear } = new CifarResNet();
    expectRelative("conv1", await deviation(first.weight), Math.sqrt(2 / 27), close(first.weight.size));
    expectRelative("linear", await deviation(linear.weight), Math.sqrt(2 / 64), close(linear.weight.size));
  });
});

it("a CIFAR network learns a batch by heart through jit", async () => {
  ops.manualSeed(5);
  const model = new CifarResNet({ depth: 8 });
  const optimizer = new SGD(model.parameters(), { lr: 0.05, momentum: 0.9 });
  const x = ops.randn([8, 3, 32, 32], { device: wasm });
  const y = ops.tensor(
    Int32Array.from({ length: 8 }, (_, i) => i),
    { device: wasm },
  );
  const step = jit((images: Tensor, labels: Tensor) => {
    const loss = crossEntropy(model.forward(images), labels);
    loss.backward();
    optimizer.step();
    return loss;
  });
  const first = await step(x, y).item();
  let last = first;
  for (let i = 0; i < 40; i++) last = await step(x, y).item();
  expect(first).toBeGreaterThan(1);
  expect(last).toBeLessThan(0.1);
});
