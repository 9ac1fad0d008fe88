/** Fused elementwise expressions in SSA form, used by `map`, `reduce` and epilogues; and the call of `map`. */
import type { DType } from "../core/dtype.js";
import type { Shape } from "../core/shape.js";
import { type InstructionName, instructionOf } from "./instructions.js";
import type { Operand } from "./operand.js";

/** One instruction in SSA form; instructions.ts defines the names. */
export interface Instruction {
  readonly op: InstructionName;
  /** dtype of the result. */
  readonly dtype: DType;
  /** Indices of earlier instructions. */
  readonly args: readonly number[];
  /** The value of a `constant`. */
  readonly value?: number;
  /** Number of the input (`load`), runtime scalar (`scalar`, `uniform`) or dimension (`iota`). */
  readonly index?: number;
}

export interface Expression {
  readonly instructions: readonly Instruction[];
  /** Indices of the instructions whose values are the outputs. */
  readonly results: readonly number[];
}

/** outputs[k] = results[k], for every element of `shape`. All operands' views have this shape. */
export interface MapCall {
  readonly kernel: "map";
  readonly shape: Shape;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly expression: Expression;
}

/** Most loads and instructions one expression may have; the fuse pass splits larger ones. */
export const maxExpressionInputs = 16;
export const maxExpressionInstructions = 96;

/** Floating-point operations for one element: 1 for each arithmetic instruction, transcendental or not. */
export function flopsPerElement({ instructions }: Expression): number {
  return instructions.reduce((sum, { op }) => sum + instructionOf(op).flops, 0);
}

/** The expression with these results; instructions that none of them uses are removed (dead-code elimination). */
export function restrict(instructions: readonly Instruction[], results: readonly number[]): Expression {
  const needed = new Set(results);
  for (let i = instructions.length - 1; i >= 0; i--) {
    if (needed.has(i)) for (const arg of instructions[i].args) needed.add(arg);
  }
  const used = [...needed].sort((a, b) => a - b);
  const renumbered = (list: readonly number[]) => list.map((i) => used.indexOf(i));
  return {
    instructions: used.map((i) => ({ ...instructions[i], args: renumbered(instructions[i].args) })),
    results: renumbered(results),
  };
}
