/** Reductions, softmaxes and norms of rows that are equal, tiny, huge, not finite, tied, or far from 0 by a common offset. */
import type { Tensor } from "../../src/graph/tensor.js";
import { type Case, fixed, listed } from "../cases/case.js";
import { ops } from "../cases/ops.js";
import { reductions } from "../cases/reduce.js";

/** Each with both signs. */
export function signed(values: readonly number[]): number[] {
  return values.flatMap((x) => [x, -x]);
}

/** Rows of four. */
export const rows: Readonly<Record<string, readonly number[]>> = {
  zeros: [0, 0, 0, 0],
  "zeros of both signs": [0, -0, -0, 0],
  "equal numbers": [2.5, 2.5, 2.5, 2.5],
  "ordinary numbers": [0.5, -1.25, 2, 3],
  ties: [3, -1, 3, -1],
  "subnormal numbers": [1e-40, -2e-40, 3e-40, 0],
  "numbers of 1e-30": [1e-30, -2e-30, 3e-30, 0],
  "numbers of 1e-8": [1e-8, -2e-8, 3e-8, 0],
  "numbers of 1e4": [1e4, -2e4, 3e4, 0],
  "numbers of 1e8": [1e8, -2e8, 3e8, 0],
  "numbers of 1e30": [1e30, -2e30, 3e30, 0],
  "numbers of 3e38": [3e38, 3e38, -3e38, 1],
  "one large among small": [1e8, 1, 2, 3],
  "an offset of 1e4": [10001, 10000, 10002, 10001],
  "an offset of 1e5": [100001, 100000, 100002, 100001],
  "an offset of 1e6": [1000001, 1000000, 1000002, 1000001],
  "an offset of -1e6": [-1000001, -1000000, -1000002, -1000001],
  "equal numbers far from 0": [1234567, 1234567, 1234567, 1234567],
  Infinity: [1, Infinity, 2, 0],
  "two of Infinity": [1, Infinity, Infinity, 0],
  "-Infinity": [1, -Infinity, 2, 0],
  "nothing but -Infinity": [-Infinity, -Infinity, -Infinity, -Infinity],
  "both infinities": [1, Infinity, -Infinity, 0],
  NaN: [1, Number.NaN, 2, 0],
  "NaN and Infinity": [Infinity, Number.NaN, -Infinity, 0],
};

interface OfRow {
  readonly op: string;
  readonly run: (x: Tensor) => Tensor;
  readonly torch: string;
  readonly gradient?: boolean;
  /** Result and gradient are differences from the mean, in units of the deviation, which an offset rounds away. */
  readonly isNormalized?: boolean;
}

const ofRows: readonly OfRow[] = [
  ...reductions.map(({ op, run, torch, gradient, single }) => ({
    op,
    run: (x: Tensor) => run(x, 1, false),
    torch: torch.replace("DIMS", single ? "1" : "dim=(1,)"),
    gradient,
  })),
  ...(["argmax", "argmin"] as const).map((op) => ({
    op,
    run: (x: Tensor) => ops[op](x, 1),
    torch: `torch.${op}(a, 1)`,
    gradient: false,
  })),
  { op: "std", run: (x) => ops.std(x, 1, { correction: 0 }), torch: "torch.std(a, 1, correction=0)" },
  { op: "softmax", run: (x) => ops.softmax(x, 1), torch: "torch.softmax(a, 1)" },
  { op: "logSoftmax", run: (x) => ops.logSoftmax(x, 1), torch: "torch.log_softmax(a, 1)" },
  { op: "layerNorm", run: (x) => ops.layerNorm(x, 4), torch: "F.layer_norm(a, (4,))", isNormalized: true },
  {
    op: "batchNorm",
    run: (x) =>
      ops.batchNorm(ops.reshape(x, [4, 1]), undefined, undefined, undefined, undefined, { training: true }),
    torch: "F.batch_norm(a.reshape(4, 1), None, None, training=True)",
    isNormalized: true,
  },
];

const ofEach: readonly Case[] = ofRows.flatMap(({ op, run, torch, gradient, isNormalized }, number) =>
  Object.entries(rows).map(
    ([name, values]): Case => ({
      name: `${op}${op === "std" && number > reductions.length ? " biased" : ""} of ${name}`,
      op,
      inputs: [listed(values, "float32", [1, 4])],
      run: ([x]) => run(x),
      torch,
      gradient,
      scale: isNormalized ? largestOf(values) : undefined,
    }),
  ),
);

export function largestFinite(values: readonly number[]): number {
  return Math.max(...values.filter(Number.isFinite).map(Math.abs), 0);
}

/** What a sum of the finite values is rounded by. */
function largestOf(values: readonly number[]): number {
  return Math.max(...values.map((x) => (Number.isFinite(x) && Math.abs(x) < 1e7 ? Math.abs(x) : 0)));
}

const one: readonly Case[] = ofRows
  .filter(({ op }) => op !== "batchNorm" && op !== "layerNorm")
  .map(
    ({ op, run, torch, gradient }, number): Case => ({
      name: `${op}${op === "std" && number > reductions.length ? " biased" : ""} of one number`,
      op,
      inputs: [listed([3, 0, 1e-30, Infinity], "float32", [4, 1])],
      run: ([x]) => run(x),
      torch,
      gradient,
    }),
  );

/** batchNorm by running statistics, and those that it leaves. */
const statistics: readonly Case[] = Object.entries(rows).flatMap(([name, values]): Case[] => [
  {
    name: `batchNorm by statistics, of ${name}`,
    op: "batchNorm",
    inputs: [
      listed(values, "float32", [4, 1]),
      fixed(listed([values[0]])),
      fixed(listed([4])),
      listed([2]),
      listed([1]),
    ],
    run: ([x, mean, variance, weight, bias]) => ops.batchNorm(x, mean, variance, weight, bias),
    torch: "F.batch_norm(a, b, c, d, e)",
    // As x·k + (bias − mean·k): of the size of x.
    scale: largestFinite(values),
  },
  ...([1, 2] as const).map(
    (which): Case => ({
      name: `batchNorm running ${which === 1 ? "mean" : "variance"}, of ${name}`,
      op: "batchNorm",
      inputs: [fixed(listed(values, "float32", [4, 1])), fixed(listed([1])), fixed(listed([1]))],
      run: (inputs) => {
        ops.batchNorm(inputs[0], inputs[1], inputs[2], undefined, undefined, { training: true });
        return ops.add(inputs[which], 0);
      },
      torch: `(F.batch_norm(a, b, c, training=True), ${which === 1 ? "b" : "c"})[1]`,
      gradient: false,
      scale: which === 1 ? 1 : largestOf(values),
    }),
  ),
]);

const wholeRows: readonly (readonly number[])[] = [
  [0, 0, 0, 0],
  [2147483647, -2147483648, 3, 3],
  [-2147483648, -2147483648, -2147483648, -2147483648],
  [16777217, 1, -5, 16777217],
];

const integers: readonly Case[] = [
  ...reductions.filter(({ int32 }) => int32),
  ...ofRows.filter(({ op }) => op === "argmax" || op === "argmin"),
].map(
  ({ op, run, torch }): Case => ({
    name: `${op} int32`,
    op,
    inputs: [listed(wholeRows.flat(), "int32", [4, 4])],
    run: ([x]) => (run as (x: Tensor, dims: number, keepdim: boolean) => Tensor)(x, 1, false),
    // PyTorch sums integers as int64.
    torch: `${torch.replace("DIMS", op === "prod" ? "1" : "dim=(1,)")}${op === "sum" || op === "prod" ? ".to(torch.int32)" : ""}`,
  }),
);

export const reduced: readonly Case[] = [...ofEach, ...one, ...statistics, ...integers];
