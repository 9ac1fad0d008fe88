/** Rounding to int8, and products of int8: exact integers on every device, extremes and long sums included. */

import type { Tensor } from "../../src/graph/tensor.js";
import * as ops from "../../src/ops/index.js";
import { type Case, float, type Input, integers, listed, specialValues, viewNames } from "./case.js";

const quantizePerTensor = (scale: number, zeroPoint: number) => (x: Tensor) =>
  ops.quantizePerTensor(x, { scale, zeroPoint });

function rounding(name: string, x: Input, run: (x: Tensor) => Tensor, torch: Case["torch"]): Case {
  return { name, op: name.split(" ")[0], inputs: [x], run: ([a]) => run(a), torch, gradient: false };
}

/** Products with 127/largest that lie at halves, or a rounding beside them. */
const halves = Array.from({ length: 64 }, (_, i) => Math.fround((i - 32 + 0.5) / 127));

const roundings: readonly Case[] = [
  ...[1, 2, 7, 8, 33].map((width) =>
    rounding(
      `quantizeDynamic rows of ${width}`,
      float([5, width], { between: [-3, 3] }),
      (x) => ops.quantizeDynamic(x, -1).values,
      "torch.round(a.float() * (127 / a.float().abs().amax(-1, keepdim=True))).to(torch.int8)",
    ),
  ),
  rounding(
    "quantizeDynamic scales",
    float([4, 9]),
    (x) => ops.quantizeDynamic(x, -1).scales,
    "a.float().abs().amax(-1, keepdim=True) / 127",
  ),
  rounding(
    "quantizeDynamic of images, 7 bits",
    float([3, 4, 5, 6]),
    (x) => ops.quantizeDynamic(x, [1, 2, 3], { levels: 63 }).values,
    "torch.round(a.float() * (63 / a.float().abs().amax((1, 2, 3), keepdim=True))).to(torch.int8)",
  ),
  rounding(
    "quantizeDynamic at halves",
    listed([...halves, 1], "float32", [1, halves.length + 1]),
    (x) => ops.quantizeDynamic(x, -1).values,
    "torch.round(a.float() * (127 / a.float().abs().amax(-1, keepdim=True))).to(torch.int8)",
  ),
  rounding(
    "quantizeDynamic of zeros and tiny rows",
    listed([0, -0, 0, 1e-38, -1e-40, 0, 1, -2, 0], "float32", [3, 3]),
    (x) => ops.quantizeDynamic(x, -1).values,
    { none: "rows below 2^-100 are zeros by our convention" },
  ),
  rounding(
    "quantizeDynamic scales of rows without numbers",
    listed([Number.NaN, 1, 2, Infinity, -1, 0, 3, -4, 127], "float32", [3, 3]),
    (x) => ops.quantizeDynamic(x, -1).scales,
    { none: "that such rows stay NaN is our convention" },
  ),
  ...viewNames.map((view) =>
    rounding(
      `quantizeDynamic ${view}`,
      float([6, 10], undefined, view),
      (x) => ops.quantizeDynamic(x, 0).values,
      "torch.round(a.float() * (127 / a.float().abs().amax(0, keepdim=True))).to(torch.int8)",
    ),
  ),
  rounding(
    "quantizePerTensor [40]",
    float([40], { between: [-9, 9] }),
    quantizePerTensor(0.0625, 0),
    "torch.quantize_per_tensor(a.float(), 0.0625, 0, torch.qint8).int_repr()",
  ),
  rounding(
    "quantizePerTensor with a zero point",
    float([40], { between: [-9, 9] }),
    quantizePerTensor(0.03, -17),
    "torch.quantize_per_tensor(a.float(), 0.03, -17, torch.qint8).int_repr()",
  ),
  rounding("quantizePerTensor special values", listed(specialValues), quantizePerTensor(0.5, 3), {
    none: "PyTorch leaves NaN open",
  }),
  rounding(
    "dequantize [20]",
    integers([20], -128, 128, "int8"),
    (x) => ops.dequantize(x, { scale: 0.125, zeroPoint: -5 }),
    "(a.double() + 5) * 0.125",
  ),
  {
    name: "fakeQuantize by a number",
    op: "fakeQuantize",
    inputs: [float([30], { between: [-20, 20] })],
    run: ([x]) => ops.fakeQuantize(x, 0.125, { zeroPoint: 3, min: -128, max: 127 }),
    torch: "torch.fake_quantize_per_tensor_affine(a.float(), 0.125, 3, -128, 127)",
    // A step function: finite differences see the steps.
    kink: true,
    scale: 20,
  },
  {
    name: "fakeQuantize by rows",
    op: "fakeQuantize",
    inputs: [float([3, 9]), { ...listed([0.25, 0.0625, 0.5], "float32", [3, 1]), gradient: false }],
    run: ([x, scale]) => ops.fakeQuantize(x, scale, { min: -7, max: 7 }),
    torch:
      "torch.fake_quantize_per_channel_affine(a.float(), b.float().flatten(), torch.zeros(3, dtype=torch.int32), 0, -7, 7)",
    kink: true,
  },
];

/* ---- packing ------------------------------------------------------------------------------------------ */

const packings: readonly Case[] = [
  ["packWeight 8 bits", [11, 9], {}],
  ["packWeight 7 bits", [11, 9], { bits: 7 }],
  ["packWeight 4 bits", [9, 64], { bits: 4 }],
  ["packWeight of a convolution", [6, 3, 2, 3], {}],
  ["packWeight of groups", [6, 2, 3, 3], { groups: 3, bits: 7 }],
  ["packWeight depthwise", [19, 1, 3, 3], { groups: 19 }],
].map(([name, shape, options]): Case => {
  const packOptions = options as ops.PackOptions;
  const most = { 8: 128, 7: 64, 4: 8 }[packOptions.bits ?? 8];
  return {
    name: name as string,
    op: "packWeight",
    inputs: [integers(shape as number[], 1 - most, most, "int8")],
    run: ([w]) => ops.packWeight(w, packOptions).packed,
    torch: { none: "the layout is our own" },
  };
});

const scalesInGroups: Case = {
  name: "groupScales [11, 3]",
  op: "groupScales",
  inputs: [float([11, 3])],
  run: ([s]) => ops.groupScales(s),
  torch: "F.pad(a, (0, 0, 0, 5)).reshape(2, 8, 3).permute(0, 2, 1)",
};

/* ---- products ------------------------------------------------------------------------------------------ */

const full = [-128, 128] as const;
/** What the weights of each width can be. */
const ranges: Readonly<Record<8 | 7 | 4, readonly [number, number]>> = { 8: full, 7: [-63, 64], 4: [-7, 8] };

interface ProductOptions extends Partial<Case> {
  readonly bits?: 8 | 7;
  readonly x?: Input;
  readonly w?: Input;
}

/** The accumulators themselves. */
function accumulators(
  m: number,
  k: number,
  n: number,
  { bits = 8, x, w, ...more }: ProductOptions = {},
): Case {
  return {
    name: `quantizedLinear [${m}, ${k}] to ${n}, ${bits} bits`,
    op: "quantizedLinear",
    inputs: [x ?? integers([m, k], ...full, "int8"), w ?? integers([n, k], ...ranges[bits], "int8")],
    run: ([a, b]) => ops.quantizedLinear(a, ops.packWeight(b, { bits }), { dtype: "int32" }),
    torch: "(a.double() @ b.double().T).to(torch.int32)",
    gradient: false,
    ...more,
  };
}

const sizes: readonly (readonly [number, number, number])[] = [
  [1, 1, 1],
  [1, 3, 5],
  [1, 64, 33],
  [2, 7, 9],
  [3, 16, 8],
  [4, 4, 16],
  [5, 33, 17],
  [8, 31, 24],
  [9, 32, 7],
  [13, 100, 40],
  [33, 65, 31],
  [64, 64, 64],
];

/** Where every product has the same sign, and the largest there is: sums that leave int16, and float's 24 bits. */
const extremes = (k: number, bits: 8 | 7): Case[] => {
  const w = bits === 8 ? -128 : -63;
  const alternating = bits === 8 ? [127, -128] : [63, -63];
  return [
    accumulators(5, k, 11, {
      bits,
      name: `quantizedLinear extremes of ${k}, ${bits} bits`,
      x: listed([-128], "int8", [5, k]),
      w: listed([w], "int8", [11, k]),
    }),
    accumulators(3, k, 10, {
      bits,
      name: `quantizedLinear alternating extremes of ${k}, ${bits} bits`,
      x: listed([127, -128], "int8", [3, k]),
      w: listed(alternating, "int8", [10, k]),
    }),
    accumulators(1, k, 9, {
      bits,
      name: `quantizedLinear one row of extremes of ${k}, ${bits} bits`,
      x: listed([-128, -128, 127], "int8", [1, k]),
      w: listed([w, w, 63], "int8", [9, k]),
    }),
  ];
};

/** A dynamic layer, as a module makes it. */
function dynamicLinear(x: Tensor, w: Tensor, bias: Tensor | undefined, bits: 8 | 7): Tensor {
  const levels = bits === 8 ? 127 : 63;
  const weight = ops.quantizeDynamic(w, 1, { levels });
  const { values, scales } = ops.quantizeDynamic(x, -1);
  return ops.quantizedLinear(values, ops.packWeight(weight.values, { bits }), {
    scales: weight.scales,
    inputScales: scales,
    bias,
  });
}

const float32Dynamic = (x: Input, out: number, bits: 8 | 7, more: Partial<Case> = {}): Case => {
  const k = x.shape[x.shape.length - 1];
  return {
    name: `quantizedLinear dynamic [${x.shape}] to ${out}, ${bits} bits`,
    op: "quantizedLinear",
    inputs: [x, float([out, k], { between: [-1, 1] }), float([out])],
    run: ([a, w, b]) => dynamicLinear(a, w, b, bits),
    torch: { none: "PyTorch's own dynamic layers round activations to uint8" },
    gradient: false,
    reductionLength: 1,
    scale: k,
    ...more,
  };
};

const requantized = (activation: "relu" | undefined, zeroPoint: number): Case => ({
  name: `quantizedLinear to int8, zero point ${zeroPoint}${activation ? ", relu" : ""}`,
  op: "quantizedLinear",
  inputs: [
    integers([9, 40], ...full, "int8"),
    integers([21, 40], -127, 128, "int8"),
    float([21], { between: [1e-4, 2e-3] }),
    integers([21], -4000, 4000),
  ],
  run: ([x, w, scales, offsets]) =>
    ops.quantizedLinear(x, ops.packWeight(w), { scales, offsets, dtype: "int8", zeroPoint, activation }),
  torch:
    `torch.clamp(torch.round((a.double() @ b.double().T + d).float() * c.float()) + ${zeroPoint}, ` +
    `${activation ? zeroPoint : -128}, 127).to(torch.int8)`,
  gradient: false,
});

const fourBits = (m: number, k: number, n: number, groupSize: number): Case => ({
  name: `quantizedLinear [${m}, ${k}] to ${n}, 4 bits in groups of ${groupSize}`,
  op: "quantizedLinear",
  inputs: [
    integers([m, k], ...full, "int8"),
    integers([n, k], ...ranges[4], "int8"),
    float([m, k / groupSize], { between: [0.1, 1] }),
    float([n, k / groupSize], { between: [0.1, 1] }),
    float([n]),
  ],
  run: ([x, w, inputScales, scales, bias]) =>
    ops.quantizedLinear(x, ops.packWeight(w, { bits: 4, groupSize }), {
      scales: ops.groupScales(scales),
      inputScales,
      bias,
    }),
  torch:
    `torch.einsum("mgi,ngi,mg,ng->mn", a.double().reshape(${m}, -1, ${groupSize}), ` +
    `b.double().reshape(${n}, -1, ${groupSize}), c, d) + e`,
  gradient: false,
  reductionLength: k / groupSize,
  scale: groupSize * 128 * 7,
});

const eightBitGroups = (m: number, k: number, n: number, groupSize: number): Case => ({
  ...fourBits(m, k, n, groupSize),
  name: `quantizedLinear [${m}, ${k}] to ${n}, 8 bits in groups of ${groupSize}`,
  inputs: fourBits(m, k, n, groupSize).inputs.with(1, integers([n, k], ...full, "int8")),
  run: ([x, w, inputScales, scales, bias]) =>
    ops.quantizedLinear(x, ops.packWeight(w, { bits: 8, groupSize }), {
      scales: ops.groupScales(scales),
      inputScales,
      bias,
    }),
  scale: groupSize * 128 * 128,
});

const offsetBits = (
  m: number,
  k: number,
  n: number,
  groupSize: number,
  offset: "zeroPoints" | "minimums",
  activation?: "relu",
): Case => ({
  ...fourBits(m, k, n, groupSize),
  name: `quantizedLinear [${m}, ${k}] to ${n}, 4 bits in groups of ${groupSize} with ${offset}${activation ? ", relu" : ""}`,
  inputs: [
    integers([m, k], ...full, "int8"),
    integers([n, k], -8, 8, "int8"),
    float([m, k / groupSize], { between: [0.1, 1] }),
    float([n, k / groupSize], { between: [0.1, 1] }),
    float([n]),
    offset === "zeroPoints" ? integers([n, k / groupSize], 0, 16, "float32") : float([n, k / groupSize]),
  ],
  run: ([x, w, inputScales, scales, bias, offsets]) =>
    ops.quantizedLinear(x, ops.packWeight(w, { bits: 4, groupSize }), {
      scales: ops.groupScales(scales),
      inputScales,
      bias,
      [offset]: offsets,
      activation,
    }),
  torch: { none: "test/quantization/group_offsets.test.ts compares with products of what files mean" },
  scale: groupSize * 128 * 15,
});

const weightOnly = (m: number, k: number, n: number, bits: 8 | 7): Case => ({
  name: `quantizedLinear [${m}, ${k}] of float32 to ${n}, ${bits} bits`,
  op: "quantizedLinear",
  inputs: [
    float([m, k]),
    integers([n, k], ...ranges[bits], "int8"),
    float([n], { between: [0.001, 0.02] }),
    float([n]),
  ],
  run: ([x, w, scales, bias]) => ops.quantizedLinear(x, ops.packWeight(w, { bits }), { scales, bias }),
  torch: "F.linear(a, b.double() * c[:, None], d)",
  gradient: false,
  reductionLength: k,
  scale: 3,
});

const linears: readonly Case[] = [
  ...([8, 7] as const).flatMap((bits) => sizes.map(([m, k, n]) => accumulators(m, k, n, { bits }))),
  ...([8, 7] as const).flatMap((bits) => [...extremes(37, bits), ...extremes(8192, bits)]),
  // So many outputs that webgl does not split sums, which are beyond float's 24 bits, and odd.
  accumulators(512, 1200, 512, {
    x: integers([512, 1200], 124, 128, "int8"),
    w: integers([512, 1200], 124, 128, "int8"),
    torch: { none: "smaller products are compared with PyTorch, this one with the reference's exact sums" },
  }),
  ...viewNames.map((view) =>
    accumulators(6, 20, 11, {
      name: `quantizedLinear of rows ${view}`,
      x: integers([6, 20], ...full, "int8", view),
    }),
  ),
  accumulators(0, 8, 8, { name: "quantizedLinear of no rows" }),
  ...([8, 7] as const).flatMap((bits) => [
    float32Dynamic(float([1, 40]), 19, bits),
    float32Dynamic(float([7, 33]), 12, bits),
    float32Dynamic(float([2, 3, 16]), 9, bits),
    float32Dynamic(float([33, 70]), 65, bits),
    weightOnly(1, 40, 19, bits),
    weightOnly(3, 33, 8, bits),
    weightOnly(17, 70, 31, bits),
  ]),
  {
    ...float32Dynamic(float([6, 24]), 10, 8),
    name: "quantizedLinear dynamic, then relu",
    run: ([x, w, b]) => ops.relu(dynamicLinear(x, w, b, 8)),
  },
  {
    ...float32Dynamic(listed([Number.NaN, 1, 2, 3, 0, 0, 0, 0, Infinity, 1, 2, 3], "float32", [3, 4]), 5, 8),
    name: "quantizedLinear dynamic of rows without numbers",
  },
  ...[0, -128, 17].flatMap((zeroPoint) => [
    requantized(undefined, zeroPoint),
    requantized("relu", zeroPoint),
  ]),
  fourBits(1, 64, 19, 32),
  fourBits(1, 256, 40, 64),
  fourBits(5, 96, 9, 32),
  fourBits(20, 128, 33, 128),
  eightBitGroups(1, 64, 19, 32),
  eightBitGroups(1, 256, 60, 64),
  eightBitGroups(5, 96, 9, 32),
  eightBitGroups(20, 128, 33, 128),
  {
    ...eightBitGroups(1, 32768, 9, 32768),
    torch: { none: "smaller groups are compared with PyTorch, this one with the reference" },
  },
  offsetBits(1, 64, 19, 32, "zeroPoints"),
  offsetBits(5, 96, 9, 32, "zeroPoints"),
  offsetBits(1, 256, 40, 64, "minimums"),
  offsetBits(9, 128, 33, 32, "minimums", "relu"),
  // One group whose sum may be beyond float's 24 bits.
  {
    ...fourBits(1, 32768, 9, 32768),
    torch: { none: "smaller groups are compared with PyTorch, this one with the reference" },
  },
];

/* ---- convolutions -------------------------------------------------------------------------------------- */

interface ConvCase {
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly options?: Omit<ops.QuantizedConvOptions, keyof ops.QuantizedOptions>;
  readonly bits?: 8 | 7;
  readonly more?: Partial<Case>;
}

function torchConv({
  options: { stride = 1, padding = 0, dilation = 1, groups = 1, inputZeroPoint = 0 } = {},
}: ConvCase) {
  const [p, q] = typeof padding === "number" ? [padding, padding] : padding;
  const pair = (value: ops.Pair) => (typeof value === "number" ? `${value}` : `(${value})`);
  const padded = `F.pad(a.double(), (${q}, ${q}, ${p}, ${p}), value=${inputZeroPoint})`;
  return `F.conv2d(${padded}, b.double(), stride=${pair(stride)}, dilation=${pair(dilation)}, groups=${groups})`;
}

function convAccumulators(name: string, parameters: ConvCase): Case {
  const { x, w, options = {}, bits = 8, more } = parameters;
  return {
    name: `quantizedConv2d ${name}, ${bits} bits`,
    op: "quantizedConv2d",
    inputs: [integers(x, ...full, "int8"), integers(w, ...ranges[bits], "int8")],
    run: ([a, b]) =>
      ops.quantizedConv2d(a, ops.packWeight(b, { bits, groups: options.groups }), {
        ...options,
        dtype: "int32",
      }),
    torch: `${torchConv(parameters)}.to(torch.int32)`,
    gradient: false,
    ...more,
  };
}

const shapes: readonly (readonly [string, ConvCase])[] = [
  ["3 × 3", { x: [2, 5, 7, 6], w: [9, 5, 3, 3], options: { padding: 1 } }],
  ["1 × 1", { x: [2, 12, 5, 5], w: [10, 12, 1, 1] }],
  [
    "5 × 5 of one channel",
    { x: [1, 1, 12, 12], w: [8, 1, 5, 5], options: { padding: 2, inputZeroPoint: -7 } },
  ],
  ["7 × 7 in steps of 2", { x: [1, 3, 16, 16], w: [16, 3, 7, 7], options: { stride: 2, padding: 3 } }],
  ["dilated", { x: [1, 4, 9, 9], w: [5, 4, 3, 3], options: { dilation: 2, padding: 2, inputZeroPoint: 9 } }],
  [
    "in 3 groups",
    { x: [2, 9, 6, 5], w: [12, 3, 3, 3], options: { groups: 3, padding: 1, inputZeroPoint: 5 } },
  ],
  [
    "depthwise",
    { x: [2, 20, 7, 7], w: [20, 1, 3, 3], options: { groups: 20, padding: 1, inputZeroPoint: -128 } },
  ],
  [
    "depthwise in steps",
    { x: [1, 16, 9, 8], w: [16, 1, 5, 3], options: { groups: 16, padding: [2, 1], stride: 2 } },
  ],
  ["depthwise dilated", { x: [1, 7, 9, 9], w: [7, 1, 3, 3], options: { groups: 7, dilation: [2, 1] } }],
  ["one channel to 4 in groups", { x: [1, 3, 6, 6], w: [12, 1, 3, 3], options: { groups: 3 } }],
  ["of uneven sides", { x: [1, 4, 5, 11], w: [6, 4, 2, 3], options: { stride: [1, 2], padding: [1, 2] } }],
  ["of a wide image", { x: [1, 8, 3, 70], w: [17, 8, 3, 3], options: { padding: 1 } }],
];

/** A static layer, as a module makes it: float32 in and out. */
const staticConv: Case = {
  name: "quantizedConv2d of float32, with bias and relu",
  op: "quantizedConv2d",
  inputs: [float([2, 4, 8, 8]), float([6, 4, 3, 3], { between: [-1, 1] }), integers([6], -2000, 2000)],
  run: ([x, w, offsets]) => {
    const weight = ops.quantizeDynamic(w, [1, 2, 3]);
    const values = ops.quantizePerTensor(x, { scale: 1 / 64, zeroPoint: 3 });
    const scales = ops.mul(ops.reshape(weight.scales, [6]), 1 / 64);
    const packed = ops.packWeight(weight.values);
    return ops.relu(ops.quantizedConv2d(values, packed, { scales, offsets, padding: 1, inputZeroPoint: 3 }));
  },
  torch: { none: "PyTorch's quantized layers need a backend that rounds in its own way" },
  gradient: false,
  scale: 100,
};

const convolutions: readonly Case[] = [
  ...([8, 7] as const).flatMap((bits) =>
    shapes.map(([name, more]) => convAccumulators(name, { ...more, bits })),
  ),
  convAccumulators("of extremes", {
    x: [1, 64, 6, 6],
    w: [9, 64, 3, 3],
    options: { padding: 1, inputZeroPoint: -128 },
    more: { inputs: [listed([-128], "int8", [1, 64, 6, 6]), listed([-128], "int8", [9, 64, 3, 3])] },
  }),
  convAccumulators("depthwise of extremes", {
    x: [1, 17, 6, 6],
    w: [17, 1, 3, 3],
    options: { groups: 17 },
    more: { inputs: [listed([-128], "int8", [1, 17, 6, 6]), listed([-128], "int8", [17, 1, 3, 3])] },
  }),
  ...[1, 21].map(
    (groups): Case => ({
      name: `quantizedConv2d to int8 in ${groups} groups`,
      op: "quantizedConv2d",
      inputs: [
        integers([2, 21, 6, 7], ...full, "int8"),
        integers([21, 21 / groups, 3, 3], -127, 128, "int8"),
        float([21], { between: [1e-4, 2e-3] }),
        integers([21], -4000, 4000),
      ],
      run: ([x, w, scales, offsets]) =>
        ops.quantizedConv2d(x, ops.packWeight(w, { groups }), {
          scales,
          offsets,
          groups,
          padding: 1,
          inputZeroPoint: 4,
          dtype: "int8",
          zeroPoint: -5,
        }),
      torch:
        `torch.clamp(torch.round((F.conv2d(F.pad(a.double(), (1, 1, 1, 1), value=4), b.double(), groups=${groups}) ` +
        "+ d[:, None, None]).float() * c.float()[:, None, None]) - 5, -128, 127).to(torch.int8)",
      gradient: false,
    }),
  ),
  staticConv,
  {
    name: "quantizedConv2d dynamic",
    op: "quantizedConv2d",
    inputs: [float([3, 5, 6, 6]), float([7, 5, 3, 3], { between: [-1, 1] }), float([7])],
    run: ([x, w, bias]) => {
      const weight = ops.quantizeDynamic(w, [1, 2, 3], { levels: 63 });
      const { values, scales } = ops.quantizeDynamic(x, [1, 2, 3]);
      return ops.quantizedConv2d(values, ops.packWeight(weight.values, { bits: 7 }), {
        scales: weight.scales,
        inputScales: scales,
        bias,
        padding: 1,
      });
    },
    torch: { none: "PyTorch has no such layer" },
    gradient: false,
    scale: 45,
  },
];

export const quantized: readonly Case[] = [
  ...roundings,
  ...packings,
  scalesInGroups,
  ...linears,
  ...convolutions,
];
