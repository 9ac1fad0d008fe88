/** Reductions: over all, one and several dimensions, tails, long rows, empty extents, ties and special values. */

import type { Tensor } from "../../src/graph/tensor.js";
import { type Case, float, integers, listed, specialValues, tails, viewNames } from "./case.js";
import type { Values } from "./generate.js";
import { ops } from "./ops.js";

type Dims = number | readonly number[] | undefined;

interface Reduction {
  readonly op: string;
  readonly run: (x: Tensor, dims: Dims, keepdim: boolean) => Tensor;
  /** With DIMS for `dim=…, keepdim=…`. */
  readonly torch: string;
  readonly domain?: Values;
  readonly gradient?: boolean;
  /** Whether there is a value for no elements. Default true. */
  readonly empty?: boolean;
  readonly int32?: boolean;
  /** Takes one dimension only in PyTorch. */
  readonly single?: boolean;
  readonly ulps?: number;
}

export const reductions: readonly Reduction[] = [
  {
    op: "sum",
    run: (x, dims, keepdim) => ops.sum(x, dims, { keepdim }),
    torch: "torch.sum(a, DIMS)",
    int32: true,
  },
  {
    op: "mean",
    run: (x, dims, keepdim) => ops.mean(x, dims, { keepdim }),
    torch: "torch.mean(a, DIMS)",
    empty: false,
  },
  {
    op: "max",
    run: (x, dims, keepdim) => ops.max(x, dims, { keepdim }),
    torch: "torch.amax(a, DIMS)",
    empty: false,
    int32: true,
  },
  {
    op: "min",
    run: (x, dims, keepdim) => ops.min(x, dims, { keepdim }),
    torch: "torch.amin(a, DIMS)",
    empty: false,
    int32: true,
  },
  {
    op: "prod",
    run: (x, dims, keepdim) => ops.prod(x, dims, { keepdim }),
    torch: "torch.prod(a, DIMS)",
    domain: { between: [0.7, 1.3] },
    int32: true,
    single: true,
  },
  {
    op: "variance",
    run: (x, dims, keepdim) => ops.variance(x, dims, { keepdim }),
    torch: "torch.var(a, DIMS)",
    empty: false,
  },
  {
    op: "std",
    run: (x, dims, keepdim) => ops.std(x, dims, { keepdim }),
    torch: "torch.std(a, DIMS)",
    empty: false,
  },
  {
    op: "logsumexp",
    run: (x, dims, keepdim) => ops.logsumexp(x, dims, { keepdim }),
    torch: "torch.logsumexp(a, DIMS)",
    empty: false,
  },
  {
    op: "norm2",
    run: (x, dims, keepdim) => ops.norm2(x, dims, { keepdim }),
    torch: "torch.linalg.vector_norm(a, DIMS)",
    empty: false,
  },
  {
    op: "any",
    run: (x, dims, keepdim) => ops.any(x, dims, { keepdim }),
    torch: "torch.any(a, DIMS)",
    domain: { integers: [0, 2] },
    gradient: false,
    empty: false,
    int32: true,
  },
  {
    op: "all",
    run: (x, dims, keepdim) => ops.all(x, dims, { keepdim }),
    torch: "torch.all(a, DIMS)",
    domain: { integers: [-1, 3] },
    gradient: false,
    empty: false,
    int32: true,
  },
];

function python(dims: Dims, rank: number, keepdim = false): string {
  const list = dims === undefined ? Array.from({ length: rank }, (_, i) => i) : dims;
  const text = typeof list === "number" ? `${list}` : `(${list.map((d) => `${d},`).join("")})`;
  return `dim=${text}, keepdim=${keepdim ? "True" : "False"}`;
}

function reductionCases(reduction: Reduction): Case[] {
  const { op, run, torch, domain, gradient, empty = true, int32, single, ulps } = reduction;
  const over = (
    name: string,
    shape: number[],
    dims: Dims,
    more: Partial<Case> = {},
    keepdim = false,
  ): Case => ({
    name: `${op} ${name}`,
    op,
    inputs: [float(shape, domain)],
    run: ([x]) => run(x, dims, keepdim),
    torch:
      single && dims === undefined
        ? "torch.prod(a)"
        : torch.replace("DIMS", python(dims, shape.length, keepdim)),
    gradient,
    ulps,
    reductionLength: shape.reduce((n, extent) => n * Math.max(extent, 1), 1),
    ...more,
  });
  // One element has no variance and, for a norm or a deviation, no derivative.
  const least = op === "variance" || op === "std" ? 2 : 1;
  const cases = [
    ...tails.filter((n) => n >= least).map((n) => over(`of ${n}`, [n], 0)),
    ...tails.filter((n) => n >= least).map((n) => over(`of rows of ${n}`, [3, n], 1)),
    ...tails.map((n) => over(`of columns, ${n} of them`, [4, n], 0)),
    over("of everything", [3, 4, 5], undefined),
    over("of the middle", [3, 4, 5], 1),
    over("of the first", [5, 3, 7], 0),
    over("of the last, negative", [5, 3, 7], -1),
    over("kept", [3, 4, 5], 1, {}, true),
    over("of 4099", [4099], 0, op === "prod" ? { inputs: [float([4099], { between: [0.99, 1.01] })] } : {}),
    over(
      "of rows of 1031",
      [2, 1031],
      1,
      op === "prod" ? { inputs: [float([2, 1031], { between: [0.98, 1.02] })] } : {},
    ),
    over(
      "of columns of 1031",
      [1031, 3],
      0,
      op === "prod" ? { inputs: [float([1031, 3], { between: [0.98, 1.02] })] } : {},
    ),
    over("of nothing kept", [0, 3], 1),
    over("of rank 4", [2, 3, 4, 5], 2, { inputs: [float([2, 3, 4, 5], domain, "transposed")] }),
    ...viewNames.flatMap((view) => [
      over(`of the last, ${view}`, [3, 5, 6], 2, { inputs: [float([3, 5, 6], domain, view)] }),
      over(`of the first, ${view}`, [3, 5, 6], 0, {
        inputs: [float([3, 5, 6], domain, view)],
        // Three equal elements have the deviation 0, where its derivative is infinite.
        gradient: gradient ?? !(op === "std" && view === "expanded"),
      }),
    ]),
    over("of special values", [10], 0, { inputs: [listed(specialValues)], gradient: false }),
    over("of NaN, infinities and zeros apart", [6, 3], 1, {
      inputs: [
        listed(
          [
            Number.NaN,
            1,
            2,
            Infinity,
            1,
            2,
            -Infinity,
            1,
            2,
            -Infinity,
            Infinity,
            2,
            0,
            -0,
            0,
            1,
            2,
            Number.NaN,
          ],
          "float32",
          [6, 3],
        ),
      ],
      gradient: false,
    }),
  ];
  if (!single) {
    cases.push(
      over("of two dimensions", [3, 4, 5], [0, 2]),
      over("of the outer and the inner of four", [3, 2, 4, 5], [0, 3]),
      over("of the middle two of four, transposed", [3, 2, 4, 5], [1, 2], {
        inputs: [float([3, 2, 4, 5], domain, "transposed")],
      }),
      over("of long outer and inner dimensions", [71, 3, 67], [0, 2]),
      over("of a long middle", [2, 4100, 3], 1),
    );
  }
  if (least === 1 && op !== "norm2") cases.push(over("of rank 0", [], undefined));
  if (empty) cases.push(over("over nothing", [3, 0], 1), over("over nothing at all", [0], undefined));
  if (int32) {
    const ints = integers([5, 7], op === "prod" ? 1 : -9, op === "prod" ? 4 : 9);
    cases.push(over("of int32", [5, 7], 1, { inputs: [ints], gradient: false }));
  }
  return cases;
}

const positions: readonly Case[] = (["argmax", "argmin"] as const).flatMap((op): Case[] => {
  const of = (name: string, inputs: Case["inputs"], dim?: number, keepdim = false): Case => ({
    name: `${op} ${name}`,
    op,
    inputs,
    run: ([x]) => ops[op](x, dim, { keepdim }),
    torch:
      dim === undefined
        ? `torch.${op}(a)`
        : `torch.${op}(a, dim=${dim}, keepdim=${keepdim ? "True" : "False"})`,
    gradient: false,
  });
  return [
    ...tails.map((n) => of(`of ${n}`, [float([n])], 0)),
    of("of everything", [float([3, 4, 5])]),
    of("of the middle", [float([3, 4, 5])], 1),
    of("kept", [float([3, 4, 5])], -1, true),
    of("transposed", [float([5, 6], undefined, "transposed")], 1),
    of("flipped", [float([5, 6], undefined, "flipped")], 0),
    of("sliced", [float([5, 6], undefined, "sliced")], 1),
    of("of ties", [listed([1, 3, 3, 1, 2, 1, 1, 3, 3], "float32", [3, 3])], 1),
    of(
      "of NaN",
      [listed([1, Number.NaN, 3, Infinity, 2, -Infinity, Number.NaN, 5, Number.NaN], "float32", [3, 3])],
      1,
    ),
    of("of int32", [integers([4, 9], -100, 100)], 1),
    of("of 1031", [float([1031])], 0),
  ];
});

const ties: readonly Case[] = (["max", "min"] as const).map(
  (op): Case => ({
    name: `${op} shares the gradient of ties`,
    op,
    inputs: [listed([1, 3, 3, 1, 2, 1, 3, 3, 3], "float32", [3, 3])],
    run: ([x]) => ops[op](x, 1),
    torch: `torch.a${op}(a, dim=1)`,
    kink: true,
  }),
);

const varieties: readonly Case[] = [
  {
    name: "variance biased",
    op: "variance",
    inputs: [float([3, 7])],
    run: ([x]) => ops.variance(x, 1, { correction: 0 }),
    torch: "torch.var(a, dim=1, correction=0)",
    reductionLength: 7,
  },
  {
    name: "variance of one element is undefined",
    op: "variance",
    inputs: [float([3, 1])],
    run: ([x]) => ops.variance(x, 1),
    torch: "torch.var(a, dim=1)",
    gradient: false,
  },
  {
    name: "std biased",
    op: "std",
    inputs: [float([3, 7])],
    run: ([x]) => ops.std(x, 1, { correction: 0 }),
    torch: "torch.std(a, dim=1, correction=0)",
    reductionLength: 7,
  },
  {
    name: "variance far from zero",
    op: "variance",
    inputs: [float([2, 33], { between: [1000, 1001] })],
    run: ([x]) => ops.variance(x, 1),
    torch: "torch.var(a, dim=1)",
    reductionLength: 33,
    // The mean is known to half a unit in the last place of 1000.
    scale: 1000,
  },
  {
    name: "prod with one zero",
    op: "prod",
    inputs: [listed([2, 0, 3, -1.5, 4, 0.5], "float32", [2, 3])],
    run: ([x]) => ops.prod(x, 1),
    torch: "torch.prod(a, dim=1)",
  },
  {
    name: "prod with two zeros",
    op: "prod",
    inputs: [listed([2, 0, 0, -1.5])],
    run: ([x]) => ops.prod(x),
    torch: "torch.prod(a)",
  },
  {
    name: "prod over two dimensions",
    op: "prod",
    inputs: [float([3, 4, 2], { between: [0.5, 1.5] })],
    run: ([x]) => ops.prod(x, [0, 2]),
    torch: "torch.prod(torch.prod(a, dim=2), dim=0)",
    reductionLength: 6,
  },
  ...(["uint8", "int8", "bool"] as const).map(
    (dtype): Case => ({
      name: `sum of ${dtype}`,
      op: "sum",
      inputs: [integers([3, 300], 0, dtype === "bool" ? 2 : 100, dtype)],
      run: ([x]) => ops.sum(x, 1),
      torch: "torch.sum(a, dim=1)",
    }),
  ),
  ...(["any", "all"] as const).map(
    (op): Case => ({
      name: `${op} of bool`,
      op,
      inputs: [integers([6, 3], 0, 2, "bool")],
      run: ([x]) => ops[op](x, 1),
      torch: `torch.${op}(a, dim=1)`,
    }),
  ),
];

export const reduce: readonly Case[] = [
  ...reductions.flatMap(reductionCases),
  ...positions,
  ...ties,
  ...varieties,
];
