/** Attention, products, convolutions and pools of masked, tied, huge, tiny or non-finite values. */
import { type Case, fixed, type Input, listed } from "../cases/case.js";
import { ops } from "../cases/ops.js";
import { largestFinite, rows, signed } from "./rows.js";

const { NaN: notNumber } = Number;
const hidden = -Infinity;

/** Masks of two queries and five keys. */
const masks: Readonly<Record<string, Input>> = {
  "a row that sees nothing": listed([0, 0, 0, 0, 0, 1, 0, 1, 1, 0], "bool", [2, 5]),
  "no row that sees anything": listed([0], "bool", [2, 5]),
  "one key each": listed([0, 1, 0, 0, 0, 0, 0, 0, 0, 1], "bool", [2, 5]),
  "a row of -Infinity": listed(
    [hidden, hidden, hidden, hidden, hidden, 0, hidden, 0, 1, hidden],
    "float32",
    [2, 5],
  ),
  "nothing but -Infinity": listed([hidden], "float32", [2, 5]),
  "a row of -1e9": listed([-1e9, -1e9, -1e9, -1e9, -1e9, 0, -1e9, 0, 1, -1e9], "float32", [2, 5]),
  "-1e9 here and there": listed([-1e9, 0, -1e9, 1, 0, 0, -1e9, 0, 1, -1e9], "float32", [2, 5]),
  "-3e38 here and there": listed([-3e38, 0, -3e38, 1, 0, 0, 0, 0, 1, -3e38], "float32", [2, 5]),
  "NaN in a row": listed([0, 0, notNumber, 0, 0, 0, 0, 0, 0, 0], "float32", [2, 5]),
  "Infinity in a row": listed([0, 0, Infinity, 0, 0, 0, 0, 0, 0, 0], "float32", [2, 5]),
};

const query = [0.5, -1, 2, 0.25, 1, 1.5, -0.5, 0.75];
const key = [1, -0.5, 0.25, 2, -1, 0.75, 0.5, -2, 1.25, 1, -0.25, 0.5, 0, 0, 1, -1, 2, 0.5, -1.5, 1];
const value = [0.25, 1, -2, 0.5, 1.5, -1, 0.75, 2, -0.5, 0, 1, -1.5, 3, 0.125, -0.75, 1, 0.5, -0.25, 2, 1];

function attention(name: string, inputs: readonly Input[], causal = false, scale = 4): Case[] {
  const one: Case = {
    name: `scaledDotProductAttention ${name}`,
    op: "scaledDotProductAttention",
    inputs,
    run: ([q, k, v, mask]) => ops.scaledDotProductAttention(q, k, v, { mask, causal }),
    torch: `F.scaled_dot_product_attention(a, b, c${inputs.length > 3 ? ", attn_mask=d" : ""}${causal ? ", is_causal=True" : ""})`,
    scale,
  };
  return [one, { ...one, name: `${one.name}, no gradient`, gradient: false }];
}

const qkv = (factor = 1, q = query, k = key, v = value): Input[] => [
  listed(
    q.map((x) => x * factor),
    "float32",
    [1, 1, 2, 4],
  ),
  listed(k, "float32", [1, 1, 5, 4]),
  listed(v, "float32", [1, 1, 5, 4]),
];

const attentions: readonly Case[] = [
  ...Object.entries(masks).flatMap(([name, mask]) =>
    attention(`with ${name}`, [...qkv(), mask.dtype === "float32" ? fixed(mask) : mask]),
  ),
  ...[1e-30, 1e4, 1e8, 1e30, 3e38].flatMap((factor) => attention(`of scores of ${factor}`, qkv(factor))),
  ...attention("causal", qkv(), true),
  ...attention("of an infinite query", qkv(1, query.with(1, Infinity))),
  ...attention("of a key that is NaN", qkv(1, query, key.with(6, notNumber))),
  ...attention("of an infinite value", qkv(1, query, key, value.with(6, Infinity))),
  ...attention(
    "of equal keys",
    qkv(
      1,
      query,
      key.map(() => 1e4),
    ),
    false,
    1e4,
  ),
];

/** Each row with each of itself as columns. */
const products: readonly Case[] = Object.entries(rows).flatMap(([name, values]): Case[] => [
  {
    name: `matmul of ${name}`,
    op: "matmul",
    inputs: [listed(values, "float32", [1, 4]), listed([1, 0, -0.5, 2, 0, 1, 3, -1], "float32", [4, 2])],
    run: ([a, b]) => ops.matmul(a, b),
    torch: "a @ b",
    scale: 4 * Math.max(1, largestFinite(values)),
  },
  {
    name: `linear of ${name}`,
    op: "linear",
    inputs: [
      listed([1, 0.5, -2, 1, 0, 3, 1, -1], "float32", [2, 4]),
      listed([...values, 1, 2, 3, 4], "float32", [2, 4]),
      listed([0.5, -1]),
    ],
    run: ([x, weight, bias]) => ops.linear(x, weight, bias),
    torch: "F.linear(a, b, c)",
    scale: 4 * Math.max(1, largestFinite(values)),
  },
  {
    name: `conv2d of ${name}`,
    op: "conv2d",
    inputs: [
      listed([...values, 1, 2, 3, 4, ...values], "float32", [1, 1, 3, 4]),
      listed([1, 0, -0.5, 2], "float32", [1, 1, 2, 2]),
    ],
    run: ([x, weight]) => ops.conv2d(x, weight),
    torch: "F.conv2d(a, b)",
    scale: 4 * Math.max(1, largestFinite(values)),
  },
]);

const pools: readonly Case[] = Object.entries(rows).flatMap(([name, values]): Case[] => {
  const image = listed([...values, 1, 2, ...values, 0, 0, 0, 0, -1, ...values], "float32", [1, 1, 4, 4]);
  return [
    {
      name: `maxPool2d of ${name}`,
      op: "maxPool2d",
      inputs: [image],
      run: ([x]) => ops.maxPool2d(x, 2),
      torch: "F.max_pool2d(a, 2)",
    },
    {
      name: `maxPool2d padded, of ${name}`,
      op: "maxPool2d",
      inputs: [image],
      run: ([x]) => ops.maxPool2d(x, 3, { stride: 1, padding: 1 }),
      torch: "F.max_pool2d(a, 3, stride=1, padding=1)",
    },
    {
      name: `avgPool2d of ${name}`,
      op: "avgPool2d",
      inputs: [image],
      run: ([x]) => ops.avgPool2d(x, 2),
      torch: "F.avg_pool2d(a, 2)",
      scale: largestFinite(values),
    },
    {
      name: `adaptiveAvgPool2d of ${name}`,
      op: "adaptiveAvgPool2d",
      inputs: [image],
      run: ([x]) => ops.adaptiveAvgPool2d(x, 1),
      torch: "F.adaptive_avg_pool2d(a, 1)",
      scale: largestFinite(values),
    },
  ];
});

const special = [...signed([0, 1e-40, 1, 3e38, Infinity]), notNumber, 5];

const indexed: readonly Case[] = [
  {
    name: "embedding",
    op: "embedding",
    inputs: [listed(special, "float32", [6, 2]), listed([5, 0, 3, 3, 1], "int32")],
    run: ([weight, index]) => ops.embedding(weight, index),
    torch: "F.embedding(b.long(), a)",
  },
  {
    name: "gather",
    op: "gather",
    inputs: [listed(special, "float32", [3, 4]), listed([3, 0, 1, 1, 2, 2], "int32", [3, 2])],
    run: ([x, index]) => ops.gather(x, 1, index),
    torch: "torch.gather(a, 1, b.long())",
  },
  {
    name: "scatterAdd",
    op: "scatterAdd",
    inputs: [
      listed(special),
      listed([0, 0, 1, 1, 2, 2], "int32"),
      listed([3e38, 3e38, Infinity, -Infinity, 1e-40, notNumber]),
    ],
    run: ([x, index, source]) => ops.scatterAdd(x, 0, index, source),
    torch: "torch.scatter_add(a, 0, b.long(), c)",
  },
];

const fractions = signed([
  0,
  1e-40,
  0.5,
  0.9,
  1.5,
  127.9,
  128,
  200,
  255.5,
  256,
  300,
  65536,
  2147483648,
  1e30,
  Infinity,
]);
const whole = signed([0, 1, 127, 128, 200, 255, 256, 300, 65535, 16777217, 2147483647]);

/** The one rule of cast: from floats, where PyTorch leaves it open, saturating; from integers, wrapping. */
const casts: readonly Case[] = (
  [
    ["int32", "torch.int32", -(2 ** 31), 2 ** 31 - 1],
    ["uint8", "torch.uint8", 0, 255],
    ["int8", "torch.int8", -128, 127],
    ["bool", "torch.bool", -2, 2],
  ] as const
).flatMap(([dtype, name, least, most]) => [
  {
    name: `cast to ${dtype}`,
    op: "cast",
    inputs: [fixed(listed([...fractions, notNumber]))],
    run: ([x]) => ops.cast(x, dtype),
    torch:
      dtype === "bool"
        ? "a.bool()"
        : `a.double().nan_to_num(nan=0.0).clamp(${least}, ${most}).trunc().to(${name})`,
  },
  {
    name: `cast of int32 to ${dtype}`,
    op: "cast",
    inputs: [listed(whole, "int32")],
    run: ([x]) => ops.cast(x, dtype),
    torch: `a.to(${name})`,
  },
]);

export const kernels: readonly Case[] = [...casts, ...attentions, ...products, ...pools, ...indexed];
