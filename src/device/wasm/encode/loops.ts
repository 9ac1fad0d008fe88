/**
 * The block loops of the interpreter, each the exported function of its name in assembly/map_*.ts: one for every function of the
 * instruction table that has no other, and some that join instructions. Their numbers are their places in this list.
 */
import {
  type FloatFunction,
  type FunctionName,
  type IntegerFunction,
  instructionOf,
  instructions,
} from "../../../kernels/instructions.js";

/** On floats these are exact already. */
const floatAliases = { roundedMul: "mul", roundedDiv: "div" } as const;

/** On integers these change nothing (and no integer is NaN), so that they need no loop. */
const integerIdentities = ["floor", "ceil", "round", "trunc", "isnan"] as const;

/** Loops with a number as second operand in place of a block. */
const withScalar = [
  ...(["add", "sub", "mul", "div", "max", "min", "eq", "ne", "lt", "le", "gt", "ge"] as const),
  ...(["subFrom", "divInto", "addInt", "mulInt", "mulAdd", "mulSubFrom"] as const),
];

const more = [
  ...(["floatToInt", "intToFloat", "intToU8", "intToI8", "floatToU8", "floatToI8"] as const),
  ...(["floatToBool", "intToBool", "where", "mulAdd", "mulSubFrom", "fill"] as const),
];

type Bits = Exclude<FunctionName, FloatFunction>;

export type LoopName =
  | Exclude<FloatFunction, keyof typeof floatAliases>
  | Bits
  | `${Exclude<IntegerFunction, Bits | (typeof integerIdentities)[number]>}Int`
  | `${(typeof withScalar)[number]}Scalar`
  | (typeof more)[number];

function isIn(list: readonly string[], op: string): boolean {
  return list.includes(op);
}

/** The loop that computes a function on float32. */
export function floatLoop(op: FunctionName): LoopName {
  return floatAliases[op as keyof typeof floatAliases] ?? op;
}

/** The loop that computes a function on integers or bool; undefined if that changes nothing. */
export function integerLoop(op: FunctionName): LoopName | undefined {
  if (isIn(integerIdentities, op)) return undefined;
  return (instructionOf(op).accepts === "bits" ? op : `${op}Int`) as LoopName;
}

/** The functions, which are the instructions that compute or compare. */
const functions = (Object.keys(instructions) as FunctionName[]).filter(
  (name) => instructionOf(name).flops || instructionOf(name).accepts === "bits",
);

/** Each once. */
export const loopNames = [
  ...new Set([
    ...functions.map(floatLoop),
    ...functions.filter((op) => instructionOf(op).accepts !== "float32").map(integerLoop),
    ...withScalar.map((name) => `${name}Scalar` as const),
    ...more,
  ]),
].filter((name) => name !== undefined);

export const loopNumber = Object.fromEntries(loopNames.map((name, i) => [name, i])) as Readonly<
  Record<LoopName, number>
>;

/** The loop with a number as second operand, if there is one. */
export function scalarLoop(loop: LoopName): LoopName | undefined {
  const name = `${loop}Scalar` as LoopName;
  return name in loopNumber ? name : undefined;
}

/** Instructions that are not loops over registers; see `evaluate` in assembly/expression.ts. */
export const loadInput = 256;
export const drawUniform = 257;
