/**
 * Encodes epilogues: a bias along the columns and a ReLU are added while a tile is in registers, all else is an expression over
 * blocks of the output (assembly/epilogue.ts).
 */
import { sizeOf } from "../../../core/shape.js";
import { memoryOrder } from "../../../core/view.js";
import { type Epilogue, epilogueMap } from "../../../kernels/epilogue.js";
import { restrict } from "../../../kernels/expression.js";
import type { MapCall, Operand } from "../../../kernels/kernel.js";
import type { CommandWriter } from "../command.js";
import { blockLanes, encodeExpression } from "./expression.js";
import { encodeMap } from "./map.js";
import { collapse } from "./strides.js";

export interface EpiloguePlan {
  /** float32, one element per column, contiguous. */
  readonly bias: Operand | undefined;
  readonly relu: boolean;
  /** What is left, over the output in place. */
  readonly rest: MapCall | undefined;
  /** Whether the kernel can apply it block by block. */
  readonly isBlockwise: boolean;
}

/**
 * @param columns the innermost extent of the output in memory.
 * @param isBlockwise whether blocks of the output are contiguous in memory, in the order in which the kernel completes them.
 */
export function planEpilogue(
  output: Operand,
  epilogue: Epilogue | undefined,
  columns: number,
  isBlockwise: boolean,
): EpiloguePlan {
  if (epilogue === undefined) return { bias: undefined, relu: false, rest: undefined, isBlockwise };
  const map = epilogueMap(output, epilogue);
  const { instructions, results } = map.expression;
  let value = instructions.findIndex(({ op, index }) => op === "load" && index === 0);
  /** The only instruction that uses the value. */
  const onlyUse = () => {
    if (results[0] === value) return undefined;
    const uses = instructions.flatMap(({ args }, i) => (args.includes(value) ? [i] : []));
    return uses.length === 1 ? uses[0] : undefined;
  };
  let bias: Operand | undefined;
  const sum = onlyUse();
  if (sum !== undefined && instructions[sum].op === "add") {
    const { args } = instructions[sum];
    const other = instructions[args[0] === value ? args[1] : args[0]];
    const operand = other.op === "load" ? map.inputs[other.index!] : undefined;
    if (operand !== undefined && other.index !== 0 && isAlongColumns(operand, map, columns)) {
      bias = operand;
      value = sum;
    }
  }
  const next = onlyUse();
  const relu = next !== undefined && instructions[next].op === "relu";
  if (relu) value = next;
  // What is left loads the value as its input 0.
  const changed = instructions.with(value, { op: "load", dtype: "float32", args: [], index: 0 });
  const rest = results[0] === value ? undefined : { ...map, expression: restrict(changed, results) };
  // Of one element, the interpreter would read what the kernel has stored when it opens the expression: too early.
  return { bias, relu, rest, isBlockwise: isBlockwise && sizeOf(map.shape) > 1 };
}

/** Whether the operand is one contiguous row that belongs to each row of the output. */
function isAlongColumns({ dtype, view }: Operand, { shape, outputs }: MapCall, columns: number): boolean {
  if (dtype !== "float32" || columns === 1) return false;
  const { extents, strides } = collapse(shape, memoryOrder(outputs[0].view), [view.strides]);
  const [walked] = strides;
  return (
    extents.at(-1) === columns && walked.at(-1) === 1 && walked.slice(0, -1).every((stride) => stride === 0)
  );
}

/** Writes the bias' address, and whether there is a ReLU and an expression for blocks. */
export function writeEpilogueWords(
  { bias, relu, rest, isBlockwise }: EpiloguePlan,
  writer: CommandWriter,
): void {
  if (bias) writer.address(bias);
  else writer.i32(0);
  writer.i32(relu ? 1 : 0);
  writer.i32(rest && isBlockwise ? 1 : 0);
}

/**
 * Ends the kernel's command: with the expression for blocks, or without, and a command of its own for what is left.
 * @param range blocks begin at multiples of so many elements.
 */
export function endWithEpilogue(
  { rest, isBlockwise }: EpiloguePlan,
  range: number,
  writer: CommandWriter,
): void {
  // Slots share memory if they are the same: an epilogue's inputs outlive the call.
  if (rest && isBlockwise) {
    const order = memoryOrder(rest.outputs[0].view);
    encodeExpression(rest, order, rest.outputs, () => blockLanes, Object.is, writer, range).writeOutputs();
  }
  writer.end();
  if (rest && !isBlockwise) encodeMap(rest, writer, Object.is);
}
