/** Attention with lengths and positions as values, windows, and grouped heads: a cache that each sequence fills partly. */
import * as ops from "../../src/ops/index.js";
import { type Case, float, type Input, listed } from "./case.js";

interface Ragged {
  /** Of q: [N, L, E] or [N, H, L, E]; and of k, v: heads (0 for as many as q), S, and the width of v. */
  readonly q: readonly number[];
  readonly keys: number;
  readonly groups?: number;
  readonly valueWidth?: number;
  /** int32 [N] each, or a number for all. */
  readonly lengths?: readonly number[] | number;
  readonly positions?: readonly number[] | number;
  readonly causal?: boolean;
  readonly window?: number;
  readonly mask?: Input;
  readonly gradient?: boolean;
  /** What keys and values behind the length are. */
  readonly garbage?: number;
}

function numbers(values: readonly number[] | number): Input {
  return typeof values === "number" ? listed([values], "int32", []) : listed(values, "int32");
}

function ragged(name: string, given: Ragged): Case {
  const { q, keys, groups, lengths, positions, causal = false, window, mask, gradient, garbage } = given;
  const [rows, width] = q.slice(-2);
  const lead = groups === undefined ? q.slice(0, -2) : [q[0], groups];
  const { valueWidth = width } = given;
  const more = [lengths, positions].map((values) => (values === undefined ? undefined : numbers(values)));
  const others = [...more, mask].filter((input) => input !== undefined);
  const [lengthAt, positionAt, maskAt] = [...more, mask].map((input) =>
    input === undefined ? undefined : 3 + others.indexOf(input),
  );
  const of = (at: number | undefined, otherwise: number) =>
    at === undefined ? `torch.tensor(${otherwise})` : "abcdef"[at];
  const perRow = (x: string) => `${x}.reshape(-1, ${q.slice(1).map(() => 1)})`;
  const [key, row] = [
    `torch.arange(${keys})`,
    `(torch.arange(${rows})[:, None] + ${perRow(of(positionAt, 0))})`,
  ];
  const shown = [`(${key} < ${perRow(of(lengthAt, keys))})`];
  if (causal) shown.push(`(${key} <= ${row})`);
  if (window) shown.push(`(${key} > ${row} - ${window})`);
  if (maskAt) shown.push("abcdef"[maskAt]);
  return {
    name: `scaledDotProductAttention ${name}`,
    op: "scaledDotProductAttention",
    inputs: [float(q), float([...lead, keys, width]), float([...lead, keys, valueWidth]), ...others],
    run: (inputs) => {
      const keyLengths = inputs[lengthAt ?? -1];
      const [a, b, c] = inputs.map((x, i) => {
        if (garbage === undefined || i === 0 || i > 2) return x;
        const key = ops.reshape(ops.arange(keys, { device: x.device }), [keys, 1]);
        const length = ops.reshape(keyLengths, [-1, ...q.slice(1).map(() => 1)]);
        return ops.where(ops.lt(key, length), x, garbage);
      });
      return ops.scaledDotProductAttention(a, b, c, {
        causal,
        window,
        keyLengths,
        queryPositions: inputs[positionAt ?? -1],
        mask: inputs[maskAt ?? -1],
        enableGqa: groups !== undefined,
      });
    },
    torch: `F.scaled_dot_product_attention(a, b, c, attn_mask=${shown.join(" & ")}, enable_gqa=${groups === undefined ? "False" : "True"})`,
    reductionLength: Math.max(rows, keys) + width,
    scale: 4,
    gradient,
  };
}

/** Small enough for finite differences. */
const recorded: readonly Case[] = [
  ragged("of 0 to 9 of 7 keys", { q: [4, 3, 4], keys: 7, lengths: [0, 3, 7, 9] }),
  ragged("of 4 keys in all batches", { q: [2, 2, 3, 4], keys: 7, lengths: 4 }),
  ragged("causal from positions on", { q: [4, 3, 4], keys: 7, positions: [0, 2, -2, 9], causal: true }),
  ragged("causal from position 3 on", { q: [2, 2, 3, 4], keys: 7, positions: 3, causal: true }),
  ragged("causal from positions on, of some keys", {
    ...{ q: [3, 2, 3, 4], keys: 7, causal: true },
    ...{ lengths: [4, 3, 7], positions: [1, 2, 4] },
  }),
  ragged("of one query each", {
    ...{ q: [3, 2, 1, 4], keys: 9, causal: true },
    ...{ lengths: [1, 6, 9], positions: [0, 5, 8] },
  }),
  ragged("of a window", { q: [2, 6, 4], keys: 6, causal: true, window: 2 }),
  ragged("of a window of 1", { q: [2, 3, 4], keys: 5, causal: true, window: 1 }),
  ragged("of a window, from positions on", {
    ...{ q: [4, 3, 4], keys: 8, causal: true, window: 3 },
    ...{ positions: [0, 4, 20, -1], lengths: [8, 6, 8, 8] },
  }),
  ragged("of some keys, NaN behind them", {
    ...{ q: [3, 2, 3, 4], keys: 7, causal: true, garbage: Number.NaN },
    ...{ lengths: [4, 3, 7], positions: [1, 2, 4] },
  }),
  ragged("of groups of heads", { q: [2, 4, 3, 4], keys: 5, groups: 2 }),
  ragged("of heads that share one, causal", { q: [2, 3, 4, 4], keys: 4, groups: 1, causal: true }),
  ragged("of groups of heads, of some keys, with a mask", {
    ...{ q: [2, 4, 2, 4], keys: 5, groups: 2, lengths: [3, 5], positions: [1, 3], causal: true },
    mask: { shape: [4, 2, 5], dtype: "bool", values: { list: [1, 1, 0, 1, 1, 1, 1] } },
  }),
  ragged("of groups of heads, with a mask for all", {
    ...{ q: [2, 4, 2, 4], keys: 5, groups: 2 },
    mask: { shape: [2, 1, 2, 5], dtype: "bool", values: { list: [1, 1, 0] } },
  }),
];

/** Blocks of rows, tiles of keys and what is left of them. */
const shapes: readonly Case[] = [
  ragged("of 70 rows, 300 keys, some of them", {
    ...{ q: [4, 70, 16], keys: 300, valueWidth: 24, causal: true },
    ...{ lengths: [300, 71, 130, 5], positions: [230, 1, 60, 0] },
  }),
  ragged("of 41 rows of width 64, of some keys", { q: [3, 41, 64], keys: 90, lengths: [1, 90, 47] }),
  ragged("of 41 rows of width 17, of some keys", {
    ...{ q: [3, 41, 17], keys: 90, lengths: [40, 0, 47], positions: [3, 0, 6], causal: true },
  }),
  ragged("of 70 rows and a window of 9", {
    ...{ q: [3, 70, 16], keys: 300, causal: true, window: 9 },
    ...{ positions: [230, 0, 101], lengths: [300, 70, 171] },
  }),
  ragged("of 70 rows and a window of 130", {
    ...{ q: [2, 70, 8], keys: 300, causal: true, window: 130, positions: [229, 66] },
  }),
  ragged("of 40 rows of width 64 and a window of 33, from before the first key to behind the last", {
    ...{ q: [3, 40, 64], keys: 61, causal: true, window: 33, positions: [-20, 45, 90] },
  }),
  ragged("of 41 rows of width 64, of some keys, infinity behind them", {
    ...{ q: [3, 41, 64], keys: 90, lengths: [1, 90, 47], garbage: Number.POSITIVE_INFINITY },
  }),
  ragged("of 41 rows of width 17, of some keys, NaN behind them", {
    ...{ q: [3, 41, 17], keys: 90, lengths: [1, 90, 47], garbage: Number.NaN },
  }),
  ragged("of one query each, NaN behind the last keys", {
    ...{ q: [4, 2, 1, 32], keys: 90, causal: true, garbage: Number.NaN },
    ...{ lengths: [1, 53, 90, 0], positions: [0, 52, 89, 0] },
  }),
  ragged("of one query each, of 1100 keys", {
    ...{ q: [4, 2, 1, 32], keys: 1100, valueWidth: 36, causal: true },
    ...{ lengths: [1, 513, 1100, 0], positions: [0, 512, 1099, 0] },
  }),
  ragged("of one query each, and a window", {
    ...{ q: [3, 2, 1, 64], keys: 530, causal: true, window: 130, lengths: 530, positions: [529, 65, 700] },
  }),
  ragged("of three queries each, and a window", {
    ...{ q: [4, 3, 20], keys: 517, valueWidth: 7, causal: true, window: 5 },
    ...{ positions: [514, 3, 0, 515], lengths: [517, 6, 2, 516] },
  }),
  ragged("of three queries each, of a window and a mask", {
    ...{ q: [3, 3, 8], keys: 21, causal: true, window: 6, positions: [17, 3, 19], lengths: [20, 6, 21] },
    mask: { shape: [3, 3, 21], dtype: "bool", values: { list: [1, 1, 0, 1] } },
  }),
  ragged("of 37 rows and a window, with a mask", {
    ...{ q: [2, 37, 8], keys: 99, causal: true, window: 20, positions: [62, 11], lengths: [99, 44] },
    mask: { shape: [37, 99], dtype: "bool", values: { list: [1, 1, 0, 1, 1] } },
  }),
  ragged("of eight heads in groups of four, one query each", {
    ...{ q: [2, 8, 1, 64], keys: 130, groups: 2, causal: true, lengths: [130, 61], positions: [129, 60] },
  }),
  ragged("of six heads in groups of three, 37 queries each", {
    ...{ q: [2, 6, 37, 32], keys: 64, groups: 2, causal: true, lengths: [64, 40], positions: [27, 3] },
  }),
].map((entry) => ({ ...entry, gradient: false }));

/** One query per head, keys shared by a group of heads: devices may take the group as the rows of one product. */
const groups: readonly Case[] = [
  ragged("of nine heads in groups of three, one query each, of some keys, NaN behind them", {
    ...{ q: [4, 9, 1, 64], keys: 130, groups: 3, causal: true, garbage: Number.NaN },
    ...{ lengths: [130, 61, 0, 1], positions: [129, 60, 0, 5] },
  }),
  ragged("of seven heads that share one, one query each, and a window", {
    ...{ q: [3, 7, 1, 20], keys: 530, groups: 1, valueWidth: 7, causal: true, window: 130 },
    ...{ lengths: 530, positions: [529, 65, 700] },
  }),
  ragged("of heads in groups of two, one query each, with a mask", {
    ...{ q: [2, 4, 1, 8], keys: 21, groups: 2, causal: true, positions: [20, 9], lengths: [21, 10] },
    mask: { shape: [4, 1, 21], dtype: "bool", values: { list: [1, 1, 0, 1, 0] } },
  }),
  ragged("of 34 heads in groups of 17, one query each", {
    q: [1, 34, 1, 8],
    keys: 21,
    groups: 2,
    lengths: 20,
  }),
  ragged("of 32 heads in groups of 16, one query each, of five keys", {
    q: [1, 32, 1, 8],
    keys: 5,
    groups: 2,
  }),
].map((entry) => ({
  ...{ ...entry, gradient: false },
  torch: { none: "smaller groups are compared with PyTorch, these with the reference" },
}));

export const attentionLengths: readonly Case[] = [
  ...recorded,
  ...recorded.map((entry) => ({ ...entry, name: `${entry.name}, no gradient`, gradient: false })),
  ...shapes,
  ...groups,
];
