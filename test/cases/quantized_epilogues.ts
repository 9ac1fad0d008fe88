/** Quantized products with epilogues: residuals, activations, gates, int8. */
import type { Tensor } from "../../src/graph/tensor.js";
import * as ops from "../../src/ops/index.js";
import { type Case, type Input, integers } from "./case.js";

/** A product of the inputs: a float32 tensor of `shape`, of multiples of 1/16 below 128, which half floats hold exactly, too. */
interface Product {
  readonly op: "quantizedLinear" | "quantizedConv2d";
  readonly inputs: readonly Input[];
  readonly shape: readonly number[];
  run(inputs: readonly Tensor[]): Tensor;
}

/** What follows a product y; `other` has its shape. */
type Follow = (y: Tensor, other: Tensor) => Tensor;

const int8 = (...shape: number[]) => integers(shape, -3, 4, "int8");
const scale = 1 / 16;

function scales(count: number, { device }: Tensor): Tensor {
  return ops.full([count], scale, { device });
}

function linear(m: number, k: number, n: number): Product {
  return {
    op: "quantizedLinear",
    inputs: [int8(m, k), int8(n, k), integers([n], -160, 160)],
    shape: [m, n],
    run: ([x, w, offsets]) => ops.quantizedLinear(x, ops.packWeight(w), { scales: scales(n, x), offsets }),
  };
}

function fourBits(m: number, k: number, n: number): Product {
  const groupSize = 32;
  return {
    op: "quantizedLinear",
    inputs: [int8(m, k), int8(n, k)],
    shape: [m, n],
    run: ([x, w]) =>
      ops.quantizedLinear(x, ops.packWeight(w, { bits: 4, groupSize }), {
        scales: ops.groupScales(ops.full([n, k / groupSize], scale, { device: x.device })),
        inputScales: ops.full([m, k / groupSize], 1, { device: x.device }),
      }),
  };
}

function weightOnly(m: number, k: number, n: number): Product {
  return {
    op: "quantizedLinear",
    inputs: [integers([m, k], -3, 4, "float32"), int8(n, k)],
    shape: [m, n],
    run: ([x, w]) => ops.quantizedLinear(x, ops.packWeight(w), { scales: scales(n, x) }),
  };
}

function conv(channels: number, out: number, kernel: number, groups: number): Product {
  return {
    op: "quantizedConv2d",
    inputs: [
      int8(2, channels, 6, 7),
      int8(out, channels / groups, kernel, kernel),
      integers([out], -9, 9, "float32"),
    ],
    shape: [2, out, 6, 7],
    run: ([x, w, bias]) =>
      ops.quantizedConv2d(x, ops.packWeight(w, { groups }), {
        scales: scales(out, x),
        bias,
        groups,
        padding: kernel >> 1,
        inputZeroPoint: 3,
      }),
  };
}

const products: Readonly<Record<string, Product>> = {
  "one row": linear(1, 40, 19),
  "one row, a long sum": linear(1, 2048, 12),
  "rows, many columns": linear(3, 24, 1032),
  "more rows": linear(21, 70, 33),
  "4 bits": fourBits(5, 96, 21),
  "float32 rows": weightOnly(6, 36, 29),
  "3 × 3 filters": conv(5, 9, 3, 1),
  "1 × 1 filters": conv(8, 12, 1, 1),
  "filters in groups": conv(12, 18, 3, 3),
  "depthwise filters": conv(20, 20, 3, 20),
};

const follows: Readonly<Record<string, Follow>> = {
  "a residual and relu": (y, other) => ops.relu(ops.add(y, other)),
  gelu: (y) => ops.gelu(y),
  "a gate": (y, other) => ops.mul(ops.silu(y), other),
  "a residual, relu and rounding to int8": (y, other) =>
    ops.quantizePerTensor(ops.relu(ops.add(y, other)), { scale: 0.25, zeroPoint: -60 }),
};

export const quantizedEpilogues: readonly Case[] = Object.entries(products).flatMap(
  ([product, { op, inputs, shape, run }]) =>
    Object.entries(follows).map(
      ([follow, end]): Case => ({
        name: `${op} of ${product}, then ${follow}`,
        op,
        inputs: [...inputs, integers(shape, -9, 9, "float32")],
        run: (given) => end(run(given), given[inputs.length]),
        torch: { none: "the products alone are compared with PyTorch" },
        gradient: false,
        scale: 100,
      }),
    ),
);
