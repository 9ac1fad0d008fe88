/** Scaled dot-product attention: masks, causality, scales, unequal lengths. */
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

export const attention: readonly Case[] = [
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
