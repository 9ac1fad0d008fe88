/** Losses: reductions, class weights, ignored targets, label smoothing, extreme logits. */

import type { Tensor } from "../../src/graph/tensor.js";
import { type Case, fixed, float, type Input, integers, listed } from "./case.js";
import type { Values } from "./generate.js";
import { ops } from "./ops.js";

type Reduction = "mean" | "sum" | "none";
const reductionNames: readonly Reduction[] = ["mean", "sum", "none"];

interface Options {
  readonly reduction?: Reduction;
  readonly labelSmoothing?: number;
  readonly ignoreIndex?: number;
}

function python({ reduction = "mean", labelSmoothing, ignoreIndex }: Options): string {
  return [
    `, reduction='${reduction}'`,
    labelSmoothing === undefined ? "" : `, label_smoothing=${labelSmoothing}`,
    ignoreIndex === undefined ? "" : `, ignore_index=${ignoreIndex}`,
  ].join("");
}

function classification(
  op: "crossEntropy" | "nllLoss",
  name: string,
  logits: Input,
  target: Input,
  options: Options = {},
  weight?: Input,
  more: Partial<Case> = {},
): Case {
  const torch = op === "crossEntropy" ? "F.cross_entropy" : "F.nll_loss";
  return {
    name: `${op} ${name}`,
    op,
    inputs: [logits, target, ...(weight ? [fixed(weight)] : [])],
    run: ([x, t, w]) => ops[op](x, t, { ...options, weight: w }),
    torch: `${torch}(a, b.long()${weight ? ", weight=c" : ""}${python(options)})`,
    reductionLength: logits.shape.reduce((n, extent) => n * extent, 1),
    ...more,
  };
}

const classWeights = float([5], { between: [0.5, 2] });
const logits = float([6, 5]);
const target = integers([6], 0, 5);
/** Targets with -1 among them. */
const someIgnored = integers([6], -1, 3);

const both: readonly Case[] = (["crossEntropy", "nllLoss"] as const).flatMap((op) => [
  ...reductionNames.map((reduction) => classification(op, reduction, logits, target, { reduction })),
  ...reductionNames.map((reduction) =>
    classification(op, `weighted, ${reduction}`, logits, target, { reduction }, classWeights),
  ),
  ...reductionNames.map((reduction) =>
    classification(op, `ignoring, ${reduction}`, logits, someIgnored, { reduction, ignoreIndex: -1 }),
  ),
  classification(op, "ignoring class 2, weighted", logits, target, { ignoreIndex: 2 }, classWeights),
  classification(op, "of pixels", float([2, 4, 3, 3]), integers([2, 3, 3], 0, 4)),
  classification(op, "of uint8 targets", logits, integers([6], 0, 5, "uint8")),
  classification(op, "of 1000 classes", float([3, 1000]), integers([3], 0, 1000)),
  classification(op, "of a transposed input", float([6, 5], undefined, "transposed"), target),
  classification(op, "of one row", float([1, 7]), integers([1], 0, 7)),
]);

const crossEntropies: readonly Case[] = [
  classification("crossEntropy", "smoothed", logits, target, { labelSmoothing: 0.1 }, undefined, {}),
  classification(
    "crossEntropy",
    "smoothed and weighted",
    logits,
    target,
    { labelSmoothing: 0.2 },
    classWeights,
  ),
  classification("crossEntropy", "smoothed, ignoring", logits, someIgnored, {
    labelSmoothing: 0.2,
    ignoreIndex: -1,
  }),
  classification("crossEntropy", "smoothed, none", logits, target, {
    labelSmoothing: 0.3,
    reduction: "none",
  }),
  classification(
    "crossEntropy",
    "of extreme logits",
    listed([1000, -1000, 0, -1000, 1000, 0], "float32", [2, 3]),
    listed([0, 0], "int32"),
    {},
    undefined,
    { scale: 1000 },
  ),
  classification(
    "crossEntropy",
    "of a logit of -Infinity",
    listed([1, -Infinity, 2, 0, 1, -Infinity], "float32", [2, 3]),
    listed([0, 1], "int32"),
  ),
];

interface Pointwise {
  readonly op: "mseLoss" | "l1Loss" | "binaryCrossEntropyWithLogits";
  readonly torch: string;
  readonly target: Values;
}

const pointwise: readonly Pointwise[] = [
  { op: "mseLoss", torch: "F.mse_loss", target: { between: [-2, 2] } },
  { op: "l1Loss", torch: "F.l1_loss", target: { between: [-2, 2] } },
  {
    op: "binaryCrossEntropyWithLogits",
    torch: "F.binary_cross_entropy_with_logits",
    target: { between: [0, 1] },
  },
];

const pointwiseCases: readonly Case[] = pointwise.flatMap(({ op, torch, target: values }) => {
  const run =
    (reduction: Reduction) =>
    ([x, t]: Tensor[]) =>
      ops[op](x, t, { reduction });
  return [
    ...reductionNames.map(
      (reduction): Case => ({
        name: `${op} ${reduction}`,
        op,
        inputs: [float([3, 5]), float([3, 5], values)],
        run: run(reduction),
        torch: `${torch}(a, b, reduction='${reduction}')`,
        reductionLength: 15,
        scale: 4,
      }),
    ),
    {
      name: `${op} of views`,
      op,
      inputs: [float([5, 6], undefined, "transposed"), fixed(float([5, 6], values, "sliced"))],
      run: run("mean"),
      torch: `${torch}(a, b)`,
      reductionLength: 30,
      scale: 4,
    },
  ];
});

const far: readonly Case[] = [
  {
    name: "binaryCrossEntropyWithLogits far out",
    op: "binaryCrossEntropyWithLogits",
    inputs: [listed([-1000, 1000, -1000, 1000, -30, 30]), fixed(listed([0, 1, 1, 0, 0.5, 1]))],
    run: ([x, t]) => ops.binaryCrossEntropyWithLogits(x, t, { reduction: "none" }),
    torch: "F.binary_cross_entropy_with_logits(a, b, reduction='none')",
  },
];

export const loss: readonly Case[] = [...both, ...crossEntropies, ...pointwiseCases, ...far];
