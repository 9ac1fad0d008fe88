/** float16 and bfloat16: rounding and widening, tables of them, and products and convolutions with such weights. */

import type { HalfDType } from "../../src/core/dtype.js";
import type { Tensor } from "../../src/graph/tensor.js";
import * as ops from "../../src/ops/index.js";
import { type Case, fixed, float, type Input, integers, listed, specialValues } from "./case.js";

const dtypes: readonly HalfDType[] = ["float16", "bfloat16"];

/** Beside the special values: ties, the largest half and what rounds to infinity, subnormals and what rounds to 0. */
const edges = [
  ...[
    65504, 65519.9, 65520, -65536, 3.3895313892515355e38, 3.4e38, 1.00048828125, 1.0009765625, 1.00146484375,
  ],
  ...[
    1.00390625, 1.01171875, 6.097555160522461e-5, -6.103515625e-5, 5.9604644775390625e-8,
    2.9802322387695312e-8,
  ],
  ...[2.98023259404127e-8, 8.940696716308594e-8, 1 / 3],
];

/** Roundings are compared with those of files (test/formats), sums of products with finite differences. */
const torch = { none: "the same values as float32, once rounded" };

function casts(dtype: HalfDType): Case[] {
  const cast = (name: string, input: Input, run: (x: Tensor) => Tensor): Case => ({
    name: `cast ${name}`,
    op: "cast",
    inputs: [input],
    run: ([x]) => run(x),
    torch,
    gradient: false,
  });
  const rounded = (x: Tensor) => ops.cast(ops.cast(x, dtype), "float32");
  return [
    cast(`to ${dtype} [3, 37]`, float([3, 37], { between: [-300, 300] }), rounded),
    cast(`to ${dtype} and back special values`, listed([...specialValues, ...edges]), rounded),
    cast(`to ${dtype}`, float([41]), (x) => ops.cast(x, dtype)),
    cast(`of ${dtype} to int32`, { ...float([29], { between: [-90, 90] }), dtype }, (x) =>
      ops.cast(x, "int32"),
    ),
    cast(`of int32 to ${dtype}`, integers([19], -5000, 5000), rounded),
    cast(`of ${dtype} transposed`, { ...float([5, 7]), dtype, view: "transposed" }, (x) =>
      ops.cast(ops.reshape(x, [35]), "float32"),
    ),
  ];
}

function products(dtype: HalfDType): Case[] {
  const linear = (m: number, k: number, n: number): Case => ({
    name: `linear [${m}, ${k}] to ${n} of ${dtype}`,
    op: "linear",
    inputs: [float([m, k]), fixed(float([n, k], { between: [-1, 1] })), float([n])],
    run: ([x, w, b]) => ops.linear(x, ops.cast(w, dtype), b),
    torch,
    reductionLength: Math.max(k, n, m),
    scale: 2,
  });
  const matmul = (m: number, k: number, n: number): Case => ({
    name: `matmul [${m}, ${k}] × [${k}, ${n}] of ${dtype}`,
    op: "matmul",
    inputs: [float([m, k]), fixed(float([k, n], { between: [-1, 1] }))],
    run: ([x, w]) => ops.matmul(x, ops.cast(w, dtype)),
    torch,
    reductionLength: Math.max(k, n),
    scale: 2,
  });
  return [
    linear(1, 5, 3),
    linear(1, 320, 102),
    linear(3, 160, 130),
    linear(2, 33, 17),
    linear(17, 70, 33),
    linear(65, 70, 40),
    matmul(1, 128, 260),
    matmul(5, 40, 24),
    matmul(40, 30, 9),
    {
      name: `linear of ${dtype}, then gelu and residual`,
      op: "linear",
      inputs: [float([6, 24]), fixed(float([24, 24], { between: [-1, 1] }))],
      run: ([x, w]) => ops.add(x, ops.gelu(ops.linear(x, ops.cast(w, dtype)))),
      torch,
      reductionLength: 24,
      scale: 4,
    },
  ];
}

function others(dtype: HalfDType): Case[] {
  const conv = (name: string, x: number[], w: number[], options: ops.ConvOptions = {}): Case => ({
    name: `conv2d ${name} of ${dtype}`,
    op: "conv2d",
    inputs: [float(x), fixed(float(w, { between: [-1, 1] }))],
    run: ([input, weight]) => ops.conv2d(input, ops.cast(weight, dtype), options),
    torch,
    reductionLength: Math.max(w[1], w[0]) * w[2] * w[3],
    scale: 2,
  });
  return [
    conv("3 × 3", [2, 4, 7, 6], [8, 4, 3, 3], { padding: 1 }),
    conv("1 × 1", [1, 12, 9, 9], [16, 12, 1, 1]),
    conv("in 2 groups, in steps", [2, 6, 9, 8], [10, 3, 3, 3], { groups: 2, stride: 2 }),
    {
      name: `convTranspose2d of ${dtype}`,
      op: "convTranspose2d",
      inputs: [float([2, 6, 5, 4]), fixed(float([6, 5, 3, 3], { between: [-1, 1] }))],
      run: ([x, w]) => ops.convTranspose2d(x, ops.cast(w, dtype), { stride: 2 }),
      torch,
      reductionLength: 54,
      scale: 2,
    },
    ...[8, 10].map(
      (width): Case => ({
        name: `embedding of ${dtype} [11, ${width}]`,
        op: "embedding",
        inputs: [fixed(float([11, width])), integers([2, 5], 0, 11)],
        run: ([table, index]) => ops.embedding(ops.cast(table, dtype), index),
        torch,
      }),
    ),
    {
      name: `concat of ${dtype}`,
      op: "concat",
      inputs: [float([3, 5]), float([2, 5])].map((input) => ({ ...input, dtype })),
      run: ([a, b]) => ops.concat([a, b], 0),
      torch,
      gradient: false,
    },
  ];
}

export const halves: readonly Case[] = dtypes.flatMap((dtype) => [
  ...casts(dtype),
  ...products(dtype),
  ...others(dtype),
]);
