/** Classification losses: logits of 1e-8 to 1e8, offsets, infinite and equal logits; ignored targets, and no targets at all. */
import type { Tensor } from "../../src/graph/tensor.js";
import { type Case, fixed, listed } from "../cases/case.js";
import { ops } from "../cases/ops.js";
import { rows } from "./rows.js";

type Op = "crossEntropy" | "nllLoss";
const python: Readonly<Record<Op, string>> = { crossEntropy: "F.cross_entropy", nllLoss: "F.nll_loss" };

interface Variant {
  readonly name: string;
  readonly options: { readonly reduction?: "mean" | "sum" | "none"; readonly labelSmoothing?: number };
  readonly torch: string;
  readonly weights?: readonly number[];
}

const variants: readonly Variant[] = [
  { name: "", options: {}, torch: "" },
  { name: "none, ", options: { reduction: "none" }, torch: ", reduction='none'" },
  { name: "sum, ", options: { reduction: "sum" }, torch: ", reduction='sum'" },
  { name: "smoothed, ", options: { labelSmoothing: 0.1 }, torch: ", label_smoothing=0.1" },
  { name: "weighted, ", options: {}, torch: "", weights: [0.5, 0, 2, 1] },
  {
    name: "smoothed and weighted, ",
    options: { labelSmoothing: 0.1 },
    torch: ", label_smoothing=0.1",
    weights: [0.5, 0, 2, 1],
  },
];

const ignored = -100;

function loss(
  op: Op,
  name: string,
  logits: readonly (readonly number[])[],
  target: readonly number[],
  { options, torch, weights, name: prefix }: Variant = variants[0],
): Case {
  const classes = logits.length > 0 ? logits[0].length : 4;
  return {
    name: `${op} ${prefix}${name}`,
    op,
    inputs: [
      listed(logits.flat(), "float32", [logits.length, classes]),
      listed(target, "int32"),
      ...(weights ? [fixed(listed(weights.slice(0, classes)))] : []),
    ],
    run: ([x, t, weight]: Tensor[]) => ops[op](x, t, { ...options, weight, ignoreIndex: ignored }),
    torch: `${python[op]}(a, b.long()${weights ? ", weight=c" : ""}${torch})`,
    // Of a row's logits, each minus the largest.
    scale: op === "crossEntropy" ? undefined : 1,
  };
}

const magnitudes = [1e-8, 1e-4, 1, 10, 30, 88, 104, 1e4, 1e6, 1e8];

/** Logits of one magnitude: opposed, and equal; each class is a target. */
const ofMagnitudes: readonly Case[] = magnitudes.flatMap((m) =>
  variants.map((variant) =>
    loss(
      "crossEntropy",
      `logits of ${m}`,
      [
        [m, -m, m, 0],
        [m, m, m, m],
        [-m, -m, -m, -m],
        [m, -m, 0, 0],
        [-m, m, 0, -m],
      ],
      [0, 1, 2, 1, 3],
      variant,
    ),
  ),
);

const ofRows: readonly Case[] = Object.entries(rows).flatMap(([name, values]) => [
  ...[0, 1, 2].map((target) => loss("crossEntropy", `of ${name}, class ${target}`, [values], [target])),
  ...variants.slice(3, 5).map((variant) => loss("crossEntropy", `of ${name}`, [values], [2], variant)),
  loss("nllLoss", `of ${name}`, [values], [1]),
]);

const ordinary = [0.5, -1.25, 2, 3];

const targets: readonly Case[] = (["crossEntropy", "nllLoss"] as const).flatMap((op) =>
  variants
    .filter(({ options }) => op === "crossEntropy" || options.labelSmoothing === undefined)
    .flatMap((variant) => [
      loss(op, "all ignored", [ordinary, ordinary], [ignored, ignored], variant),
      loss(op, "one ignored", [ordinary, [1, 2, 3, Infinity], ordinary], [2, ignored, 0], variant),
      loss(op, "one ignored of NaN", [ordinary, [1, 2, 3, Number.NaN]], [2, ignored], variant),
      loss(op, "a class of weight 0", [ordinary], [1], variant),
      loss(op, "of nothing", [], [], variant),
      loss(op, "of one class", [[3], [-1e8]], [0, 0], variant),
    ]),
);

/** The mean of nothing. */
const nothing: readonly Case[] = (["mseLoss", "l1Loss", "binaryCrossEntropyWithLogits"] as const).flatMap(
  (op) =>
    (["mean", "sum", "none"] as const).map((reduction): Case => {
      const name = {
        mseLoss: "mse_loss",
        l1Loss: "l1_loss",
        binaryCrossEntropyWithLogits: "binary_cross_entropy_with_logits",
      };
      return {
        name: `${op} ${reduction} of nothing`,
        op,
        inputs: [listed([], "float32", [0, 3]), fixed(listed([], "float32", [0, 3]))],
        run: ([x, t]) => ops[op](x, t, { reduction }),
        torch: `F.${name[op]}(a, b, reduction='${reduction}')`,
      };
    }),
);

export const losses: readonly Case[] = [...ofMagnitudes, ...ofRows, ...targets, ...nothing];
