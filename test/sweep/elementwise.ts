/** Functions of one and two numbers at their kinks, at the ends of float32 and int32, and at non-finite values. */
import { type Case, fixed, listed } from "../cases/case.js";
import { binary, unary } from "../cases/elementwise.js";
import { ops } from "../cases/ops.js";
import { signed } from "./rows.js";

/** Subnormal, tiny, ordinary and huge; halves for the roundings; where exp, tanh and softplus begin and end. */
const magnitudes = [
  0,
  1e-45,
  1e-40,
  1.2e-38,
  1e-30,
  1e-20,
  1e-8,
  6e-5,
  0.01,
  0.5,
  1,
  1.5,
  2,
  2.5,
  3.5,
  6,
  10,
  17,
  20,
  21,
  40,
  87,
  88.5,
  89.5,
  103,
  110,
  1e4,
  65504,
  1e6,
  16777217,
  1e8,
  2147483648,
  1e15,
  1e20,
  1e30,
  3e38,
  Infinity,
];
const points = [...signed(magnitudes), Number.NaN];

/** Sine and cosine lose their angle beyond: PyTorch's own vectorized loops differ from its others there. */
const largestAngle = 1e6;

const ofOne: readonly Case[] = unary.map(({ op, run, torch, gradient, variant }): Case => {
  const isAngle = op === "sin" || op === "cos";
  const values = isAngle ? points.filter((x) => !(Math.abs(x) > largestAngle)) : points;
  return {
    name: `${op}${variant ? ` ${variant}` : ""}`,
    op,
    inputs: [listed(values)],
    run: ([x]) => run(x),
    torch,
    gradient,
    signedZero: true,
  };
});

const few = [
  ...signed([0, 1e-40, 1e-30, 0.5, 1, 2, 3, 65536, 1e30, 3e38, Infinity]).filter((x) => x !== -0.5),
  -2.5,
  Number.NaN,
];
const left = few.flatMap((x) => few.map(() => x));
const right = few.flatMap(() => few);

const ofTwo: readonly Case[] = binary.map(
  ({ op, run, torch, gradient }): Case => ({
    name: op,
    op,
    inputs: [listed(left), listed(right)],
    run: ([a, b]) => run(a, b),
    torch,
    gradient,
    signedZero: op !== "maximum" && op !== "minimum",
  }),
);

const exponents = [
  0,
  1,
  2,
  3,
  4,
  5,
  0.5,
  -0.5,
  -1,
  -2,
  -3,
  1.5,
  -1.5,
  20,
  -20,
  Infinity,
  -Infinity,
  Number.NaN,
];

const python = (x: number) =>
  Number.isNaN(x) ? "float('nan')" : Math.abs(x) === Infinity ? `float('${x > 0 ? "" : "-"}inf')` : `${x}`;

const powers: readonly Case[] = exponents.map(
  (exponent): Case => ({
    name: `pow to the ${exponent}`,
    op: "pow",
    inputs: [listed(points)],
    run: ([x]) => ops.pow(x, exponent),
    torch: `torch.pow(a, ${python(exponent)})`,
    signedZero: true,
  }),
);

const bases: readonly Case[] = [0, 1, -1, 2, -2.5, 1e-30, 1e30, Infinity].map(
  (base): Case => ({
    name: `pow, base ${base}`,
    op: "pow",
    inputs: [listed(points)],
    run: ([x]) => ops.pow(base, x),
    torch: `torch.pow(${python(base)}, a)`,
    signedZero: true,
  }),
);

const choices: readonly Case[] = [
  {
    name: "where",
    op: "where",
    inputs: [listed([1, 0, 0], "bool", [points.length]), listed(points), listed(points.toReversed())],
    run: ([c, a, b]) => ops.where(c, a, b),
    torch: "torch.where(a, b, c)",
    signedZero: true,
  },
  {
    name: "fakeQuantize",
    op: "fakeQuantize",
    inputs: [listed(points)],
    run: ([x]) => ops.fakeQuantize(x, 0.5, { zeroPoint: 3, min: -128, max: 127 }),
    torch: "torch.fake_quantize_per_tensor_affine(a.float(), 0.5, 3, -128, 127)",
  },
];

const whole = [0, 1, -1, 2, -2, 3, 7, -8, 65536, 16777217, 2147483647, -2147483648];
const pairs = { left: whole.flatMap((x) => whole.map(() => x)), right: whole.flatMap(() => whole) };

/** int32 at its ends: sums wrap, quotients are floats. PyTorch raises for a remainder by 0. */
const integers: readonly Case[] = [
  ...unary
    .filter(({ int32 }) => int32)
    .map(
      ({ op, run, torch }): Case => ({
        name: `${op} int32`,
        op,
        inputs: [listed(op === "sin" || op === "cos" ? whole.slice(0, 9) : whole, "int32")],
        run: ([x]) => run(x),
        // PyTorch has no relu or rounding of its own for integers that goes beyond the identity.
        torch: /^torch\.(floor|ceil|round|trunc)/.test(torch) ? "a" : torch,
      }),
    ),
  ...binary
    .filter(({ op, int32 }) => int32 && op !== "pow")
    .map(({ op, run, torch }): Case => {
      const divisors = pairs.right.map((x) => (op === "mod" && x === 0 ? 1 : x));
      return {
        name: `${op} int32`,
        op,
        inputs: [listed(pairs.left, "int32"), listed(divisors, "int32")],
        run: ([a, b]) => run(a, b),
        torch,
      };
    }),
  {
    name: "pow int32",
    op: "pow",
    inputs: [
      listed(pairs.left, "int32"),
      listed(
        pairs.right.map((x) => Math.min(x, 40)),
        "int32",
      ),
    ],
    run: ([a, b]) => ops.pow(a, b),
    torch: "torch.pow(a, b)",
  },
];

/** Every pair of a logit and a target of 0, ½ or 1; and of two numbers. */
const logits = signed([0, 1e-8, 1e-4, 1, 10, 30, 88, 104, 1e4, 1e6, 1e8, Infinity]);
const targets = [0, 0.5, 1];
const opposed = signed([0, 1e-30, 1, 1e8, 3e38, Infinity]);

const losses: readonly Case[] = [
  {
    name: "binaryCrossEntropyWithLogits",
    op: "binaryCrossEntropyWithLogits",
    inputs: [listed(logits.flatMap((x) => targets.map(() => x))), listed(logits.flatMap(() => targets))],
    run: ([x, t]) => ops.binaryCrossEntropyWithLogits(x, t, { reduction: "none" }),
    torch: "F.binary_cross_entropy_with_logits(a, b, reduction='none')",
  },
  ...(["mseLoss", "l1Loss"] as const).map(
    (op): Case => ({
      name: op,
      op,
      inputs: [listed(opposed.flatMap((x) => opposed.map(() => x))), listed(opposed.flatMap(() => opposed))],
      run: ([x, t]) => ops[op](x, t, { reduction: "none" }),
      torch: `F.${op === "mseLoss" ? "mse" : "l1"}_loss(a, b, reduction='none')`,
    }),
  ),
  {
    name: "dropout",
    op: "dropout",
    inputs: [listed(points)],
    run: ([x]) => ops.dropout(x, 0),
    torch: "F.dropout(a, 0.0)",
  },
  {
    name: "oneHot",
    op: "oneHot",
    inputs: [fixed(listed([0, 2, 1], "int32"))],
    run: ([x]) => ops.oneHot(x, 3),
    torch: "F.one_hot(a.long(), 3)",
  },
];

export const elementwise: readonly Case[] = [
  ...ofOne,
  ...ofTwo,
  ...powers,
  ...bases,
  ...choices,
  ...integers,
  ...losses,
];
