/** Pooling: overlapping and padded windows, ties, NaN, strided and channels-last images. */

import { type Case, float, type Input, listed, viewNames } from "./case.js";
import { ops } from "./ops.js";

interface Options {
  readonly stride?: number | readonly [number, number];
  readonly padding?: number | readonly [number, number];
  readonly countIncludePad?: boolean;
}

function python({ stride, padding, countIncludePad }: Options): string {
  const pair = (value: number | readonly [number, number]) =>
    typeof value === "number" ? value : `(${value.join(", ")})`;
  return [
    stride === undefined ? "" : `, stride=${pair(stride)}`,
    padding === undefined ? "" : `, padding=${pair(padding)}`,
    countIncludePad === undefined ? "" : `, count_include_pad=${countIncludePad ? "True" : "False"}`,
  ].join("");
}

type Kernel = number | readonly [number, number];

function pool(
  op: "maxPool2d" | "avgPool2d",
  x: Input,
  kernel: Kernel,
  options: Options = {},
  more: Partial<Case> = {},
): Case {
  const size = typeof kernel === "number" ? `${kernel}` : `(${kernel.join(", ")})`;
  const name = op === "maxPool2d" ? "max_pool2d" : "avg_pool2d";
  return {
    name: `${op} [${x.shape}] by ${size}${python(options)}${x.view ? `, ${x.view}` : ""}`,
    op,
    inputs: [x],
    run: ([input]) => ops[op](input, kernel, options),
    torch: `F.${name}(a, ${size}${python(options)})`,
    reductionLength: typeof kernel === "number" ? kernel * kernel : kernel[0] * kernel[1],
    ...more,
  };
}

const both = (["maxPool2d", "avgPool2d"] as const).flatMap((op) => [
  pool(op, float([1, 1, 4, 4]), 2),
  pool(op, float([2, 3, 6, 8]), 2),
  pool(op, float([2, 5, 7, 9]), 3),
  pool(op, float([1, 2, 5, 5]), 3, { stride: 1 }),
  pool(op, float([2, 3, 7, 7]), 3, { stride: 2, padding: 1 }),
  pool(op, float([1, 4, 6, 5]), [2, 3], { stride: [1, 2] }),
  pool(op, float([1, 9, 5, 6]), [3, 2], { padding: [1, 1], stride: [2, 1] }),
  pool(op, float([1, 2, 3, 3]), 3),
  pool(op, float([2, 2, 5, 5]), 2, { stride: 3 }),
  pool(op, float([1, 17, 4, 4]), 1),
  pool(op, float([0, 2, 4, 4]), 2),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => pool(op, float([1, n, 3, 10 - n]), [2, 1], { stride: 1 })),
  pool(op, float([1, 2, 2, 2]), 3, { padding: 1 }),
  pool(op, float([2, 3, 9, 9]), 5, { stride: [4, 3], padding: 2 }),
  ...viewNames.map((view) => pool(op, float([2, 3, 6, 4], undefined, view), 2)),
]);

/** The same of images [N, H, W, C] in whole vectors of four channels, for which devices have forms of their own. */
function channelsLast(
  op: "maxPool2d" | "avgPool2d",
  x: Input,
  kernel: Kernel,
  options: Options = {},
  more: Partial<Case> = {},
): Case {
  const standard = pool(op, x, kernel, options);
  const torch = typeof standard.torch === "string" ? standard.torch : "";
  return {
    ...standard,
    name: `channels-last ${standard.name}`,
    // What follows lies as the pool's result does, and so does its gradient.
    run: ([input]) => ops.mul(ops[op](ops.permute(input, [0, 3, 1, 2]), kernel, options), 2),
    torch: `${torch.replace("(a,", "(a.permute(0, 3, 1, 2),")} * 2`,
    ...more,
  };
}

const vectors = (["maxPool2d", "avgPool2d"] as const).flatMap((op) => [
  channelsLast(op, float([2, 6, 8, 4]), 2),
  channelsLast(op, float([2, 7, 5, 8]), 2),
  channelsLast(op, float([1, 5, 5, 12]), 3, { stride: 1 }),
  channelsLast(op, float([2, 7, 7, 8]), 3, { stride: 2, padding: 1 }),
  channelsLast(op, float([1, 5, 6, 8]), [3, 2], { padding: [1, 1], stride: [2, 1] }),
  channelsLast(op, float([2, 5, 5, 4]), 2, { stride: 3 }),
  channelsLast(op, float([1, 9, 9, 4]), 5, { stride: [4, 3], padding: 2 }),
  channelsLast(op, float([3, 1, 1, 8]), 1),
  ...viewNames.map((view) => channelsLast(op, float([2, 8, 6, 8], undefined, view), 4, { stride: 2 })),
]);

const singles: readonly Case[] = [
  channelsLast("avgPool2d", float([2, 7, 7, 4]), 3, { stride: 2, padding: 1, countIncludePad: false }),
  channelsLast(
    "maxPool2d",
    listed([1, 2, 3, 0, 1, 5, 3, 0, 1, 5, 3, -1, 1, 2, 3, -1], "float32", [1, 2, 2, 4]),
    2,
    {},
    { name: "channels-last maxPool2d gives the gradient to the first of ties", kink: true },
  ),
  channelsLast(
    "maxPool2d",
    listed(
      [
        Number.NaN,
        1,
        -Infinity,
        2,
        3,
        Number.NaN,
        -Infinity,
        4,
        5,
        6,
        -Infinity,
        Number.NaN,
        7,
        Infinity,
        -Infinity,
        0,
      ],
      "float32",
      [1, 2, 2, 4],
    ),
    2,
    {},
    { name: "channels-last maxPool2d of NaN and infinities", gradient: false },
  ),
  pool("avgPool2d", float([2, 3, 7, 7]), 3, { stride: 2, padding: 1, countIncludePad: false }),
  pool("avgPool2d", float([1, 2, 4, 4]), [2, 2], { padding: 1, countIncludePad: true }),
  pool("avgPool2d", float([1, 5, 3, 5]), [3, 2], { stride: 1, padding: [1, 1], countIncludePad: false }),
  {
    name: "maxPool2d gives the gradient to the first of ties",
    op: "maxPool2d",
    inputs: [listed([1, 1, 2, 2, 1, 1, 2, 2, 0, 3, 3, 0, 3, 3, 0, 0], "float32", [1, 1, 4, 4])],
    run: ([x]) => ops.maxPool2d(x, 2),
    torch: "F.max_pool2d(a, 2)",
    kink: true,
  },
  {
    name: "maxPool2d of NaN and -Infinity",
    op: "maxPool2d",
    inputs: [
      listed([Number.NaN, 1, -Infinity, -Infinity, 2, 3, -Infinity, -Infinity], "float32", [1, 1, 2, 4]),
    ],
    run: ([x]) => ops.maxPool2d(x, 2),
    torch: "F.max_pool2d(a, 2)",
    gradient: false,
  },
  {
    name: "maxPool2d of negative numbers with padding",
    op: "maxPool2d",
    inputs: [float([1, 2, 4, 4], { between: [-3, -1] })],
    run: ([x]) => ops.maxPool2d(x, 3, { stride: 1, padding: 1 }),
    torch: "F.max_pool2d(a, 3, stride=1, padding=1)",
    reductionLength: 9,
  },
  {
    name: "maxPool2d of a channels-last image",
    op: "maxPool2d",
    inputs: [float([2, 4, 6, 3])],
    run: ([x]) => ops.maxPool2d(ops.permute(x, [0, 3, 1, 2]), 2),
    torch: "F.max_pool2d(a.permute(0, 3, 1, 2), 2)",
  },
  {
    name: "adaptiveAvgPool2d to 1",
    op: "adaptiveAvgPool2d",
    inputs: [float([2, 3, 5, 7])],
    run: ([x]) => ops.adaptiveAvgPool2d(x, 1),
    torch: "F.adaptive_avg_pool2d(a, 1)",
    reductionLength: 35,
  },
];

export const pooling: readonly Case[] = [...both, ...vectors, ...singles];
