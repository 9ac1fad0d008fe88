/** attention as a product, a softmax of rows and another product, each as if it was a call of its own. */
import { sizeOf } from "../../../core/shape.js";
import { rowMajor, type View } from "../../../core/view.js";
import type { AttentionCall, Expression, Instruction, Operand } from "../../../kernels/kernel.js";
import type { PassBuilder } from "../shader/builder.js";
import { prepareMap } from "./map.js";
import { prepareMatmul } from "./matmul.js";
import { transposed } from "./product.js";
import { prepareReduce } from "./reduce.js";

export function productsOfAttention(call: AttentionCall, builder: PassBuilder): void {
  const { q, k, output } = call;
  const v = existingValues(call, builder);
  const { shape } = output.view;
  const rows = shape.slice(0, -1);
  const scores = scratch([...rows, k.view.shape.at(-2)!], builder);
  prepareMatmul({ kernel: "matmul", a: q, b: transposed(k), output: scores }, builder);
  const visible = visibleScores(call, scores);

  const perRow = [...rows, 1];
  const largest = scratch(perRow, builder);
  const all = scores.view.shape;
  const axes = [all.length - 1];
  prepareReduce({ kernel: "reduce", op: "max", shape: all, axes, ...visible, output: largest }, builder);
  const weights = scratch(all, builder);
  prepareMap({ kernel: "map", shape: all, ...shiftedPowers(visible, largest), outputs: [weights] }, builder);
  const totals = scratch(perRow, builder);
  prepareReduce(
    { kernel: "reduce", op: "sum", shape: all, axes, inputs: [weights], expression: loaded, output: totals },
    builder,
  );

  const sums = scratch(shape, builder);
  prepareMatmul({ kernel: "matmul", a: weights, b: v, output: sums }, builder);
  const inputs = [sums, alongRows(totals, shape)];
  prepareMap({ kernel: "map", shape, inputs, outputs: [output], expression: quotient }, builder);
}

/** The values, 0 behind the length: they may be NaN there, which a weight of 0 does not hide. */
function existingValues({ v, keyLengths }: AttentionCall, builder: PassBuilder): Operand {
  if (keyLengths === undefined) return v;
  const { shape } = v.view;
  const output = scratch(shape, builder);
  const instructions: Instruction[] = [
    load(0),
    load(1, "int32"),
    { op: "iota", dtype: "int32", args: [], index: shape.length - 2 },
    { op: "lt", dtype: "bool", args: [2, 1] },
    { op: "constant", dtype: "float32", args: [], value: 0 },
    { op: "where", dtype: "float32", args: [3, 0, 4] },
  ];
  const inputs = [v, ofMatrices(keyLengths, shape)];
  const expression = { instructions, results: [5] };
  prepareMap({ kernel: "map", shape, inputs, outputs: [output], expression }, builder);
  return output;
}

/** A number of each matrix for all elements of `shape`. */
function ofMatrices({ slot, dtype, view }: Operand, shape: readonly number[]): Operand {
  return { slot, dtype, view: { shape, strides: [...view.strides, 0, 0], offset: view.offset } };
}

function scratch(shape: readonly number[], builder: PassBuilder): Operand {
  return { slot: builder.scratch("float32", sizeOf(shape), true), dtype: "float32", view: rowMajor(shape) };
}

/** One element of each row for all of `shape`. */
function alongRows(operand: Operand, shape: readonly number[]): Operand {
  const view: View = { ...operand.view, shape, strides: operand.view.strides.with(-1, 0) };
  return { ...operand, view };
}

function load(index: number, dtype: Instruction["dtype"] = "float32"): Instruction {
  return { op: "load", dtype, args: [], index };
}

const loaded: Expression = { instructions: [load(0)], results: [0] };
/** Weighted sums of values divided by the sums of weights; 0 without a visible key. */
const quotient: Expression = {
  instructions: [
    load(0),
    load(1),
    { op: "constant", dtype: "float32", args: [], value: 0 },
    { op: "eq", dtype: "bool", args: [1, 2] },
    { op: "div", dtype: "float32", args: [0, 1] },
    { op: "where", dtype: "float32", args: [3, 2, 4] },
  ],
  results: [5],
};

interface Source {
  readonly inputs: readonly Operand[];
  readonly expression: Expression;
}

/** Scales and masks the scores. */
function visibleScores(call: AttentionCall, scores: Operand): Source {
  const { mask, scale, causal, window, keyLengths, queryPositions } = call;
  const inputs = [scores];
  const instructions: Instruction[] = [];
  const add = (instruction: Instruction) => instructions.push(instruction) - 1;
  const constant = (value: number) => add({ op: "constant", dtype: "float32", args: [], value });
  const choose = (condition: number, score: number) =>
    add({ op: "where", dtype: "float32", args: [condition, score, constant(Number.NEGATIVE_INFINITY)] });
  let score = add({ op: "mul", dtype: "float32", args: [add(load(0)), constant(scale)] });
  if (mask) {
    const given = add(load(inputs.push(mask) - 1, mask.dtype));
    const isAdded = mask.dtype === "float32";
    score = isAdded ? add({ op: "add", dtype: "float32", args: [score, given] }) : choose(given, score);
  }
  const { shape } = scores.view;
  const [row, key] = [shape.length - 2, shape.length - 1].map(
    (index) => () => add({ op: "iota", dtype: "int32", args: [], index }),
  );
  const value = (operand: Operand) => add(load(inputs.push(ofMatrices(operand, shape)) - 1, operand.dtype));
  const int = (op: "add" | "sub", ...args: number[]) => add({ op, dtype: "int32", args });
  if (causal || window) {
    const position = queryPositions ? int("add", row(), value(queryPositions)) : row();
    if (causal) score = choose(add({ op: "ge", dtype: "bool", args: [position, key()] }), score);
    if (window) {
      const width = add({ op: "constant", dtype: "int32", args: [], value: window });
      score = choose(add({ op: "lt", dtype: "bool", args: [int("sub", position, key()), width] }), score);
    }
  }
  if (keyLengths) score = choose(add({ op: "lt", dtype: "bool", args: [key(), value(keyLengths)] }), score);
  return { inputs, expression: { instructions, results: [score] } };
}

/** Softmax numerators e^(score − maximum of the row); 0 in rows without a visible key. */
function shiftedPowers({ inputs, expression }: Source, largest: Operand): Source {
  const { instructions, results } = expression;
  const n = instructions.length;
  return {
    inputs: [...inputs, alongRows(largest, inputs[0].view.shape)],
    expression: {
      instructions: [
        ...instructions,
        load(inputs.length),
        { op: "constant", dtype: "float32", args: [], value: Number.NEGATIVE_INFINITY },
        { op: "eq", dtype: "bool", args: [n, n + 1] },
        { op: "constant", dtype: "float32", args: [], value: 0 },
        { op: "where", dtype: "float32", args: [n + 2, n + 3, n] },
        { op: "sub", dtype: "float32", args: [results[0], n + 4] },
        { op: "exp", dtype: "float32", args: [n + 5] },
      ],
      results: [n + 6],
    },
  };
}
