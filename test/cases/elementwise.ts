/** Elementwise functions of one and two operands: tails, views, broadcasting, special values, int32. */

import type { Tensor } from "../../src/graph/tensor.js";
import {
  type Case,
  float,
  integers,
  listed,
  specialValues,
  tails,
  type ViewName,
  viewNames,
} from "./case.js";
import type { Values } from "./generate.js";
import { ops } from "./ops.js";

interface Unary {
  readonly op: string;
  readonly run: (x: Tensor) => Tensor;
  readonly torch: string;
  /** Where the function is defined and differentiable; default [-2, 2). */
  readonly domain?: Values;
  readonly int32?: boolean;
  readonly gradient?: boolean;
  /** Variant of an op that has several. */
  readonly variant?: string;
}

const positive: Values = { between: [0.1, 3] };
const notZero: Values = { between: [-2, 2], avoid: [0] };
const notWhole: Values = { between: [-2.9, 2.9], avoid: [-2, -1, 0, 1, 2, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5] };

export const unary: readonly Unary[] = [
  { op: "neg", run: ops.neg, torch: "-a", int32: true },
  { op: "abs", run: ops.abs, torch: "torch.abs(a)", domain: notZero, int32: true },
  { op: "sign", run: ops.sign, torch: "torch.sign(a)", domain: notZero, int32: true },
  { op: "relu", run: ops.relu, torch: "torch.relu(a)", domain: notZero, int32: true },
  { op: "square", run: ops.square, torch: "a * a", int32: true },
  { op: "exp", run: ops.exp, torch: "torch.exp(a)", int32: true },
  { op: "expm1", run: ops.expm1, torch: "torch.expm1(a)", int32: true },
  { op: "log", run: ops.log, torch: "torch.log(a)", domain: positive },
  { op: "log1p", run: ops.log1p, torch: "torch.log1p(a)", domain: { between: [-0.9, 3] }, int32: true },
  { op: "sqrt", run: ops.sqrt, torch: "torch.sqrt(a)", domain: positive },
  { op: "rsqrt", run: ops.rsqrt, torch: "torch.rsqrt(a)", domain: positive },
  { op: "reciprocal", run: ops.reciprocal, torch: "torch.reciprocal(a)", domain: { between: [0.5, 2] } },
  { op: "sin", run: ops.sin, torch: "torch.sin(a)", int32: true },
  { op: "cos", run: ops.cos, torch: "torch.cos(a)", int32: true },
  { op: "tanh", run: ops.tanh, torch: "torch.tanh(a)", int32: true },
  { op: "sigmoid", run: ops.sigmoid, torch: "torch.sigmoid(a)", int32: true },
  { op: "erf", run: ops.erf, torch: "torch.erf(a)", int32: true },
  { op: "floor", run: ops.floor, torch: "torch.floor(a)", domain: notWhole, int32: true },
  { op: "ceil", run: ops.ceil, torch: "torch.ceil(a)", domain: notWhole, int32: true },
  { op: "round", run: ops.round, torch: "torch.round(a)", domain: notWhole, int32: true },
  { op: "trunc", run: ops.trunc, torch: "torch.trunc(a)", domain: notWhole, int32: true },
  { op: "isnan", run: ops.isnan, torch: "torch.isnan(a)", gradient: false, int32: true },
  { op: "logicalNot", run: ops.logicalNot, torch: "torch.logical_not(a)", gradient: false, int32: true },
  { op: "gelu", run: (x) => ops.gelu(x), torch: "F.gelu(a)" },
  {
    op: "gelu",
    variant: "tanh",
    run: (x) => ops.gelu(x, { approximate: "tanh" }),
    torch: "F.gelu(a, approximate='tanh')",
  },
  { op: "silu", run: ops.silu, torch: "F.silu(a)" },
  // PyTorch switches to the identity above its threshold of 20, which float64 would show.
  { op: "softplus", run: ops.softplus, torch: "F.softplus(a, threshold=700)" },
  {
    op: "leakyRelu",
    run: (x) => ops.leakyRelu(x, 0.1),
    torch: "F.leaky_relu(a, 0.1)",
    domain: notZero,
  },
  {
    op: "clamp",
    run: (x) => ops.clamp(x, { min: -1, max: 0.5 }),
    torch: "torch.clamp(a, -1, 0.5)",
    domain: { between: [-2, 2], avoid: [-1, 0.5] },
  },
  {
    op: "clamp",
    variant: "above",
    run: (x) => ops.clamp(x, { max: 0.5 }),
    torch: "torch.clamp(a, max=0.5)",
    domain: { between: [-2, 2], avoid: [0.5] },
  },
];

function unaryCases({ op, run, torch, domain, int32, gradient, variant }: Unary): Case[] {
  const name = variant ? `${op} ${variant}` : op;
  const one = { op, run: ([x]: Tensor[]) => run(x), torch, gradient };
  const cases: Case[] = [
    ...tails.map((n) => ({ ...one, name: `${name} [${n}]`, inputs: [float([n], domain)] })),
    { ...one, name: `${name} rank 0`, inputs: [float([], domain)] },
    { ...one, name: `${name} empty`, inputs: [float([0, 3], domain)] },
    { ...one, name: `${name} [1031]`, inputs: [float([1031], domain)] },
    ...viewNames.map((view) => ({
      ...one,
      name: `${name} ${view}`,
      inputs: [float([3, 5, 6], domain, view)],
      reductionLength: view === "expanded" ? 3 : 1,
    })),
    { ...one, name: `${name} special values`, inputs: [listed(specialValues)], signedZero: true, kink: true },
  ];
  if (int32) cases.push({ ...one, name: `${name} int32`, inputs: [integers([13], -9, 9)], gradient: false });
  return cases;
}

interface Binary {
  readonly op: string;
  readonly run: (a: Tensor, b: Tensor) => Tensor;
  readonly torch: string;
  readonly left?: Values;
  readonly right?: Values;
  readonly gradient?: boolean;
  /** Range of the second int32 operand; none if the op does not take int32. */
  readonly int32?: readonly [number, number];
}

const anyInt = [-9, 9] as const;

export const binary: readonly Binary[] = [
  { op: "add", run: ops.add, torch: "a + b", int32: anyInt },
  { op: "sub", run: ops.sub, torch: "a - b", int32: anyInt },
  { op: "mul", run: ops.mul, torch: "a * b", int32: anyInt },
  { op: "div", run: ops.div, torch: "a / b", right: { between: [0.5, 2] }, int32: [1, 9] },
  {
    op: "pow",
    run: ops.pow,
    torch: "torch.pow(a, b)",
    left: { between: [0.5, 2] },
    int32: [0, 4],
  },
  {
    op: "mod",
    run: ops.mod,
    torch: "torch.remainder(a, b)",
    left: { between: [0.1, 0.9] },
    right: { between: [-2.5, -1.1] },
    int32: [1, 9],
  },
  { op: "maximum", run: ops.maximum, torch: "torch.maximum(a, b)", int32: anyInt },
  { op: "minimum", run: ops.minimum, torch: "torch.minimum(a, b)", int32: anyInt },
  ...(["eq", "ne", "lt", "le", "gt", "ge"] as const).map((op) => ({
    op,
    run: ops[op],
    torch: `torch.${op}(a, b)`,
    left: { integers: [-2, 3] } as Values,
    right: { integers: [-2, 3] } as Values,
    gradient: false,
    int32: [-3, 3] as const,
  })),
  ...(["And", "Or", "Xor"] as const).map((name) => ({
    op: `logical${name}`,
    run: ops[`logical${name}`],
    torch: `torch.logical_${name.toLowerCase()}(a, b)`,
    left: { integers: [0, 2] } as Values,
    right: { integers: [0, 2] } as Values,
    gradient: false,
    int32: [0, 2] as const,
  })),
];

/** Every pair of the special values. */
const leftSpecials = specialValues.flatMap((x) => specialValues.map(() => x));
const rightSpecials = specialValues.flatMap(() => specialValues);

function binaryCases({ op, run, torch, left, right, gradient, int32 }: Binary): Case[] {
  const two = { op, run: ([a, b]: Tensor[]) => run(a, b), torch, gradient, ulps: op === "pow" ? 32 : 8 };
  const pair = (
    name: string,
    a: readonly number[],
    b: readonly number[],
    viewA?: ViewName,
    viewB?: ViewName,
  ) => ({
    ...two,
    name: `${op} ${name}`,
    inputs: [float(a, left, viewA), float(b, right, viewB)],
    reductionLength: 30,
  });
  const cases: Case[] = [
    ...tails.map((n) => ({ ...pair(`[${n}]`, [n], [n]), reductionLength: 1 })),
    pair("rank 0", [], []),
    pair("empty", [0, 3], [1, 3]),
    pair("rows", [3, 5], [5]),
    pair("columns", [3, 5], [3, 1]),
    pair("both broadcast", [2, 1, 5], [3, 1]),
    pair("with rank 0", [7], []),
    pair("[1031]", [1031], [1031]),
    pair("transposed", [5, 6], [5, 6], "transposed"),
    pair("transposed both", [5, 6], [5, 6], "transposed", "transposed"),
    pair("sliced", [5, 6], [5, 6], undefined, "sliced"),
    pair("flipped", [5, 6], [5, 6], "flipped", "narrowed"),
    pair("expanded", [5, 6], [5, 6], "expanded", "sliced"),
    pair("of rank 6", [2, 1, 3, 1, 2, 3], [3, 1, 2, 2, 1], "transposed"),
    {
      ...two,
      name: `${op} special values`,
      inputs: [listed(leftSpecials), listed(rightSpecials)],
      gradient: false,
      // Which zero max(0, -0) is differs between processors, and between PyTorch's own loops.
      signedZero: op !== "maximum" && op !== "minimum",
    },
  ];
  if (int32) {
    const inputs = [integers([13], -9, 9), integers([13], int32[0], int32[1])];
    cases.push({ ...two, name: `${op} int32`, inputs, gradient: false });
    if (op !== "pow") {
      const mixed = [integers([5, 3], -9, 9), float([3], right)];
      cases.push({ ...two, name: `${op} int32 with float32`, inputs: mixed, gradient: false });
    }
  }
  return cases;
}

const numbers: readonly Case[] = [
  { name: "add a number", op: "add", inputs: [float([7])], run: ([x]) => ops.add(x, 2.5), torch: "a + 2.5" },
  { name: "sub from a number", op: "sub", inputs: [float([7])], run: ([x]) => ops.sub(1, x), torch: "1 - a" },
  { name: "mul by a number", op: "mul", inputs: [float([7])], run: ([x]) => ops.mul(x, -3), torch: "a * -3" },
  {
    name: "div of a number",
    op: "div",
    inputs: [float([7], { between: [0.5, 2] })],
    run: ([x]) => ops.div(2, x),
    torch: "2 / a",
  },
  {
    name: "add a fraction to int32",
    op: "add",
    inputs: [integers([7], -5, 5)],
    run: ([x]) => ops.add(x, 0.5),
    torch: "a + 0.5",
  },
  {
    name: "mod of int32 by a negative number",
    op: "mod",
    inputs: [integers([17], -9, 9)],
    run: ([x]) => ops.mod(x, -4),
    torch: "a % -4",
  },
  ...[0, 1, 2, 3, 4, 0.5, -0.5, -1, -2, 1.7].map(
    (exponent): Case => ({
      name: `pow to the ${exponent}`,
      op: "pow",
      inputs: [float([7], { between: [0.5, 2] })],
      run: ([x]) => ops.pow(x, exponent),
      torch: `torch.pow(a, ${exponent})`,
      ulps: 32,
    }),
  ),
  {
    name: "pow of zero and negative bases",
    op: "pow",
    inputs: [listed([0, -1, -2, 0, -1.5, 3]), listed([2, 3, 2, 0, 0, -1])],
    run: ([a, b]) => ops.pow(a, b),
    torch: "torch.pow(a, b)",
    ulps: 32,
    kink: true,
  },
  {
    name: "pow of a number",
    op: "pow",
    inputs: [float([7])],
    run: ([x]) => ops.pow(2, x),
    torch: "torch.pow(2, a)",
    ulps: 32,
  },
  {
    name: "maximum ties share the gradient",
    op: "maximum",
    inputs: [listed([1, 2, 3, -1]), listed([1, 3, 3, -2])],
    run: ([a, b]) => ops.maximum(a, b),
    torch: "torch.maximum(a, b)",
    kink: true,
  },
  {
    name: "minimum ties share the gradient",
    op: "minimum",
    inputs: [listed([1, 2, 3, -1]), listed([1, 3, 3, -2])],
    run: ([a, b]) => ops.minimum(a, b),
    torch: "torch.minimum(a, b)",
    kink: true,
  },
  {
    name: "clamp below",
    op: "clamp",
    inputs: [float([9], { between: [-2, 2], avoid: [0.5] })],
    run: ([x]) => ops.clamp(x, { min: 0.5 }),
    torch: "torch.clamp(a, min=0.5)",
  },
  {
    name: "clamp between crossed bounds",
    op: "clamp",
    inputs: [float([9], { between: [-2, 2], avoid: [-0.5, 0.5] })],
    run: ([x]) => ops.clamp(x, { min: 0.5, max: -0.5 }),
    torch: "torch.clamp(a, 0.5, -0.5)",
  },
  ...(["int32", "uint8", "int8", "bool"] as const).map(
    (dtype): Case => ({
      name: `clamp ${dtype}`,
      op: "clamp",
      inputs: [integers([17], 0, dtype === "bool" ? 2 : 9, dtype)],
      run: ([x]) => ops.clamp(x, { min: 1, max: 4 }),
      torch: "torch.clamp(a.int(), 1, 4)",
    }),
  ),
  {
    name: "clamp on its bounds",
    op: "clamp",
    inputs: [listed([-1, 0.5, 0.4, -2, 3])],
    run: ([x]) => ops.clamp(x, { min: -1, max: 0.5 }),
    torch: "torch.clamp(a, -1, 0.5)",
    kink: true,
  },
  {
    name: "mul int32 wraps",
    op: "mul",
    inputs: [
      listed([2147483647, -2147483648, 123456789, 65536], "int32"),
      listed([2, -1, 987654321, 65536], "int32"),
    ],
    run: ([a, b]) => ops.mul(a, b),
    torch: "a * b",
  },
  {
    name: "add int32 wraps",
    op: "add",
    inputs: [listed([2147483647, -2147483648], "int32"), listed([1, -1], "int32")],
    run: ([a, b]) => ops.add(a, b),
    torch: "a + b",
  },
  {
    name: "abs int32 of the smallest number",
    op: "abs",
    inputs: [listed([-2147483648, 5, -5], "int32")],
    run: ([x]) => ops.abs(x),
    torch: "torch.abs(a)",
  },
  {
    name: "exp far out",
    op: "exp",
    inputs: [listed([-110, -95, -50, 50, 88.5, 95, 200])],
    run: ([x]) => ops.exp(x),
    torch: "torch.exp(a)",
    gradient: false,
  },
  ...(["sin", "cos"] as const).map(
    (op): Case => ({
      name: `${op} of large angles`,
      op,
      inputs: [listed([10, -100, 1000, 12345.678, -54321, Math.PI, Math.PI / 2, 1e6].map(Math.fround))],
      run: ([x]) => ops[op](x),
      torch: `torch.${op}(a)`,
    }),
  ),
  {
    name: "sigmoid far out",
    op: "sigmoid",
    inputs: [listed([-100, -90, -30, 30, 90, 100])],
    run: ([x]) => ops.sigmoid(x),
    torch: "torch.sigmoid(a)",
  },
  {
    name: "softplus far out",
    op: "softplus",
    inputs: [listed([-100, -30, 0, 30, 100])],
    run: ([x]) => ops.softplus(x),
    torch: "F.softplus(a, threshold=700)",
  },
  {
    name: "round halves to even",
    op: "round",
    inputs: [listed([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 8388609, -8388609, 16777216])],
    run: ([x]) => ops.round(x),
    torch: "torch.round(a)",
    signedZero: true,
    kink: true,
  },
];

export const elementwise: readonly Case[] = [
  ...unary.flatMap(unaryCases),
  ...binary.flatMap(binaryCases),
  ...numbers,
];
