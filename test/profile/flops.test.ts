/** Counted FLOPs against closed formulas: products, convolutions, attention, and the benchmarks' three training steps. */
import { describe, expect, test } from "vitest";
import {
  backward,
  conv2d,
  jit,
  matmul,
  scaledDotProductAttention,
  type Tensor,
  zeros,
} from "../../src/index.js";
import { flopsOf } from "../../src/kernels/cost.js";
import { splitEpilogue } from "../../src/kernels/operands.js";
import { CharGpt, CnnLarge, Mlp } from "../../src/models/index.js";
import { crossEntropy, Linear, type Module } from "../../src/nn/index.js";
import { Adam, AdamW } from "../../src/optim/index.js";
import { type CountedCost, cost, openDry, programCost } from "../../src/profile/index.js";

const device = openDry();

async function input(shape: readonly number[], dtype: "float32" | "int32" = "float32"): Promise<Tensor> {
  const x = zeros([...shape], { device, dtype });
  await x.data();
  return x;
}

/** FLOPs of products and convolutions, and of everything else, their epilogues included. */
function split({ programs, flops }: CountedCost): { products: number; others: number } {
  const isProduct = (kernel: string) => kernel === "matmul" || kernel.startsWith("conv");
  const products = programs
    .flatMap(({ program, runs }) =>
      program.calls
        .filter(({ kernel }) => isProduct(kernel))
        .map((call) => runs * flopsOf(splitEpilogue(call, () => -1)[0])),
    )
    .reduce((sum, n) => sum + n, 0);
  return { products, others: flops - products };
}

/** One step of training, after the first, which makes the optimizer's moments. */
async function trainingStep(
  model: Module,
  optimizer: Adam | AdamW,
  x: Tensor,
  y: Tensor,
  lossOf: (output: Tensor, target: Tensor) => Tensor = crossEntropy,
): Promise<CountedCost> {
  const step = () => {
    const loss = lossOf(model.forward(x), y);
    backward(loss);
    optimizer.step();
    return loss;
  };
  step();
  return cost(device, step);
}

describe("single operations", () => {
  test("GEMM: 2·m·n·k", async () => {
    const [a, b] = [await input([37, 129]), await input([129, 65])];
    expect((await cost(device, () => matmul(a, b))).flops).toBe(2 * 37 * 65 * 129);
    const [c, d] = [await input([3, 5, 7, 11]), await input([5, 11, 13])];
    expect((await cost(device, () => matmul(c, d))).flops).toBe(2 * 3 * 5 * 7 * 13 * 11);
  });

  test("convolution: 2·N·O·OH·OW·(C/groups)·KH·KW, and the same for each gradient", async () => {
    const [n, c, o, size, k, groups] = [2, 8, 16, 14, 3, 4];
    const x = await input([n, c, size, size]);
    const w = await input([o, c / groups, k, k]);
    const out = size / 2;
    const formula = 2 * n * o * out * out * (c / groups) * k * k;
    const convolve = () => conv2d(x, w, undefined, { stride: 2, padding: 1, groups });
    expect((await cost(device, convolve)).flops).toBe(formula);
    for (const each of [x, w]) each.requiresGrad = true;
    const counted = await cost(device, () => {
      backward(convolve(), { gradient: zeros([n, o, out, out], { device }) });
      return [x.grad, w.grad];
    });
    // The output itself is not needed for its gradients, but backward() always computes what it starts from.
    expect(split(counted).products).toBe(3 * formula);
  });

  describe("attention: 2·N·H·L·S·(E + D) for the products, and per score the softmax", () => {
    const [n, h, l, s, e, d] = [2, 3, 16, 24, 8, 10];
    const inputs = () => Promise.all([input([n, h, l, e]), input([n, h, s, e]), input([n, h, s, d])]);

    test("whose gradient may be asked for", async () => {
      const [q, k, v] = await inputs();
      q.requiresGrad = true;
      const counted = await cost(device, () => scaledDotProductAttention(q, k, v));
      const scores = n * h * l * s;
      expect(split(counted).products).toBe(2 * scores * (e + d));
      // q is scaled; softmax is a maximum, a difference, an exponential, a sum and a division per score.
      expect(split(counted).others).toBe(n * h * l * e + 5 * scores);
    });

    // q is scaled; a maximum, a difference, an exponential and a sum per score; the result is divided.
    const oneKernel = (scores: number, perScore = 4) =>
      n * h * (l * (e + d) + scores * (2 * (e + d) + perScore));

    test("in one kernel", async () => {
      const [q, k, v] = await inputs();
      const counted = await cost(device, () => scaledDotProductAttention(q, k, v));
      expect(counted.programs.flatMap(({ program }) => program.calls.map(({ kernel }) => kernel))).toEqual([
        "attention",
      ]);
      expect(counted.flops).toBe(oneKernel(l * s));
      const mask = await input([l, s]);
      expect((await cost(device, () => scaledDotProductAttention(q, k, v, { mask }))).flops).toBe(
        oneKernel(l * s, 5),
      );
    });

    test("in one kernel, causal: the scores on and below the diagonal", async () => {
      const [q, k, v] = await inputs();
      const count = async (a: Tensor) =>
        (await cost(device, () => scaledDotProductAttention(a, k, v, { causal: true }))).flops;
      expect(await count(q)).toBe(oneKernel((l * (l + 1)) / 2));
      // Rows behind the last key see all keys.
      const rows = 40;
      const pairs = (s * (s + 1)) / 2 + (rows - s) * s;
      expect(await count(await input([n, h, rows, e]))).toBe(
        n * h * (rows * (e + d) + pairs * (2 * (e + d) + 4)),
      );
    });
  });
});

/** Adam: 13 operations per parameter; 14 with decoupled weight decay. */
const [adam, adamW] = [13, 14];

/** Cross-entropy of [rows, classes] with its gradient. */
function crossEntropyFlops(rows: number, classes: number): number {
  const perScore = 1 /* maximum */ + 3; /* shift, exponential, sum */
  const perRow =
    2 /* whether it is ignored, count */ +
    1 /* logarithm */ +
    4 /* ignored, shift, minus label, sum */ +
    3; /* gradient at the label: shift, exponential, minus 1 */
  const gradient = 5; /* ignored, shift, exponential, one-hot, scale */
  return rows * (classes * (perScore + gradient) + perRow) + 2; /* 1 / count, mean */
}

describe("training steps of the benchmarks, batch 64 (16 for the GPT)", () => {
  test("MLP 784-256-128-10", async () => {
    const n = 64;
    const sizes = [784, 256, 128, 10];
    const model = new Mlp({ device, sizes });
    const counted = await trainingStep(
      model,
      new Adam(model.parameters()),
      await input([n, 784]),
      await input([n], "int32"),
    );

    const layers = [0, 1, 2].map((i) => ({ in: sizes[i], out: sizes[i + 1] }));
    const sum = (of: (layer: { in: number; out: number }) => number) =>
      layers.reduce((total, l) => total + of(l), 0);
    const forward = sum((l) => 2 * n * l.in * l.out);
    // Gradients of all weights, and of the inputs of all layers but the first.
    const products = 3 * forward - 2 * n * 784 * 256;
    const parameters = sum((l) => l.in * l.out + l.out);
    const others =
      sum((l) => n * l.out) + // gradients of the biases
      n * (256 + 128 + 10) + // biases
      2 * n * (256 + 128) + // ReLUs and their masks
      crossEntropyFlops(n, 10) +
      adam * parameters;
    expect(parameters).toBe(model.parameterCount());
    expect(split(counted)).toEqual({ products, others });
    expect(counted.flops).toBe(products + others);
  });

  test("CNN: 5 × 5 convolutions with 32 and 64 filters, 3136-512-10", async () => {
    const n = 64;
    const model = new CnnLarge({ device });
    const x = await input([n, 1, 28, 28]);
    const counted = await trainingStep(model, new Adam(model.parameters()), x, await input([n], "int32"));

    const conv1 = 2 * n * 32 * 28 * 28 * 1 * 25;
    const conv2 = 2 * n * 64 * 14 * 14 * 32 * 25;
    const [fc1, fc2] = [2 * n * 3136 * 512, 2 * n * 512 * 10];
    const products = 2 * conv1 + 3 * (conv2 + fc1 + fc2);
    const maps = n * (32 * 28 * 28 + 64 * 14 * 14);
    const parameters = 32 * 25 + 32 + 64 * 32 * 25 + 64 + 3136 * 512 + 512 + 512 * 10 + 10;
    const others =
      maps * 2 + // bias and ReLU
      maps + // pooling: one comparison per element
      maps + // its gradient
      maps + // masks of the ReLUs
      maps + // gradients of the biases
      n * (2 * 512 + 10) + // biases and ReLU of the last layers
      n * (512 + 512 + 10) + // mask of the hidden ReLU, gradients of the last biases
      crossEntropyFlops(n, 10) +
      adam * parameters;
    expect(parameters).toBe(model.parameterCount());
    expect(split(counted)).toEqual({ products, others });
  });

  test("char-GPT: 4 blocks of width 128, context 128, vocabulary 65", async () => {
    const [n, t, width, vocabulary, blocks] = [16, 128, 128, 65, 4];
    const model = new CharGpt({ device });
    const optimizer = new AdamW(model.parameters());
    const [x, y] = [await input([n, t], "int32"), await input([n * t], "int32")];
    const counted = await trainingStep(model, optimizer, x, y, (logits, target) =>
      crossEntropy(logits.reshape([n * t, vocabulary]), target),
    );

    const tokens = n * t;
    const projections = 12 * width * width; // qkv 3, output 1, MLP 4 + 4
    const scores = 2 * t * width; // q·kᵀ and weights·v, each t·width multiply-adds per token
    const forward = tokens * 2 * (blocks * (projections + scores) + vocabulary * width);
    // All inputs of products need gradients: backward costs twice what forward does.
    expect(split(counted).products).toBe(3 * forward);
    // What the field's formulas leave out: normalisation, softmax, GELU, the optimizer.
    const share = split(counted).others / counted.flops;
    expect(share).toBeGreaterThan(0.01);
    expect(share).toBeLessThan(0.03);
    for (const parameter of model.parameters()) parameter.grad = await input(parameter.shape);
    const update = await cost(device, () => optimizer.step());
    expect(update.flops).toBe(adamW * model.parameterCount());
  });
});

test("a jit function tells the cost of the Program that it recorded", async () => {
  const layer = new Linear(16, 4, { device });
  const forward = jit((x: Tensor) => layer.forward(x));
  const [small, large] = [await input([2, 16]), await input([8, 16])];
  expect(forward.program(small)).toBeUndefined();
  forward(small);
  forward(large);
  expect(programCost(device, forward.program(small)!)).toEqual({
    flops: 2 * (2 * 16 + 1) * 4,
    bytes: 4 * (2 * 16 + 64 + 4 + 8),
  });
  expect(programCost(device, forward.program(large)!).flops).toBe(8 * (2 * 16 + 1) * 4);
});
