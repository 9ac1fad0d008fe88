/** Softmax and log-sum-exp: tails, views, large numbers and infinities. */
import { type Case, float, listed, tails } from "./case.js";
import { ops } from "./ops.js";

const softmaxes: readonly Case[] = (["softmax", "logSoftmax"] as const).flatMap((op): Case[] => {
  const torch = op === "softmax" ? "torch.softmax" : "torch.log_softmax";
  const of = (name: string, inputs: Case["inputs"], dim: number, more: Partial<Case> = {}): Case => ({
    name: `${op} ${name}`,
    op,
    inputs,
    run: ([x]) => ops[op](x, dim),
    torch: `${torch}(a, dim=${dim})`,
    reductionLength: inputs[0].shape.at(dim),
    ...more,
  });
  return [
    ...tails.map((n) => of(`of rows of ${n}`, [float([3, n])], 1)),
    of("over the first dim", [float([5, 7])], 0),
    of("over the middle", [float([2, 5, 7])], 1),
    of("of 1031", [float([2, 1031])], 1),
    of("transposed", [float([5, 6], undefined, "transposed")], -1),
    of("sliced", [float([5, 6], undefined, "sliced")], -1),
    of("flipped", [float([5, 6], undefined, "flipped")], 0),
    of("expanded", [float([5, 6], undefined, "expanded")], 0),
    of("empty", [float([0, 3])], 1),
    of("of large numbers", [float([3, 5], { between: [-300, 300] })], 1, { scale: 300 }),
    of("with -Infinity", [listed([1, -Infinity, 2, -Infinity, -Infinity, 3], "float32", [2, 3])], 1, {
      gradient: false,
    }),
    of("of rows that are all -Infinity", [listed([-Infinity, -Infinity], "float32", [1, 2])], 1, {
      gradient: false,
    }),
    of("with NaN", [listed([1, Number.NaN, 2, 1, 2, 3], "float32", [2, 3])], 1, { gradient: false }),
  ];
});

const logsumexps: readonly Case[] = [
  {
    name: "logsumexp of infinities",
    op: "logsumexp",
    inputs: [listed([-Infinity, -Infinity, 1, Infinity, -Infinity, 2, 1000, 1000], "float32", [4, 2])],
    run: ([x]) => ops.logsumexp(x, 1),
    torch: "torch.logsumexp(a, dim=1)",
    gradient: false,
    scale: 1000,
  },
];

export const softmax: readonly Case[] = [...softmaxes, ...logsumexps];
