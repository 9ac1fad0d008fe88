/**
 * Encodes epilogues: a bias along the columns and a ReLU are applied to tiles in registers; everything else is an expression over blocks
 * of the output (assembly/epilogue.ts).
 */
import { sizeOf } from "../../../core/shape.js";
import { memoryOrder } from "../../../core/view.js";
import { type Epilogue, epilogueMap } from "../../../kernels/epilogue.js";
import { restrict } from "../../../kernels/expression.js";
import type { InstructionName } from "../../../kernels/instructions.js";
import type { Instruction, MapCall, Operand } from "../../../kernels/kernel.js";
import type { CommandWriter } from "../command.js";
import { blockLanes, encodeExpression } from "./expression.js";
import { encodeMap } from "./map.js";
import { coalesce } from "./strides.js";

export interface EpiloguePlan {
  /** float32, one element per column, contiguous. */
  readonly bias: Operand | undefined;
  readonly relu: boolean;
  /** The rest of the epilogue, an in-place map over the output. */
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
  const map = epilogueMap(output, output, epilogue);
  const chain = chainOf(map, columns);
  const [bias, relu] = chain.takeBiasAndRelu();
  // Not for an output of one element: the interpreter reads constants when it opens the expression, before the kernel has stored it.
  return { bias, relu, rest: chain.rest(), isBlockwise: isBlockwise && sizeOf(map.shape) > 1 };
}

/**
 * Matches the chain of instructions that an epilogue begins with, in which each value has one use.
 * @param columns innermost extent of the output in iteration order.
 */
export function chainOf(map: MapCall, columns: number) {
  const { inputs, expression } = map;
  const { instructions, results } = expression;
  /** The last matched instruction; at first the load of the kernel's value. */
  let at = instructions.findIndex(({ op, index }) => op === "load" && index === 0);
  /**
   * Matches the next instruction if it is `op` and its other argument satisfies `fits`. Returns the other argument, for a unary
   * instruction the instruction itself; undefined without a match.
   */
  const take = (op: InstructionName, fits?: (other: Instruction) => boolean) => {
    const uses = instructions.flatMap(({ args }, i) => (args.includes(at) ? [i] : []));
    const next = instructions[uses[0]];
    if (results[0] === at || uses.length !== 1 || next.op !== op) return undefined;
    const [first, second = uses[0]] = next.args;
    const other = instructions[first === at ? second : first];
    if (fits && !fits(other)) return undefined;
    at = uses[0];
    return other;
  };
  /** As `take`, for a float32 operand with one element per column, which is returned as a vector. */
  const takeColumns = (op: InstructionName): Operand | undefined => {
    const other = take(
      op,
      ({ op, index }) => op === "load" && index !== 0 && isAlongColumns(inputs[index!], map, columns),
    );
    if (!other) return undefined;
    const operand = inputs[other.index!];
    return { ...operand, view: { shape: [columns], strides: [1], offset: operand.view.offset } };
  };
  return {
    take,
    takeColumns,
    takeBiasAndRelu: () => [takeColumns("add"), take("relu") !== undefined] as const,
    /** The instructions after the matched ones, as a map whose input 0 is the last matched value; undefined if there are none. */
    rest(): MapCall | undefined {
      if (results[0] === at) return undefined;
      const { dtype } = instructions[at];
      const changed = instructions.with(at, { op: "load", dtype, args: [], index: 0 });
      return {
        ...map,
        inputs: [{ ...inputs[0], dtype }, ...inputs.slice(1)],
        expression: restrict(changed, results),
      };
    },
  };
}

/** Whether the operand is one contiguous row that is broadcast over the rows of the output. */
function isAlongColumns({ dtype, view }: Operand, { shape, inputs }: MapCall, columns: number): boolean {
  if (dtype !== "float32" || columns === 1) return false;
  const { extents, strides } = coalesce(shape, memoryOrder(inputs[0].view), [view.strides]);
  const [list] = strides;
  return extents.at(-1) === columns && list.at(-1) === 1 && list.slice(0, -1).every((stride) => stride === 0);
}

/**
 * Blocks of `blockColumns` columns begin at multiples of this number of elements: the number of columns if they are one block, else the
 * largest power of two, at most `blockColumns`, that divides it.
 */
export function rangeOfBlocks(columns: number, blockColumns: number): number {
  return columns <= blockColumns ? columns : Math.min(blockColumns, columns & -columns);
}

/** Writes the bias' address, and whether there is a ReLU and an expression for blocks. */
export function writeEpilogueWords(
  { bias, relu, rest, isBlockwise }: EpiloguePlan,
  writer: CommandWriter,
): void {
  if (bias) writer.address(bias);
  else writer.i32(0);
  writer.i32(relu ? 1 : 0, rest && isBlockwise ? 1 : 0);
}

/**
 * Ends the kernel's command. The rest of the epilogue is part of it if the kernel applies it block by block, else a `map` command.
 * @param range blocks begin at multiples of this number of elements.
 */
export function endWithEpilogue(
  { rest, isBlockwise }: EpiloguePlan,
  range: number,
  writer: CommandWriter,
): void {
  // Only equal slots share memory: inputs of an epilogue are alive during the call.
  if (rest && isBlockwise) {
    const order = memoryOrder(rest.outputs[0].view);
    encodeExpression(rest, order, rest.outputs, () => blockLanes, Object.is, writer, range).writeOutputs();
  }
  writer.end();
  if (rest && !isBlockwise) encodeMap(rest, writer, Object.is);
}
