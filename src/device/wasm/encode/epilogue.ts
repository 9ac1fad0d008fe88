/**
 * Encodes epilogues: a bias along the columns and a ReLU are added while a tile is in registers, all else is an expression over
 * blocks of the output (assembly/epilogue.ts).
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
  const map = epilogueMap(output, output, epilogue);
  const chain = chainOf(map, columns);
  const [bias, relu] = chain.takeBiasAndRelu();
  // Of one element, the interpreter would read what the kernel has stored when it opens the expression: too early.
  return { bias, relu, rest: chain.rest(), isBlockwise: isBlockwise && sizeOf(map.shape) > 1 };
}

/**
 * The instructions that an epilogue begins with, as long as each is all that uses the value before it.
 * @param columns the innermost extent of the output in the order of the map's walk.
 */
export function chainOf(map: MapCall, columns: number) {
  const { inputs, expression } = map;
  const { instructions, results } = expression;
  /** The instruction that is the value so far: at first the kernel's own. */
  let at = instructions.findIndex(({ op, index }) => op === "load" && index === 0);
  /** Goes on to the next instruction if it is `op` and its second argument, if it has one, fits; returns that, or the instruction. */
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
  /** take() with a float32 operand of one element for each column, which it returns as a vector. */
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
    /** What is left, with the value so far as its input 0. */
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

/** Whether the operand is one contiguous row that belongs to each row of the output. */
function isAlongColumns({ dtype, view }: Operand, { shape, inputs }: MapCall, columns: number): boolean {
  if (dtype !== "float32" || columns === 1) return false;
  const { extents, strides } = collapse(shape, memoryOrder(inputs[0].view), [view.strides]);
  const [walked] = strides;
  return (
    extents.at(-1) === columns && walked.at(-1) === 1 && walked.slice(0, -1).every((stride) => stride === 0)
  );
}

/**
 * Blocks of so many columns begin at multiples of this number of elements: of the powers of two that divide the columns, the largest
 * one up to a block's.
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
