/** Fused elementwise expressions, which `map` writes and `reduce` reduces, and the call of `map`. */
import type { DType } from "../core/dtype.js";
import type { Shape } from "../core/shape.js";
import type { InstructionName } from "./instructions.js";
import type { Operand } from "./operand.js";

/** One instruction of an expression in SSA form; what each name means is in instructions.ts. */
export interface Instruction {
  readonly op: InstructionName;
  /** Of the result. */
  readonly dtype: DType;
  /** Indices of earlier instructions. */
  readonly args: readonly number[];
  readonly value?: number;
  readonly index?: number;
}

export interface Expression {
  readonly instructions: readonly Instruction[];
  /** Instructions whose values leave the expression, one per output. */
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

const notArithmetic = new Set<string>([
  "load",
  "constant",
  "scalar",
  "iota",
  "uniform",
  "cast",
  "where",
  "not",
  "and",
  "or",
  "xor",
]);

/** Floating-point operations for one element: 1 for each arithmetic instruction, transcendental or not. */
export function flopsPerElement({ instructions }: Expression): number {
  return instructions.filter(({ op }) => !notArithmetic.has(op)).length;
}

/** Instructions that do not say what an expression is for. */
const silent = new Set<string>(["load", "constant", "scalar", "iota"]);
/** More are cut off in descriptions. */
const shownInstructions = 6;

/** The names of its instructions, for descriptions: ` mul where`. */
export function instructionsText({ instructions }: Expression): string {
  const ops = instructions.map(({ op }) => op).filter((op) => !silent.has(op));
  if (ops.length === 0) return "";
  const shown = ops.slice(0, shownInstructions).join(" ");
  return ops.length > shownInstructions ? ` ${shown} … (${ops.length})` : ` ${shown}`;
}
