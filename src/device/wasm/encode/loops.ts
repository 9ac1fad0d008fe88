/**
 * The block loops of the interpreter, each an exported function in assembly/map_*.ts: one for every function of the instruction table
 * that no other loop computes, and some for combinations of instructions. A loop's number is its index in this list.
 */
import {
  type FloatFunction,
  type FunctionName,
  type IntegerFunction,
  instructionOf,
  instructions,
} from "../../../kernels/instructions.js";

/** On floats in wasm, mul and div are correctly rounded already. */
const floatAliases = { roundedMul: "mul", roundedDiv: "div" } as const;

/** Functions that need no loop on integers: they are the identity, and no integer is NaN. */
const integerIdentities = ["floor", "ceil", "round", "trunc", "isnan"] as const;

/** Loops that also exist with a single value as second operand. */
const withScalar = [
  ...(["add", "sub", "mul", "div", "max", "min", "eq", "ne", "lt", "le", "gt", "ge"] as const),
  ...(["subFrom", "divInto", "addInt", "mulInt", "mulAdd", "mulSubFrom"] as const),
];

const more = [
  ...(["floatToInt", "intToFloat", "intToU8", "intToI8", "floatToU8", "floatToI8"] as const),
  ...([
    "floatToF16",
    "floatToBf16",
    "floatToBool",
    "intToBool",
    "where",
    "mulAdd",
    "mulSubFrom",
    "fill",
  ] as const),
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
  return integerLoops[op];
}

/** The functions: all instructions except forms (see instructions.ts). */
const functions = (Object.keys(instructions) as FunctionName[]).filter(
  (name) => instructionOf(name).flops || instructionOf(name).accepts === "bits",
);

const integerLoops: { readonly [Name in FunctionName]?: LoopName } = Object.fromEntries(
  functions
    .filter((op) => instructionOf(op).accepts !== "float32" && !isIn(integerIdentities, op))
    .map((op) => [op, instructionOf(op).accepts === "bits" ? op : `${op}Int`]),
);

/** The loops with a single value as second operand, by the loop for blocks. */
export const scalarLoops = Object.fromEntries(withScalar.map((name) => [name, `${name}Scalar`])) as {
  readonly [Name in LoopName]?: LoopName;
};

/** All loops, without duplicates. */
export const loopNames = [
  ...new Set([
    ...functions.map(floatLoop),
    ...Object.values(integerLoops),
    ...Object.values(scalarLoops),
    ...more,
  ]),
];

export const loopNumber = Object.fromEntries(loopNames.map((name, i) => [name, i])) as Readonly<
  Record<LoopName, number>
>;

/** Instructions that are not loops over registers; see `evaluate` in assembly/expression.ts. */
export const loadInput = 256;
export const drawUniform = 257;
