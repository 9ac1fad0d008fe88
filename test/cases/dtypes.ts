/** Dtypes other than float32: one case of each op again, with its float32 inputs in other dtypes. */
import type { DType } from "../../src/core/dtype.js";
import type { Case } from "./case.js";
import { elementwise } from "./elementwise.js";
import { indexing } from "./indexing.js";
import { loss } from "./loss.js";
import { pooling } from "./pool.js";
import { random } from "./random.js";
import { reduce } from "./reduce.js";
import { softmax } from "./softmax.js";

const sources = [elementwise, reduce, softmax, pooling, indexing, loss, random].flat();

/** From 1, so that logarithms, roots and quotients are defined; up to where repeated sums still fit. */
function retyped(name: string, dtype: DType, torch: (expression: string, inputs: number) => string): Case {
  const entry = sources.find((candidate) => candidate.name === name);
  if (entry === undefined) throw new Error(`no case is called ${name}`);
  const inputs = entry.inputs.map((input) =>
    input.dtype === "float32"
      ? { ...input, dtype, values: { integers: dtype === "bool" ? ([0, 2] as const) : ([1, 6] as const) } }
      : input,
  );
  return {
    ...entry,
    name: `${name} in ${dtype}`,
    inputs,
    torch: typeof entry.torch === "string" ? torch(entry.torch, inputs.length) : entry.torch,
    gradient: false,
    kink: false,
    scale: 5 * (entry.scale ?? 1),
  };
}

/** PyTorch takes these in floating point only. */
function ofFloats(expression: string, inputs: number): string {
  return inputs === 1
    ? `(lambda a: ${expression})(a.double())`
    : `(lambda a, b: ${expression})(a.double(), b.double())`;
}

/** int32 becomes float32 first. */
const converted: readonly Case[] = [
  ...["log", "sqrt", "rsqrt", "reciprocal", "gelu", "gelu tanh", "silu", "softplus", "leakyRelu"].map(
    (op) => `${op} [7]`,
  ),
  ...["mean", "variance", "std", "logsumexp", "norm2"].map((op) => `${op} of the middle`),
  ...["softmax", "logSoftmax"].map((op) => `${op} over the middle`),
  ...["adaptiveAvgPool2d to 1", "crossEntropy mean", "dropout 0.5", "bernoulli of probabilities"],
  ...["mseLoss mean", "l1Loss mean", "binaryCrossEntropyWithLogits mean"],
].map((name) => retyped(name, "int32", ofFloats));

const same = (expression: string) => expression;
const narrow: readonly DType[] = ["uint8", "int8", "bool"];

/** Comparing and testing; the result is bool, or a position. */
const compared: readonly Case[] = narrow.flatMap((dtype) => [
  ...["isnan [7]", "logicalNot [7]"].map((name) => retyped(name, dtype, same)),
  ...["ne", "le", "gt", "logicalAnd", "logicalOr", "logicalXor"].flatMap((op) =>
    [`${op} [9]`, `${op} transposed`].map((name) => retyped(name, dtype, same)),
  ),
  ...["argmax of the middle", "argmin of the middle"].map((name) =>
    retyped(name, dtype, (expression) => `(lambda a: ${expression})(a.int())`),
  ),
  ...(dtype === "bool" ? [] : ["any", "all"].map((op) => retyped(`${op} of the middle`, dtype, same))),
]);

/** Moving rows without arithmetic. */
const moved: readonly Case[] = [
  ...(["int32", "uint8", "int8", "bool"] as const).map((dtype) =>
    retyped("embedding of a sequence", dtype, () => "a[b.long()]"),
  ),
  ...(["int32", "int8", "bool"] as const).map((dtype) => retyped("indexSelect along 1", dtype, same)),
];

export const dtypes: readonly Case[] = [...converted, ...compared, ...moved];
