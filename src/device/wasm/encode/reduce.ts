/** Encodes `reduce`; layout in assembly/reduce.ts. */
import { ArgumentError } from "../../../core/errors.js";
import type { ReduceCall, ReduceOp } from "../../../kernels/kernel.js";
import { type CommandWriter, Opcode } from "../command.js";
import { blockLanes, encodeExpression, usesUniform } from "./expression.js";
import { coalesce, storeAccess } from "./strides.js";

export const Reduction: Readonly<Record<ReduceOp, number>> = {
  sum: 0,
  max: 1,
  min: 2,
  prod: 3,
  argmax: 4,
  argmin: 5,
};

/** Lanes of a block that is reduced in place, without block registers. */
const directBlock = 1 << 16;

/** The words of the payload after the expression. */
export const reduceLayout = "op isInt length columns space value access address rank extents";

/** Dimensions in the order [outer, reduced, columns]; see assembly/reduce.ts. */
interface Order {
  readonly outer: number[];
  readonly reduced: number[];
  readonly columns: number[];
}

function chooseOrder(call: ReduceCall): Order {
  const dims = call.shape.map((_, d) => d).filter((d) => call.shape[d] !== 1);
  const isReduced = (d: number) => call.axes.includes(d);
  if (usesUniform(call.expression)) return logicalOrder(call.op, dims, isReduced);
  // Iterates in the memory order of the operand that is broadcast along the fewest dimensions.
  let strides: readonly number[] = call.shape.map(() => 0);
  let most = 0;
  for (const { view } of call.inputs) {
    const moving = dims.filter((d) => view.strides[d] !== 0).length;
    if (moving > most) {
      most = moving;
      strides = view.strides;
    }
  }
  const sorted = [...dims].sort((a, b) => Math.abs(strides[b]) - Math.abs(strides[a]) || a - b);
  const columns: number[] = [];
  if (call.op !== "argmax" && call.op !== "argmin") {
    while (sorted.length > 0 && !isReduced(sorted[sorted.length - 1]) && sorted.some(isReduced)) {
      columns.unshift(sorted.pop()!);
    }
  }
  return {
    outer: sorted.filter((d) => !isReduced(d)),
    reduced: sorted.filter(isReduced),
    columns,
  };
}

/** Random numbers depend on logical indices, so dimensions stay in order. */
function logicalOrder(op: ReduceOp, dims: number[], isReduced: (d: number) => boolean): Order {
  const first = dims.findIndex(isReduced);
  if (first < 0) return { outer: dims, reduced: [], columns: [] };
  let end = first;
  while (end < dims.length && isReduced(dims[end])) end++;
  const columns = dims.slice(end);
  const findsPosition = op === "argmax" || op === "argmin";
  if (columns.some(isReduced) || (findsPosition && columns.length > 0)) {
    throw new ArgumentError("random numbers cannot be reduced over these axes in one kernel", {
      op: "reduce",
      hint: "let a map write them first",
    });
  }
  return { outer: dims.slice(0, first), reduced: dims.slice(first, end), columns };
}

export function encodeReduce(call: ReduceCall, writer: CommandWriter): void {
  const { shape, output } = call;
  const resultShape = shape.map((extent, d) => (call.axes.includes(d) ? 1 : extent));
  const { outer, reduced, columns } = chooseOrder(call);
  const extentOf = (dims: readonly number[]) => dims.reduce((product, d) => product * shape[d], 1);
  const length = extentOf(reduced);
  const width = extentOf(columns);
  const unit = width > 1 ? width : length;
  const preferredBlock = (isDirect: boolean) => {
    const lanes = isDirect ? directBlock : blockLanes;
    return unit <= lanes ? Math.floor(lanes / unit) * unit : lanes;
  };

  writer.begin(Opcode.reduce);
  const order = [...outer, ...reduced, ...columns];
  const encoded = encodeExpression(call, order, [], preferredBlock, () => false, writer);
  const results = coalesce(resultShape, [...outer, ...columns], [output.view.strides]);
  const dtype = call.expression.instructions[call.expression.results[0]].dtype;
  writer.i32(Reduction[call.op], dtype === "float32" ? 0 : 1, length, width);
  // A row of float32 and one of float64, each rounded up to whole vectors and to 64 bytes.
  if (width > 1) writer.scratch(width * 12 + 256);
  else writer.i32(0);
  writer.i32(encoded.results[0], storeAccess(output.dtype));
  writer.address(output);
  writer.i32(results.extents.length, ...results.extents, ...results.strides[0]);
  writer.end();
}

/** An empty reduction: the results are the identity. */
