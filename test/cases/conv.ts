/** Convolutions: every geometry option, channel counts off the SIMD width, depthwise and pointwise filters. */
import * as ops from "../../src/ops/index.js";
import { type Case, float, type Input, viewNames } from "./case.js";
import type { Values } from "./generate.js";

const unit: Values = { between: [-1, 1] };

interface Geometry {
  readonly stride?: number | readonly [number, number];
  readonly padding?: number | readonly [number, number];
  readonly dilation?: number | readonly [number, number];
  readonly groups?: number;
}

function python(
  geometry: Geometry & { readonly outputPadding?: number | readonly [number, number] },
): string {
  return Object.entries(geometry)
    .map(([name, value]) => {
      const text = typeof value === "number" ? value : `(${(value as readonly number[]).join(", ")})`;
      return `, ${name === "outputPadding" ? "output_padding" : name}=${text}`;
    })
    .join("");
}

/** Terms of one output, of one input gradient or of one weight gradient, whichever is most. */
function longest(x: readonly number[], weight: readonly number[]): number {
  const taps = weight.slice(2).reduce((n, extent) => n * extent, 1);
  const pixels = x.slice(2).reduce((n, extent) => n * extent, x[0]);
  return Math.max(weight[1] * taps, weight[0] * taps, 2 * pixels);
}

function conv(
  x: Input,
  weight: readonly number[],
  geometry: Geometry = {},
  bias = false,
  more: Partial<Case> = {},
): Case {
  const [n, c, h, w] = x.shape;
  const options = python(geometry);
  return {
    name: `conv2d [${n}, ${c}, ${h}, ${w}] * [${weight}]${options}${bias ? ", bias" : ""}${x.view ? `, ${x.view}` : ""}`,
    op: "conv2d",
    inputs: [x, float(weight, unit), ...(bias ? [float([weight[0]])] : [])],
    run: ([input, filter, b]) => ops.conv2d(input, filter, b, geometry),
    torch: `F.conv2d(a, b${bias ? ", c" : ", None"}${options})`,
    reductionLength: longest(x.shape, weight),
    ...more,
  };
}

const image = (...shape: number[]) => float(shape, unit);
const conv2d: readonly Case[] = [
  conv(image(1, 1, 3, 3), [1, 1, 3, 3]),
  conv(image(1, 1, 5, 5), [1, 1, 3, 3], { padding: 1 }, true),
  conv(image(2, 3, 5, 6), [4, 3, 3, 3], { padding: 1 }, true),
  conv(image(1, 2, 4, 4), [2, 2, 3, 3], { padding: 1 }),
  conv(image(1, 2, 5, 5), [2, 2, 3, 3], { stride: 2, padding: 1 }),
  conv(image(1, 2, 5, 4), [4, 1, 2, 2], { groups: 2, dilation: 2 }),
  conv(image(2, 5, 7, 9), [7, 5, 3, 3]),
  conv(image(2, 5, 7, 9), [7, 5, 1, 1], {}, true),
  conv(image(2, 8, 6, 6), [16, 8, 1, 1]),
  conv(image(2, 8, 7, 7), [4, 8, 1, 1], { stride: 2 }),
  conv(image(2, 3, 9, 9), [5, 3, 5, 5], { stride: 2, padding: 2 }, true),
  conv(image(1, 3, 11, 7), [4, 3, 3, 2], { stride: [3, 2], padding: [1, 0] }),
  conv(image(1, 3, 9, 9), [4, 3, 3, 3], { dilation: 2, padding: 2 }),
  conv(image(1, 2, 8, 9), [3, 2, 3, 3], { dilation: [1, 3], stride: [2, 1], padding: [0, 3] }, true),
  conv(image(2, 4, 6, 6), [6, 2, 3, 3], { groups: 2, padding: 1 }, true),
  conv(image(2, 9, 5, 5), [9, 3, 3, 3], { groups: 3 }),
  conv(image(2, 8, 6, 7), [8, 1, 3, 3], { groups: 8, padding: 1 }, true),
  conv(image(1, 5, 7, 7), [5, 1, 3, 3], { groups: 5, stride: 2, padding: 1 }),
  conv(image(1, 3, 6, 6), [6, 1, 3, 3], { groups: 3 }),
  conv(image(1, 17, 6, 6), [17, 1, 5, 5], { groups: 17, padding: 2 }),
  conv(image(1, 4, 1, 9), [3, 4, 1, 5], { padding: [0, 2] }),
  conv(image(1, 33, 5, 5), [35, 33, 3, 3], { padding: 1 }),
  conv(image(4, 1, 12, 12), [8, 1, 5, 5]),
  conv(image(1, 64, 3, 3), [2, 64, 3, 3]),
  conv(image(1, 2, 20, 20), [3, 2, 3, 3], { padding: 1 }),
  conv(image(3, 2, 1, 1), [4, 2, 1, 1], {}, true),
  conv(image(1, 2, 3, 3), [2, 2, 3, 3], { padding: 2 }),
  conv(image(0, 2, 5, 5), [3, 2, 3, 3]),
  conv(image(1, 2, 2, 3), [3, 2, 5, 5], { padding: 2 }, true),
  conv(image(1, 2, 1, 1), [2, 2, 3, 3], { padding: 1 }),
  conv(image(1, 2, 3, 4), [2, 2, 2, 3], { padding: [3, 2], dilation: [3, 2] }),
  conv(image(2, 3, 7, 8), [4, 3, 2, 2], { stride: 3 }, true),
  conv(image(2, 3, 7, 7), [5, 3, 1, 1], { stride: 2, padding: 1 }, true),
  conv(image(1, 3, 7, 7), [9, 1, 3, 3], { groups: 3, stride: [2, 1], padding: [0, 1] }, true),
  conv(image(2, 6, 5, 7), [6, 1, 2, 3], { groups: 6, dilation: [2, 1] }),
  conv(image(1, 4, 9, 9), [8, 2, 3, 3], { groups: 2, stride: 2, dilation: 2, padding: 2 }),
  conv(image(2, 7, 3, 3), [1, 7, 3, 3], { padding: 1 }, true),
  ...[1, 2, 3, 4, 5, 7, 9, 17].map((n) => conv(image(1, n, 4, n + 2), [18 - n, n, 3, 3], { padding: 1 })),
  ...viewNames.map((view) => conv(float([2, 3, 6, 5], unit, view), [4, 3, 3, 3], { padding: 1 })),
  {
    name: "conv2d of a channels-last image",
    op: "conv2d",
    inputs: [image(2, 6, 5, 3), image(4, 3, 3, 3)],
    run: ([x, w]) => ops.conv2d(ops.permute(x, [0, 3, 1, 2]), w),
    torch: "F.conv2d(a.permute(0, 3, 1, 2), b)",
    reductionLength: 60,
  },
  {
    name: "conv2d with a transposed filter",
    op: "conv2d",
    inputs: [image(2, 3, 5, 6), float([4, 3, 3, 3], unit, "transposed")],
    run: ([x, w]) => ops.conv2d(x, w, undefined, { padding: 1 }),
    torch: "F.conv2d(a, b, padding=1)",
    reductionLength: 60,
  },
  {
    name: "conv2d, bias and relu",
    op: "conv2d",
    inputs: [image(2, 3, 5, 6), image(5, 3, 3, 3), float([5])],
    run: ([x, w, b]) => ops.relu(ops.conv2d(x, w, b, { padding: 1 })),
    torch: "torch.relu(F.conv2d(a, b, c, padding=1))",
    reductionLength: 60,
  },
  {
    name: "conv2d of one image with two filters",
    op: "conv2d",
    inputs: [image(2, 3, 6, 6), image(4, 3, 3, 3), image(4, 3, 1, 1)],
    run: ([x, w, v]) =>
      ops.add(
        ops.conv2d(x, w, undefined, { stride: 2, padding: 1 }),
        ops.conv2d(x, v, undefined, { stride: 2 }),
      ),
    torch: "F.conv2d(a, b, stride=2, padding=1) + F.conv2d(a, c, stride=2)",
    reductionLength: 108,
  },
  {
    name: "conv2d of NaN and infinities",
    op: "conv2d",
    inputs: [
      {
        shape: [1, 1, 4, 4],
        dtype: "float32",
        values: { list: [0, 1, 2, 3, 4, Infinity, 1, 1, 2, 2, 2, Number.NaN] },
      },
      image(2, 1, 2, 2),
    ],
    run: ([x, w]) => ops.conv2d(x, w),
    torch: "F.conv2d(a, b)",
    gradient: false,
    reductionLength: 4,
  },
  {
    name: "conv2d, relu, conv2d, pool, linear",
    op: "conv2d",
    inputs: [image(2, 2, 8, 8), image(3, 2, 3, 3), float([3]), image(4, 3, 3, 3), image(5, 16)],
    run: ([x, w, b, v, u]) => {
      const first = ops.relu(ops.conv2d(x, w, b, { padding: 1 }));
      const second = ops.maxPool2d(ops.conv2d(first, v), 3);
      return ops.linear(ops.flatten(second, 1), u);
    },
    torch: "F.linear(F.max_pool2d(F.conv2d(torch.relu(F.conv2d(a, b, c, padding=1)), d), 3).flatten(1), e)",
    reductionLength: 300,
    scale: 4,
  },
];

interface Line {
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  readonly groups?: number;
}

const conv1d: readonly Case[] = (
  [
    [[2, 3, 9], [4, 3, 3], {}],
    [[1, 4, 11], [6, 2, 3], { stride: 2, padding: 1, groups: 2 }],
    [[2, 2, 10], [3, 2, 2], { dilation: 3 }],
    [[1, 5, 7], [5, 1, 7], { padding: 3, groups: 5 }],
    [[1, 2, 1], [3, 2, 1], {}],
    [[2, 3, 4], [2, 3, 9], { padding: 4 }],
  ] as readonly (readonly [number[], number[], Line])[]
).map(([x, weight, options]) => ({
  name: `conv1d [${x}] * [${weight}]${python(options)}`,
  op: "conv1d",
  inputs: [float(x, unit), float(weight, unit), float([weight[0]])],
  run: ([input, filter, bias]) => ops.conv1d(input, filter, bias, options),
  torch: `F.conv1d(a, b, c${python(options)})`,
  reductionLength: longest(x, weight),
}));

const transposed: readonly Case[] = (
  [
    [[2, 3, 4, 5], [3, 4, 3, 3], {}],
    [[1, 2, 3, 3], [2, 2, 2, 2], { stride: 2 }],
    [[2, 4, 4, 4], [4, 3, 3, 3], { stride: 2, padding: 1, outputPadding: 1 }],
    [[1, 4, 3, 4], [4, 2, 3, 3], { groups: 2, padding: 1 }],
    [[1, 3, 4, 4], [3, 2, 3, 3], { dilation: 2, stride: [1, 2] }],
    [[1, 5, 1, 1], [5, 7, 4, 4], {}],
    [[2, 6, 3, 2], [6, 1, 3, 3], { groups: 6, stride: 2, padding: 1 }],
    [[1, 3, 5, 5], [3, 9, 1, 1], { stride: 2 }],
  ] as readonly (readonly [number[], number[], Geometry & { outputPadding?: number }])[]
).map(([x, weight, options]) => {
  const outputs = weight[1] * (options.groups ?? 1);
  return {
    name: `convTranspose2d [${x}] * [${weight}]${python(options)}`,
    op: "convTranspose2d",
    inputs: [float(x, unit), float(weight, unit), float([outputs])],
    run: ([input, filter, bias]) => ops.convTranspose2d(input, filter, bias, options),
    torch: `F.conv_transpose2d(a, b, c${python(options)})`,
    // The gradient of the bias sums all pixels of the output, up to four times those of the input.
    reductionLength: 4 * longest(x, weight),
  };
});

export const convolution: readonly Case[] = [...conv2d, ...conv1d, ...transposed];
