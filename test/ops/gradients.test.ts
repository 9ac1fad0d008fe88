/** First and second derivatives of every differentiable op, against finite differences. */
import { beforeAll, describe, it } from "vitest";
import type { Shape } from "../../src/core/shape.js";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import type { Tensor } from "../../src/graph/tensor.js";
import * as ops from "../../src/ops/index.js";
import { type Differentiable, gradcheck, gradgradcheck, sampleValues } from "./gradcheck.js";

let device: Device;
beforeAll(async () => {
  device = await openReference();
});

interface Case {
  readonly name: string;
  readonly fn: Differentiable;
  readonly shapes: readonly Shape[];
  /** Inputs are positive: logarithms, roots. */
  readonly positive?: boolean;
  /** Fixed inputs instead of random ones. */
  readonly values?: readonly (readonly number[])[];
}

const ints = (values: number[], shape: Shape = [values.length]) =>
  ops.tensor(Int32Array.from(values), { device, shape });
const bools = (values: number[], shape: Shape = [values.length]) =>
  ops.tensor(Uint8Array.from(values), { device, shape, dtype: "bool" });

const unary = (functions: Readonly<Record<string, (x: Tensor) => Tensor>>, positive: boolean): Case[] =>
  Object.entries(functions).map(([name, fn]) => ({ name, fn, shapes: [[2, 3]], positive }));

const cases: Case[] = [
  ...unary({ neg: ops.neg, abs: ops.abs, relu: ops.relu, leakyRelu: (x) => ops.leakyRelu(x) }, false),
  ...unary({ exp: ops.exp, sin: ops.sin, cos: ops.cos, tanh: ops.tanh, sigmoid: ops.sigmoid }, false),
  ...unary({ erf: ops.erf, square: ops.square, reciprocal: ops.reciprocal }, false),
  ...unary({ gelu: (x) => ops.gelu(x), silu: ops.silu, softplus: ops.softplus }, false),
  ...unary({ log: ops.log, sqrt: ops.sqrt, rsqrt: ops.rsqrt }, true),
  { name: "gelu tanh", fn: (x) => ops.gelu(x, { approximate: "tanh" }), shapes: [[5]] },
  { name: "clamp", fn: (x) => ops.clamp(x, { min: -0.5, max: 0.9 }), shapes: [[8]] },
  { name: "add", fn: ops.add, shapes: [[2, 3], [3]] },
  { name: "sub", fn: ops.sub, shapes: [[3], [2, 1]] },
  {
    name: "mul",
    fn: ops.mul,
    shapes: [
      [2, 3],
      [2, 1],
    ],
  },
  { name: "mul by itself", fn: (x) => ops.mul(x, x), shapes: [[4]] },
  { name: "div", fn: ops.div, shapes: [[2, 3], [3]] },
  { name: "pow", fn: ops.pow, shapes: [[2, 3], [3]], positive: true },
  { name: "pow 4", fn: (x) => ops.pow(x, 4), shapes: [[4]] },
  { name: "pow 0", fn: (x) => ops.mul(ops.pow(x, 0), x), shapes: [[3]], values: [[0, 1, -2]] },
  { name: "mod", fn: ops.mod, shapes: [[4], [4]] },
  { name: "maximum", fn: ops.maximum, shapes: [[2, 3], [3]] },
  { name: "minimum", fn: ops.minimum, shapes: [[2, 3], [3]] },
  { name: "where", fn: (a, b) => ops.where(bools([1, 0, 1]), a, b), shapes: [[2, 3], [3]] },
  { name: "sum", fn: (x) => ops.sum(x, 1), shapes: [[2, 3, 2]] },
  { name: "mean", fn: (x) => ops.mean(x, [0, 2], { keepdim: true }), shapes: [[2, 3, 2]] },
  { name: "max", fn: (x) => ops.max(x, -1), shapes: [[2, 3]] },
  { name: "min", fn: (x) => ops.min(x), shapes: [[2, 3]] },
  { name: "prod", fn: (x) => ops.prod(x, [0, 2]), shapes: [[2, 2, 3]] },
  { name: "prod with a zero", fn: (x) => ops.prod(x, 1), shapes: [[2, 3]], values: [[2, 0, 3, 0, 0, 5]] },
  { name: "variance", fn: (x) => ops.variance(x, 1), shapes: [[2, 4]] },
  { name: "std", fn: (x) => ops.std(x, 0, { correction: 0 }), shapes: [[4, 2]] },
  { name: "norm2", fn: (x) => ops.norm2(x, 1), shapes: [[2, 3]] },
  { name: "logsumexp", fn: (x) => ops.logsumexp(x, 1), shapes: [[2, 4]] },
  { name: "softmax", fn: (x) => ops.softmax(x, 1), shapes: [[2, 4]] },
  { name: "logSoftmax", fn: (x) => ops.logSoftmax(x, 0), shapes: [[4, 2]] },
  { name: "reshape", fn: (x) => ops.reshape(x, [3, -1]), shapes: [[2, 6]] },
  { name: "permute", fn: (x) => ops.permute(x, [2, 0, 1]), shapes: [[2, 3, 2]] },
  { name: "expand", fn: (x) => ops.expand(x, [2, 3, 2]), shapes: [[3, 1]] },
  { name: "slice", fn: (x) => ops.slice(x, 1, -1, 0, -2), shapes: [[2, 6]] },
  { name: "flip", fn: (x) => ops.flip(x, 0), shapes: [[3, 2]] },
  {
    name: "pad",
    fn: (x) =>
      ops.square(
        ops.pad(
          x,
          [
            [1, 0],
            [0, 2],
          ],
          3,
        ),
      ),
    shapes: [[2, 2]],
  },
  {
    name: "concat",
    fn: (a, b) => ops.concat([a, b], 1),
    shapes: [
      [2, 2],
      [2, 3],
    ],
  },
  { name: "stack", fn: (a, b) => ops.stack([a, b], -1), shapes: [[3], [3]] },
  { name: "split", fn: (x) => ops.mul(...(ops.split(x, 2, 1) as [Tensor, Tensor])), shapes: [[2, 4]] },
  {
    name: "matmul",
    fn: ops.matmul,
    shapes: [
      [2, 3],
      [3, 2],
    ],
  },
  { name: "matmul of vectors", fn: ops.matmul, shapes: [[3], [3]] },
  {
    name: "matmul folded",
    fn: ops.matmul,
    shapes: [
      [2, 2, 3],
      [3, 2],
    ],
  },
  {
    name: "matmul batched",
    fn: ops.matmul,
    shapes: [
      [2, 1, 2, 3],
      [2, 3, 2],
    ],
  },
  { name: "linear", fn: ops.linear, shapes: [[2, 2, 3], [4, 3], [4]] },
  {
    name: "attention",
    fn: (q, k, v) => ops.scaledDotProductAttention(q, k, v, { causal: true }),
    shapes: [
      [2, 3, 2],
      [2, 3, 2],
      [2, 3, 2],
    ],
  },
  {
    name: "attention with mask",
    fn: (q, k, v) => ops.scaledDotProductAttention(q, k, v, { mask: bools([1, 0, 1, 1, 1, 0], [2, 3]) }),
    shapes: [
      [2, 2],
      [3, 2],
      [3, 1],
    ],
  },
  {
    name: "conv2d",
    fn: (x, w, b) => ops.conv2d(x, w, b, { stride: [2, 1], padding: 1, dilation: [1, 2] }),
    shapes: [[1, 2, 4, 5], [2, 2, 3, 2], [2]],
  },
  {
    name: "conv2d in groups",
    fn: (x, w) => ops.conv2d(x, w, undefined, { groups: 2 }),
    shapes: [
      [1, 4, 3, 3],
      [2, 2, 2, 2],
    ],
  },
  {
    name: "conv1d",
    fn: (x, w) => ops.conv1d(x, w, undefined, { padding: 1 }),
    shapes: [
      [1, 2, 5],
      [2, 2, 3],
    ],
  },
  {
    name: "convTranspose2d",
    fn: (x, w, b) => ops.convTranspose2d(x, w, b, { stride: 2, padding: 1, outputPadding: 1 }),
    shapes: [[1, 2, 3, 3], [2, 2, 3, 3], [2]],
  },
  { name: "maxPool2d", fn: (x) => ops.maxPool2d(x, 2), shapes: [[1, 2, 4, 4]] },
  {
    name: "maxPool2d overlapping",
    fn: (x) => ops.maxPool2d(x, 3, { stride: 2, padding: 1 }),
    shapes: [[1, 1, 5, 5]],
  },
  {
    name: "avgPool2d",
    fn: (x) => ops.avgPool2d(x, 2, { padding: 1, countIncludePad: false }),
    shapes: [[1, 1, 4, 4]],
  },
  { name: "adaptiveAvgPool2d", fn: (x) => ops.adaptiveAvgPool2d(x, 1), shapes: [[2, 2, 2, 2]] },
  { name: "gather", fn: (x) => ops.gather(x, 1, ints([0, 2, 2, 1], [2, 2])), shapes: [[2, 3]] },
  {
    name: "scatterAdd",
    fn: (x, s) => ops.scatterAdd(x, 0, ints([1, 0, 1, 2], [2, 2]), s),
    shapes: [
      [3, 2],
      [2, 2],
    ],
  },
  {
    name: "embedding",
    fn: (w) => ops.embedding(w, ints([2, 0, 2, 1], [2, 2])),
    shapes: [[3, 2]],
  },
  { name: "indexSelect", fn: (x) => ops.indexSelect(x, 1, ints([2, 2, 0])), shapes: [[2, 3]] },
  {
    name: "layerNorm",
    fn: (x, w, b) => ops.layerNorm(x, 4, w, b),
    shapes: [[3, 4], [4], [4]],
  },
  {
    name: "batchNorm",
    fn: (x, w, b) => ops.batchNorm(x, undefined, undefined, w, b, { training: true }),
    shapes: [[3, 2, 2], [2], [2]],
  },
  {
    name: "batchNorm with running statistics",
    fn: (x, w, b) =>
      ops.batchNorm(x, ops.tensor([0.1, 0.2], { device }), ops.tensor([1.5, 0.7], { device }), w, b),
    shapes: [[3, 2], [2], [2]],
  },
  { name: "crossEntropy", fn: (x) => ops.crossEntropy(x, ints([2, 0])), shapes: [[2, 3]] },
  {
    name: "crossEntropy with everything",
    fn: (x) =>
      ops.crossEntropy(x, ints([2, -1, 0, 1], [2, 2]), {
        ignoreIndex: -1,
        labelSmoothing: 0.1,
        weight: ops.tensor([0.5, 1, 2], { device }),
      }),
    shapes: [[2, 3, 2]],
  },
  { name: "nllLoss", fn: (x) => ops.nllLoss(ops.logSoftmax(x, 1), ints([2, 0])), shapes: [[2, 3]] },
  {
    name: "mseLoss",
    fn: (x, t) => ops.mseLoss(x, t),
    shapes: [
      [2, 3],
      [2, 3],
    ],
  },
  {
    name: "l1Loss",
    fn: (x, t) => ops.l1Loss(x, t),
    shapes: [
      [2, 3],
      [2, 3],
    ],
  },
  {
    name: "binaryCrossEntropyWithLogits",
    fn: (x) => ops.binaryCrossEntropyWithLogits(x, bools([1, 0, 1])),
    shapes: [[3]],
  },
];

describe.each(cases)("$name", ({ fn, shapes, positive, values }) => {
  const inputs = shapes.map((shape, i) =>
    values ? Float64Array.from(values[i]) : sampleValues(shape, i, positive),
  );
  it("has the right gradient", () => gradcheck(device, fn, inputs, [...shapes]));
  it("has the right second derivative", () => gradgradcheck(device, fn, inputs, [...shapes]));
});
