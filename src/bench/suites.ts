/** The cases: products, convolutions, attention, elementwise work, dispatch, and whole training steps. */
import { backward } from "../autograd/backward.js";
import type { Device } from "../device/device.js";
import { CharGpt, CnnLarge, Mlp } from "../models/index.js";
import { crossEntropy, type Module } from "../nn/index.js";
import { conv2d } from "../ops/convolution.js";
import { zeros } from "../ops/creation.js";
import { add } from "../ops/elementwise.js";
import { gelu, matmul, reshape, scaledDotProductAttention, softmax, transpose } from "../ops/index.js";
import { Adam, AdamW } from "../optim/index.js";
import type { Tensor } from "../tensor/tensor.js";
import { type BenchCase, normal, replayed, type SuiteName, type Work } from "./case.js";

interface CaseOptions {
  readonly quick?: boolean;
}

function gemm(m: number, n: number, k: number, options: CaseOptions = {}): BenchCase {
  return product("gemm", `${m} × ${k} · ${k} × ${n}`, [m, k], [k, n], options);
}

function product(
  suite: "gemm" | "gemv",
  name: string,
  a: readonly number[],
  b: readonly number[],
  { quick = false }: CaseOptions = {},
): BenchCase {
  return {
    suite,
    name,
    quick,
    unit: suite === "gemm" ? "GFLOP/s" : "GB/s",
    build: async (device) =>
      replayed([await normal(device, a), await normal(device, b)], (x, y) => matmul(x, y)),
  };
}

interface ConvShape {
  readonly n: number;
  readonly c: number;
  readonly o: number;
  readonly size: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly groups?: number;
}

function conv(shape: ConvShape, { quick = false }: CaseOptions = {}): BenchCase {
  const { n, c, o, size, kernel, stride = 1, groups = 1 } = shape;
  const extras = [stride > 1 ? `stride ${stride}` : "", groups > 1 ? `${groups} groups` : ""].filter(Boolean);
  return {
    suite: "conv",
    name: [`${n} × ${c}→${o}, ${kernel} × ${kernel} on ${size} × ${size}`, ...extras].join(", "),
    quick,
    unit: "GFLOP/s",
    build: async (device) =>
      replayed(
        [await normal(device, [n, c, size, size]), await normal(device, [o, c / groups, kernel, kernel])],
        (x, w) => conv2d(x, w, undefined, { padding: kernel >> 1, stride, groups }),
      ),
  };
}

function attention(
  heads: number,
  length: number,
  width: number,
  { quick = false }: CaseOptions = {},
): BenchCase {
  return {
    suite: "attention",
    name: `${heads} heads × ${length} × ${width}, causal`,
    quick,
    unit: "GFLOP/s",
    build: async (device) => {
      const shape = [1, heads, length, width];
      const inputs = [await normal(device, shape), await normal(device, shape), await normal(device, shape)];
      return replayed(inputs, (q, k, v) => scaledDotProductAttention(q, k, v, { causal: true }));
    },
  };
}

function elementwise(
  name: string,
  shape: readonly number[],
  fn: (x: Tensor) => Tensor,
  { quick = false }: CaseOptions = {},
): BenchCase {
  return {
    suite: "elementwise",
    name: `${name} of ${shape.join(" × ")}`,
    quick,
    unit: "GB/s",
    build: async (device) => replayed([await normal(device, shape)], (x) => fn(x)),
  };
}

/** Many kernels with next to no work: what is left is the way to the kernel. */
function dispatch(kernels: number, { quick = false }: CaseOptions = {}): BenchCase {
  return {
    suite: "dispatch",
    name: `${kernels} products of 4 × 4`,
    quick,
    unit: "ops/s",
    build: async (device) =>
      replayed(
        [await normal(device, [4, 4])],
        (x) => Array.from({ length: kernels }).reduce<Tensor>((value) => matmul(value, x), x),
        { amount: kernels },
      ),
  };
}

interface Training {
  readonly model: Module;
  readonly x: Tensor;
  readonly y: Tensor;
  readonly lossOf: (output: Tensor, target: Tensor) => Tensor;
}

function train(
  name: string,
  optimizerOf: typeof Adam | typeof AdamW,
  setUp: (device: Device) => Promise<Training>,
  { quick = false }: CaseOptions = {},
): BenchCase {
  const build = async (device: Device): Promise<Work> => {
    const { model, x, y, lossOf } = await setUp(device);
    const optimizer = new optimizerOf(model.parameters(), { lr: 1e-3 });
    return replayed([x, y], (input, target) => {
      const loss = lossOf(model.forward(input), target);
      backward(loss);
      optimizer.step();
      return loss;
    });
  };
  return { suite: "train", name, quick, unit: "steps/s", build };
}

async function indices(device: Device, shape: readonly number[]): Promise<Tensor> {
  const x = zeros([...shape], { device, dtype: "int32" });
  x.realize();
  return x;
}

const [mlpBatch, gptBatch, gptContext, gptVocabulary] = [64, 16, 128, 65];

export const cases: readonly BenchCase[] = [
  gemm(256, 256, 256, { quick: true }),
  gemm(512, 512, 512),
  gemm(1024, 1024, 1024),
  gemm(64, 256, 784, { quick: true }),
  {
    suite: "gemm",
    name: "512 × 512, A · Bᵀ",
    quick: false,
    unit: "GFLOP/s",
    build: async (device) =>
      replayed([await normal(device, [512, 512]), await normal(device, [512, 512])], (a, b) =>
        matmul(a, transpose(b, 0, 1)),
      ),
  },
  {
    suite: "gemm",
    name: "64 of 128 × 32 · 32 × 128",
    quick: false,
    unit: "GFLOP/s",
    build: async (device) =>
      replayed([await normal(device, [64, 128, 32]), await normal(device, [64, 32, 128])], (a, b) =>
        matmul(a, b),
      ),
  },
  product("gemv", "1 × 4096 · 4096 × 4096", [1, 4096], [4096, 4096]),
  product("gemv", "1 × 1024 · 1024 × 1024", [1, 1024], [1024, 1024], { quick: true }),
  conv({ n: 1, c: 64, o: 64, size: 56, kernel: 3 }, { quick: true }),
  conv({ n: 1, c: 64, o: 256, size: 56, kernel: 1 }),
  conv({ n: 1, c: 32, o: 32, size: 112, kernel: 3, groups: 32 }),
  conv({ n: 1, c: 3, o: 64, size: 224, kernel: 7, stride: 2 }),
  attention(12, 128, 64, { quick: true }),
  attention(4, 512, 32),
  elementwise("x + 1", [1 << 20], (x) => add(x, 1), { quick: true }),
  elementwise("GELU", [1 << 20], (x) => gelu(x, { approximate: "tanh" })),
  elementwise("softmax", [1024, 1024], (x) => softmax(x, -1)),
  dispatch(64, { quick: true }),
  train(
    "MLP",
    Adam,
    async (device) => ({
      model: new Mlp({ device }),
      x: await normal(device, [mlpBatch, 784]),
      y: await indices(device, [mlpBatch]),
      lossOf: crossEntropy,
    }),
    { quick: true },
  ),
  train("CNN", Adam, async (device) => ({
    model: new CnnLarge({ device }),
    x: await normal(device, [mlpBatch, 1, 28, 28]),
    y: await indices(device, [mlpBatch]),
    lossOf: crossEntropy,
  })),
  train("char-GPT", AdamW, async (device) => ({
    model: new CharGpt({ device }),
    x: await indices(device, [gptBatch, gptContext]),
    y: await indices(device, [gptBatch * gptContext]),
    lossOf: (output, target) => crossEntropy(reshape(output, [gptBatch * gptContext, gptVocabulary]), target),
  })),
];

/** The cases of some suites; `quick` and `all` are suites of all kinds. */
export function casesOf(suites: readonly (SuiteName | "quick" | "all")[]): BenchCase[] {
  return cases.filter(
    ({ suite, quick }) =>
      suites.includes("all") || suites.includes(suite) || (quick && suites.includes("quick")),
  );
}
