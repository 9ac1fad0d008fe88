/** Matrix products: odd sizes around the kernels' tiles, long inner sizes, batches, vectors, strided operands. */
import * as ops from "../../src/ops/index.js";
import { type Case, float, type Input, viewNames } from "./case.js";
import type { Values } from "./generate.js";

const unit: Values = { between: [-1, 1] };

/** Long sums appear in the result (k) and in the gradients (m and n). */
function matmulCase(name: string, a: Input, b: Input, more: Partial<Case> = {}): Case {
  return {
    name: `matmul ${name}`,
    op: "matmul",
    inputs: [a, b],
    run: ([x, y]) => ops.matmul(x, y),
    torch: "torch.matmul(a, b)",
    reductionLength: Math.max(...a.shape, ...b.shape, 1),
    ...more,
  };
}

function product(m: number, k: number, n: number, more: Partial<Case> = {}): Case {
  return matmulCase(`[${m}, ${k}] × [${k}, ${n}]`, float([m, k], unit), float([k, n], unit), more);
}

/** m, k, n around register tiles of 4, 8 and 16, and one block of several tiles. */
const sizes: readonly (readonly [number, number, number])[] = [
  [1, 1, 1],
  [1, 7, 1],
  [1, 64, 33],
  [2, 3, 4],
  [3, 5, 7],
  [4, 4, 4],
  [5, 1, 9],
  [6, 8, 16],
  [7, 13, 17],
  [8, 16, 8],
  [9, 31, 15],
  [13, 2, 5],
  [16, 17, 1],
  [17, 33, 31],
  [33, 64, 65],
  [64, 64, 64],
  [65, 127, 47],
];

const matmuls: readonly Case[] = [
  ...sizes.map(([m, k, n]) => product(m, k, n)),
  product(3, 4099, 5),
  product(1, 8191, 2),
  product(300, 3, 5),
  product(2, 5, 301),
  product(3, 0, 4),
  product(0, 3, 4),
  product(3, 4, 0),
  matmulCase("vector × vector", float([9]), float([9])),
  matmulCase("vector × matrix", float([5]), float([5, 7])),
  matmulCase("matrix × vector", float([7, 5]), float([5])),
  matmulCase("vector × batch", float([4]), float([2, 4, 3])),
  matmulCase("batch × vector", float([2, 3, 4]), float([4])),
  matmulCase("batch × matrix", float([2, 3, 4]), float([4, 5])),
  matmulCase("batch × batch", float([3, 4, 5]), float([3, 5, 2])),
  matmulCase("batches broadcast", float([2, 1, 3, 4]), float([5, 4, 2])),
  matmulCase("matrix × batch", float([3, 4]), float([2, 4, 5])),
  matmulCase("empty batch", float([0, 3, 4]), float([0, 4, 5])),
  matmulCase("batch of single rows", float([6, 1, 8]), float([6, 8, 1])),
  ...viewNames.flatMap((view) => [
    matmulCase(`left ${view}`, float([7, 9], unit, view), float([9, 6], unit)),
    matmulCase(`right ${view}`, float([7, 9], unit), float([9, 6], unit, view)),
    matmulCase(`both ${view}`, float([7, 9], unit, view), float([9, 6], unit, view)),
    matmulCase(`batch ${view}`, float([3, 5, 6], unit, view), float([3, 6, 4], unit, view)),
  ]),
  ...(["left", "right", "both"] as const).flatMap((side) => {
    const left = side === "right" ? undefined : "transposed";
    const right = side === "left" ? undefined : "transposed";
    return [
      matmulCase(`one row, ${side} transposed`, float([1, 19], unit, left), float([19, 11], unit, right)),
      matmulCase(`one column, ${side} transposed`, float([11, 19], unit, left), float([19, 1], unit, right)),
      matmulCase(`outer product, ${side} transposed`, float([9, 1], unit, left), float([1, 17], unit, right)),
      matmulCase(`batch, ${side} transposed`, float([2, 5, 7], unit, left), float([2, 7, 9], unit, right)),
    ];
  }),
  ...[4, 8, 12].flatMap((edge) =>
    [-1, 0, 1].map((off) => product(edge + off, 5, 2 * edge - off, { name: `matmul tails ${edge} ${off}` })),
  ),
  matmulCase("batches broadcast both ways", float([3, 1, 4, 5], unit), float([1, 2, 5, 9], unit)),
  matmulCase("an expanded batch", float([4, 3, 5], unit, "expanded"), float([4, 5, 6], unit)),
  matmulCase("large left transposed", float([33, 70], unit, "transposed"), float([70, 40], unit)),
  matmulCase("large right transposed", float([33, 70], unit), float([70, 40], unit, "transposed")),
  // One to three rows, or columns, of a large matrix, which is read in one of two orders or in none.
  ...[1, 2, 3].flatMap((rows) => [
    product(rows, 260, 72),
    product(rows, 256, 66),
    product(68, 264, rows),
    matmulCase(
      `${rows} rows, large right transposed`,
      float([rows, 192], unit),
      float([192, 89], unit, "transposed"),
    ),
    matmulCase(
      `${rows} columns, large left transposed`,
      float([88, 192], unit, "transposed"),
      float([192, rows], unit),
    ),
  ]),
  // Some of k is left over after whole texels.
  product(1, 257, 72),
  product(2, 263, 64),
  product(3, 1030, 20),
  product(72, 254, 2),
  matmulCase("batch of rows with a rest", float([6, 1, 131], unit), float([6, 131, 36], unit)),
  product(1, 8192, 6),
  matmulCase("rows narrowed", float([2, 1028], unit, "narrowed"), float([1028, 40], unit, "narrowed")),
  matmulCase("rows sliced", float([3, 128], unit, "sliced"), float([128, 64], unit)),
  matmulCase("batch of rows and large matrices", float([3, 2, 64], unit), float([3, 64, 72], unit)),
  matmulCase(
    "batches of rows broadcast",
    float([2, 1, 1, 36], unit),
    float([3, 36, 140], unit, "transposed"),
  ),
  matmulCase("batch of columns and large matrices", float([3, 70, 84], unit), float([3, 84, 1], unit)),
  {
    name: "matmul of one row, bias and relu",
    op: "matmul",
    inputs: [float([1, 260], unit), float([260, 76], unit), float([76])],
    run: ([x, y, bias]) => ops.relu(ops.add(ops.matmul(x, y), bias)),
    torch: "torch.relu(a @ b + c)",
    reductionLength: 260,
    scale: 4,
  },
  {
    name: "matmul of one column with a bias per row",
    op: "matmul",
    inputs: [float([80, 256], unit), float([256, 1], unit), float([80, 1])],
    run: ([x, y, bias]) => ops.relu(ops.add(bias, ops.matmul(x, y))),
    torch: "torch.relu(a @ b + c)",
    reductionLength: 256,
    scale: 4,
  },
  {
    name: "matmul with itself",
    op: "matmul",
    inputs: [float([5, 5])],
    run: ([x]) => ops.matmul(x, ops.transpose(x, 0, 1)),
    torch: "a @ a.T",
    reductionLength: 10,
    scale: 4,
  },
  {
    name: "matmul with a permuted batch",
    op: "matmul",
    inputs: [float([2, 5, 3, 4], unit), float([2, 6, 3, 4], unit)],
    run: ([q, k]) => ops.matmul(ops.permute(q, [0, 2, 1, 3]), ops.permute(k, [0, 2, 3, 1])),
    torch: "a.permute(0, 2, 1, 3) @ b.permute(0, 2, 3, 1)",
    reductionLength: 6,
  },
  {
    name: "matmul then relu",
    op: "matmul",
    inputs: [float([7, 9]), float([9, 6])],
    run: ([x, y]) => ops.relu(ops.matmul(x, y)),
    torch: "torch.relu(a @ b)",
    reductionLength: 9,
    scale: 4,
  },
  {
    name: "matmul, bias and relu of a batch",
    op: "matmul",
    inputs: [float([2, 5, 7]), float([7, 9]), float([9])],
    run: ([x, y, bias]) => ops.relu(ops.add(ops.matmul(x, y), bias)),
    torch: "torch.relu(a @ b + c)",
    reductionLength: 10,
    scale: 4,
  },
  {
    name: "matmul with a bias per row",
    op: "matmul",
    inputs: [float([5, 7]), float([7, 9]), float([5, 1])],
    run: ([x, y, bias]) => ops.relu(ops.add(bias, ops.matmul(x, y))),
    torch: "torch.relu(a @ b + c)",
    reductionLength: 9,
    scale: 4,
  },
  {
    name: "matmul with a residual, used twice",
    op: "matmul",
    inputs: [float([5, 7]), float([7, 9]), float([5, 9])],
    run: ([x, y, residual]) => {
      const product = ops.matmul(x, y);
      return ops.mul(ops.add(product, residual), product);
    },
    torch: "(a @ b + c) * (a @ b)",
    reductionLength: 9,
    scale: 400,
  },
  {
    name: "matmul over nothing with bias and relu",
    op: "matmul",
    inputs: [float([3, 0]), float([0, 5]), float([5])],
    run: ([x, y, bias]) => ops.relu(ops.add(ops.matmul(x, y), bias)),
    torch: "torch.relu(a @ b + c)",
    reductionLength: 3,
  },
  {
    name: "matmul of NaN and infinities",
    op: "matmul",
    inputs: [
      { shape: [3, 2], dtype: "float32", values: { list: [Number.NaN, 1, Infinity, 2, 1, 2] } },
      { shape: [2, 2], dtype: "float32", values: { list: [1, 2, 3, 0] } },
    ],
    run: ([x, y]) => ops.matmul(x, y),
    torch: "a @ b",
    gradient: false,
  },
];

function linearCase(
  name: string,
  x: readonly number[],
  out: number,
  bias: boolean,
  more: Partial<Case> = {},
): Case {
  const inner = x[x.length - 1];
  return {
    name: `linear ${name}`,
    op: "linear",
    inputs: [float(x), float([out, inner], unit), ...(bias ? [float([out])] : [])],
    run: ([input, weight, b]) => ops.linear(input, weight, b),
    torch: bias ? "F.linear(a, b, c)" : "F.linear(a, b)",
    reductionLength: Math.max(inner, out, ...x),
    scale: 2,
    ...more,
  };
}

const linears: readonly Case[] = [
  linearCase("[4, 6] to 5", [4, 6], 5, true),
  linearCase("without bias", [4, 6], 5, false),
  linearCase("of one row", [1, 33], 17, true),
  linearCase("of a vector", [7], 9, true),
  linearCase("of one long row", [1, 320], 102, true),
  linearCase("of a long vector", [320], 71, true),
  linearCase("of a batch of long rows", [3, 1, 160], 130, true),
  linearCase("of a batch", [2, 3, 5], 4, true),
  linearCase("of rank 4", [2, 2, 3, 5], 4, true),
  linearCase("[65, 70] to 33", [65, 70], 33, true),
  linearCase("of no rows", [0, 6], 5, true),
  linearCase("to one", [9, 6], 1, true),
  {
    name: "linear then relu",
    op: "linear",
    inputs: [float([9, 13]), float([7, 13]), float([7])],
    run: ([x, w, b]) => ops.relu(ops.linear(x, w, b)),
    torch: "torch.relu(F.linear(a, b, c))",
    reductionLength: 13,
    scale: 4,
  },
  {
    name: "linear twice, relu between",
    op: "linear",
    inputs: [float([5, 6]), float([8, 6], unit), float([8]), float([3, 8], unit), float([3])],
    run: ([x, w, b, v, c]) => ops.linear(ops.relu(ops.linear(x, w, b)), v, c),
    torch: "F.linear(torch.relu(F.linear(a, b, c)), d, e)",
    reductionLength: 48,
    scale: 4,
  },
  {
    name: "linear of views",
    op: "linear",
    inputs: [
      float([6, 5], undefined, "transposed"),
      float([4, 5], undefined, "sliced"),
      float([4], undefined, "flipped"),
    ],
    run: ([x, w, b]) => ops.linear(x, w, b),
    torch: "F.linear(a, b, c)",
    reductionLength: 6,
    scale: 4,
  },
];

export const linalg: readonly Case[] = [...matmuls, ...linears];
