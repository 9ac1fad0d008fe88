/**
 * Scaled dot-product attention: masks, causality, scales, unequal lengths. Each case is listed twice: with gradients, and as a single
 * kernel without gradients.
 */
import * as ops from "../../src/ops/index.js";
import { type Case, fixed, float, integers } from "./case.js";

const base = "F.scaled_dot_product_attention(a, b, c";

function attentionCase(
  name: string,
  [batch, length, keys, width]: readonly [readonly number[], number, number, number],
  options: { causal?: boolean; scale?: number } = {},
  more: Partial<Case> = {},
): Case {
  const { causal = false, scale } = options;
  const shape = (rows: number) => [...batch, rows, width];
  return {
    name: `scaledDotProductAttention ${name}`,
    op: "scaledDotProductAttention",
    inputs: [float(shape(length)), float(shape(keys)), float(shape(keys))],
    run: ([q, k, v]) => ops.scaledDotProductAttention(q, k, v, { causal, scale }),
    torch: `${base}${causal ? ", is_causal=True" : ""}${scale ? `, scale=${scale}` : ""})`,
    // Two products and a softmax in a row; scores are sums of terms up to 4.
    reductionLength: Math.max(length, keys) + width,
    scale: 4,
    ...more,
  };
}

function masked(name: string, mask: Case["inputs"][number], more: Partial<Case> = {}): Case {
  return {
    name: `scaledDotProductAttention ${name}`,
    op: "scaledDotProductAttention",
    inputs: [float([2, 2, 3, 4]), float([2, 2, 5, 4]), float([2, 2, 5, 4]), mask],
    run: ([q, k, v, m]) => ops.scaledDotProductAttention(q, k, v, { mask: m }),
    torch: `${base}, attn_mask=d)`,
    reductionLength: 9,
    scale: 4,
    ...more,
  };
}

/** Three rows of five keys, none of them without a key. */
const visible = [1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1];

const recorded: readonly Case[] = [
  attentionCase("of one head", [[], 3, 3, 4]),
  attentionCase("of batch and heads", [[2, 3], 5, 5, 4]),
  attentionCase("causal", [[2, 2], 5, 5, 4], { causal: true }),
  attentionCase("causal, small", [[1], 3, 3, 2], { causal: true }),
  attentionCase("with a scale", [[2], 5, 5, 4], { scale: 0.3 }),
  attentionCase("with more keys than queries", [[2, 2], 3, 7, 4]),
  attentionCase("of one query", [[2, 2], 1, 9, 8]),
  attentionCase("of one query and 131 keys", [[2, 3], 1, 131, 32]),
  attentionCase("of length 33 and width 17", [[1, 2], 33, 33, 17], { causal: true }),
  attentionCase("of one key", [[2], 3, 1, 4]),
  attentionCase("of one query and one key, width 1", [[1], 1, 1, 1]),
  attentionCase("causal with more keys than queries", [[2], 3, 7, 4], { causal: true }),
  attentionCase("causal with fewer keys than queries", [[2], 6, 4, 3], { causal: true }),
  attentionCase("of no batch", [[0, 2], 3, 5, 4]),
  {
    name: "scaledDotProductAttention of strided heads",
    op: "scaledDotProductAttention",
    inputs: [
      float([2, 5, 4], undefined, "transposed"),
      float([2, 7, 4], undefined, "sliced"),
      float([2, 7, 4], undefined, "flipped"),
    ],
    run: ([q, k, v]) => ops.scaledDotProductAttention(q, k, v),
    torch: `${base})`,
    reductionLength: 11,
    scale: 4,
  },
  masked("with a boolean mask", { shape: [3, 5], dtype: "bool", values: { list: visible } }),
  masked("with a boolean mask per batch", {
    shape: [2, 1, 3, 5],
    dtype: "bool",
    values: { list: visible },
  }),
  masked("with an additive mask", float([3, 5])),
  masked("with an additive mask of -Infinity", {
    ...fixed(float([3, 5])),
    values: { list: visible.map((on) => (on ? 0 : Number.NEGATIVE_INFINITY)) },
  }),
  {
    name: "scaledDotProductAttention of transposed heads",
    op: "scaledDotProductAttention",
    inputs: [float([2, 5, 6]), float([2, 5, 6]), float([2, 5, 6])],
    run: (inputs) => {
      const [q, k, v] = inputs.map((x) => ops.transpose(ops.reshape(x, [2, 5, 3, 2]), 1, 2));
      const heads = ops.scaledDotProductAttention(q, k, v, { causal: true });
      return ops.reshape(ops.transpose(heads, 1, 2), [2, 5, 6]);
    },
    torch:
      "(lambda h: F.scaled_dot_product_attention(h(a), h(b), h(c), is_causal=True)" +
      ".transpose(1, 2).reshape(2, 5, 6))(lambda x: x.reshape(2, 5, 3, 2).transpose(1, 2))",
    reductionLength: 11,
    scale: 4,
  },
  {
    name: "scaledDotProductAttention of packed queries, keys and values",
    op: "scaledDotProductAttention",
    inputs: [integers([4, 9], -2, 3, "float32")],
    run: ([x]) => {
      const [q, k, v] = ops.split(x, 3, 1);
      return ops.scaledDotProductAttention(q, k, v);
    },
    torch: "F.scaled_dot_product_attention(a[:, 0:3], a[:, 3:6], a[:, 6:9])",
    reductionLength: 12,
    scale: 4,
  },
];

/** The formula: a mask may have a batch that the others lack, and NaN and infinity show what they do. */
const formula = (scores: string) => `torch.softmax(${scores}, -1) @ c`;
const product = "a @ b.transpose(-1, -2) / a.shape[-1] ** 0.5";

/** q [..., length, width], k [..., keys, width], v [..., keys, valueWidth], each with a batch of its own. */
function wide(
  name: string,
  [length, keys, width, valueWidth]: readonly [number, number, number, number],
  [q, k, v]: readonly (readonly number[])[],
  { causal = false, mask }: { causal?: boolean; mask?: Case["inputs"][number] } = {},
): Case {
  const inputs = [float([...q, length, width]), float([...k, keys, width]), float([...v, keys, valueWidth])];
  const seen = causal ? ", is_causal=True" : "";
  const hidden = `d & torch.ones(${length}, ${keys}, dtype=torch.bool).tril()`;
  const biased = `d + torch.full((${length}, ${keys}), -torch.inf).triu(1)`;
  const both = mask?.dtype === "bool" ? hidden : biased;
  return {
    name: `scaledDotProductAttention ${name}`,
    op: "scaledDotProductAttention",
    inputs: mask ? [...inputs, mask] : inputs,
    run: ([a, b, c, d]) => ops.scaledDotProductAttention(a, b, c, { causal, mask: d }),
    torch: mask ? `${base}, attn_mask=${causal ? both : "d"})` : `${base}${seen})`,
    reductionLength: Math.max(length, keys) + width,
    scale: 4,
    gradient: false,
  };
}

/** Blocks, tiles, splits and what is left of them; batches and masks that are broadcast; extents of no whole texel. */
const shapes: readonly Case[] = [
  wide("of values wider than keys", [5, 7, 6, 11], [[2], [2], [2]]),
  wide("of values of width 1", [5, 7, 5, 1], [[2], [2], [2]]),
  wide("of width 300", [5, 6, 300, 12], [[2], [2], [2]]),
  wide("of 20 rows of width 300", [20, 40, 300, 24], [[2], [2], [2]]),
  wide("of 41 rows of width 64, causal", [41, 41, 64, 64], [[2], [2], [2]], { causal: true }),
  wide("of 41 rows of width 64", [41, 43, 64, 64], [[2], [2], [2]], { mask: float([2, 41, 43]) }),
  wide("causal of 130 rows and 50 keys, width 40", [130, 50, 40, 36], [[2], [2, 1], []], { causal: true }),
  wide("causal of 37 rows and 41 keys, width 40, with a boolean mask", [37, 41, 40, 40], [[2], [2], [2]], {
    causal: true,
    mask: { shape: [37, 41], dtype: "bool", values: { list: [1, 1, 0, 1, 1] } },
  }),
  wide("of keys without a batch", [9, 10, 8, 8], [[2, 3], [], []]),
  wide("of queries without a batch", [9, 10, 8, 8], [[], [3], [2, 1]]),
  wide(
    "of keys that heads share, causal",
    [33, 33, 8, 8],
    [
      [2, 3],
      [2, 1],
      [2, 1],
    ],
    { causal: true },
  ),
  wide("of 70 rows and 300 keys", [70, 300, 16, 24], [[2], [2], [2]]),
  wide("causal of 70 rows and 300 keys", [70, 300, 16, 24], [[2], [2], [2]], { causal: true }),
  wide("causal of 300 rows and 70 keys", [300, 70, 12, 20], [[1], [1], [1]], { causal: true }),
  wide("causal of 530 rows and keys", [530, 530, 8, 36], [[], [], []], { causal: true }),
  wide("causal of 2 rows and 5 keys", [2, 5, 8, 8], [[3], [3], [3]], { causal: true }),
  wide("of one query and 1100 keys", [1, 1100, 32, 36], [[2], [2], [2]]),
  wide("of three queries and 517 keys", [3, 517, 20, 7], [[2], [2], [2]]),
  wide("of two queries and 90 keys, width 33", [2, 90, 33, 33], [[2], [2], [2]]),
  wide("causal, with a boolean mask", [37, 41, 8, 8], [[2], [2], [2]], {
    causal: true,
    mask: { shape: [37, 41], dtype: "bool", values: { list: [1, 1, 0, 1, 1] } },
  }),
  wide(
    "causal, with an additive mask per head",
    [37, 37, 8, 8],
    [
      [2, 3],
      [2, 3],
      [2, 3],
    ],
    {
      causal: true,
      mask: float([3, 37, 37]),
    },
  ),
  wide("with an additive mask of keys", [9, 21, 8, 8], [[2], [2], [2]], { mask: float([2, 1, 21]) }),
  wide("with an additive mask of queries", [9, 21, 8, 8], [[2], [2], [2]], { mask: float([9, 1]) }),
  wide(
    "of one query, with a boolean mask of keys",
    [1, 530, 16, 16],
    [
      [2, 2],
      [2, 2],
      [2, 2],
    ],
    {
      mask: { shape: [2, 1, 1, 530], dtype: "bool", values: { list: [1, 0, 0, 1, 1, 0, 1] } },
    },
  ),
  {
    ...wide("with a mask that has a batch", [5, 6, 8, 8], [[], [], []], { mask: float([3, 5, 6]) }),
    torch: formula(`${product} + d`),
  },
  wide("with a sliced mask", [9, 13, 8, 8], [[2], [2], [2]], { mask: float([9, 13], undefined, "sliced") }),
  wide("with a transposed boolean mask", [6, 6, 8, 8], [[2], [2], [2]], {
    mask: { shape: [6, 6], dtype: "bool", values: { list: [1, 1, 0, 1, 1] }, view: "transposed" },
  }),
  {
    ...wide("of rows that see nothing", [6, 9, 8, 8], [[2], [2], [2]], {
      mask: { shape: [6, 9], dtype: "bool", values: { list: [...Array(9).fill(0), ...Array(9).fill(1)] } },
    }),
  },
  {
    ...wide("of rows of width 64 that see nothing", [24, 20, 64, 64], [[2], [2], [2]], {
      mask: {
        shape: [24, 20],
        dtype: "bool",
        values: { list: [...Array(20).fill(0), ...Array(40).fill(1)] },
      },
    }),
  },
  {
    ...wide("of rows of width 17 that see nothing", [24, 20, 17, 17], [[2], [2], [2]], {
      mask: {
        shape: [24, 20],
        dtype: "bool",
        values: { list: [...Array(20).fill(0), ...Array(40).fill(1)] },
      },
    }),
  },
  {
    ...wide("of one query that sees nothing", [1, 200, 8, 8], [[2], [2], [2]], {
      mask: {
        shape: [2, 1, 200],
        dtype: "bool",
        values: { list: [...Array(200).fill(0), ...Array(200).fill(1)] },
      },
    }),
  },
  {
    ...wide("of rows that see nothing, additive, causal", [6, 6, 8, 8], [[2], [2], [2]], {
      causal: true,
      mask: {
        shape: [6, 6],
        dtype: "float32",
        values: { list: [...Array(18).fill(Number.NEGATIVE_INFINITY), ...Array(18).fill(0)] },
      },
    }),
  },
  {
    ...wide("of scores beyond exp's range", [40, 40, 8, 8], [[2], [2], [2]], { causal: true }),
    inputs: [...[0, 1].map(() => float([2, 40, 8], { between: [-40, 40] })), float([2, 40, 8])],
    // A score of 13,000 is off by its roundings, 8 · 13,000 / 2²⁴, and so is the weight.
    scale: 13_000,
  },
  ...["scores that are not a number", "an infinite score"].map(
    (name, i): Case => ({
      ...wide(`of ${name}`, [5, 7, 4, 4], [[2], [2], [2]], {
        mask: {
          shape: [5, 7],
          dtype: "float32",
          values: {
            list: [
              ...Array(9).fill(0),
              i === 0 ? Number.NaN : Number.POSITIVE_INFINITY,
              ...Array(25).fill(0),
            ],
          },
        },
      }),
      torch: formula(`${product} + d`),
    }),
  ),
];

function withoutGradient(entry: Case): Case {
  return { ...entry, name: `${entry.name}, no gradient`, gradient: false };
}

export const attention: readonly Case[] = [...recorded, ...recorded.map(withoutGradient), ...shapes];
