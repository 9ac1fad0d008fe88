/**
 * The instructions of fused elementwise expressions, one record each. A device implements them in a table over `FunctionName` and
 * `FormName`; a missing entry is a type error.
 */
import type { DType } from "../core/dtype.js";

/**
 * The dtypes of the arguments, which are all equal: "float32"; "numbers": float32 or int32; "bits": bool or int32; "any". uint8 and
 * int8 are converted to int32 before.
 */
export type Accepted = "float32" | "numbers" | "bits" | "any";

export interface InstructionRecord {
  readonly arity: 0 | 1 | 2 | 3;
  readonly accepts: Accepted;
  /** Floating-point operations of one element. */
  readonly flops: 0 | 1;
  /** Recomputing it is cheaper than storing and loading its result. */
  readonly isCheap: boolean;
  /** The dtype of the result; undefined: that of the (last) argument. */
  readonly resultDType: DType | undefined;
  /** The value depends on the element's logical position, not on the memory layout. */
  readonly isPositional: boolean;
}

/** All records have the same fields in the same order, so that engines use one hidden class: the compiler reads them for every node. */
function record<Arity extends 0 | 1 | 2 | 3, A extends Accepted>(
  arity: Arity,
  accepts: A,
  flops: 0 | 1 = 0,
  isCheap = false,
  resultDType?: DType,
  isPositional = false,
) {
  return { arity, accepts, flops, isCheap, resultDType, isPositional };
}

const leaf = record(0, "any");
const positional = record(0, "any", 0, false, undefined, true);
const ofFloat = record(1, "float32", 1);
const ofNumber = record(1, "numbers", 1);
const cheapOfNumber = record(1, "numbers", 1, true);
const ofFloats = record(2, "float32", 1);
const ofNumbers = record(2, "numbers", 1);
const cheapOfNumbers = record(2, "numbers", 1, true);
const ofBits = record(2, "bits");
const comparison = record(2, "any", 1, true, "bool");

/** Signs of zeros follow IEEE 754 on devices that support them. */
export const instructions = {
  /* Forms (FormName): instructions with `value` or `index`, or with arguments of different dtypes. */

  /** The element of `inputs[index]` at the current position, in the operand's dtype. */
  load: leaf,
  /** `value`. */
  constant: leaf,
  /** Runtime scalar number `index` of the Program. */
  scalar: leaf,
  /**
   * float32 in [0, 1) with 24 random bits, for the element whose *logical row-major index* in the call's shape is i: word i%4 of
   * Philox4x32-10(counter = [i/4, 0, offset, 0], key = [seedLo, seedHi]), shifted right by 8 and scaled by 2^-24. seedLo, seedHi
   * and offset are the int32 runtime scalars `index`, +1, +2.
   */
  uniform: positional,
  /** int32, the element's index along dimension `index` of the call's shape. */
  iota: positional,
  /**
   * To `dtype`. From floats to any integer type truncates towards zero and saturates at that type's bounds, NaN resultDType 0; from
   * integers to uint8 and int8 wraps; to bool is `!= 0`, so that NaN resultDType true.
   */
  cast: record(1, "any", 0, true),
  /** args [condition (bool), a, b]: a where the condition holds, else b. */
  where: record(3, "any"),

  /* Functions of one argument. */

  /** −x; int32 wraps. */
  neg: cheapOfNumber,
  /** |x|; int32 wraps. */
  abs: cheapOfNumber,
  /** −1, 0 or 1; 0 for NaN and ±0. */
  sign: ofNumber,
  /** e^x. */
  exp: ofFloat,
  /** e^x − 1, accurate near 0 too. */
  expm1: ofFloat,
  /** The natural logarithm. */
  log: ofFloat,
  /** log(1 + x), accurate near 0 too. */
  log1p: ofFloat,
  sqrt: ofFloat,
  /** 1/√x. */
  rsqrt: ofFloat,
  /** 1/x. */
  reciprocal: ofFloat,
  /** x in radians. */
  sin: ofFloat,
  /** x in radians. */
  cos: ofFloat,
  tanh: ofFloat,
  /** 1/(1 + e^-x). */
  sigmoid: ofFloat,
  /** The error function 2/√π ∫₀ˣ e^(−t²) dt. */
  erf: ofFloat,
  /** `x < 0 ? 0 : x`, so that NaN and −0 stay. */
  relu: cheapOfNumber,
  /** The largest integer ≤ x. */
  floor: ofNumber,
  /** The smallest integer ≥ x. */
  ceil: ofNumber,
  /** The nearest integer, halves to even. */
  round: ofNumber,
  /** Rounded towards zero. */
  trunc: ofNumber,
  isnan: record(1, "numbers", 1, false, "bool"),
  /** bool: whether x is 0. */
  not: record(1, "bits", 0, true, "bool"),

  /* Functions of two arguments of one dtype. */

  /** int32 wraps. */
  add: cheapOfNumbers,
  /** int32 wraps. */
  sub: cheapOfNumbers,
  /** int32 wraps. */
  mul: cheapOfNumbers,
  /** int32 truncates, and resultDType 0 for a divisor of 0. */
  div: ofNumbers,
  /** 1 for 1^y and x^0 even if the other is NaN, and for (−1)^±∞. int32 wraps; a negative exponent truncates 1/x^|y|. */
  pow: ofNumbers,
  /** The remainder with the sign of the divisor, as Python's %; 0 for an int32 divisor of 0. */
  mod: ofNumbers,
  /** NaN if one is NaN; the sign of max(0, −0) is unspecified. */
  max: cheapOfNumbers,
  /** As max. */
  min: cheapOfNumbers,
  eq: comparison,
  ne: comparison,
  lt: comparison,
  le: comparison,
  gt: comparison,
  ge: comparison,
  /** Bitwise. */
  and: ofBits,
  or: ofBits,
  xor: ofBits,
  /**
   * a·b rounded to the nearest float32, where `mul` may be fused or less exact: quantized values must have the same bits on every
   * device. Operands and result are 0, infinite, NaN or normal.
   */
  roundedMul: ofFloats,
  /** a/b, as roundedMul. */
  roundedDiv: ofFloats,
} satisfies Readonly<Record<string, InstructionRecord>>;

type Records = typeof instructions;

export type InstructionName = keyof Records;

/** Instructions with `value` or `index`, or with arguments of different dtypes. */
export type FormName = "load" | "constant" | "scalar" | "uniform" | "iota" | "cast" | "where";

/** Pure functions of their arguments. */
export type FunctionName = Exclude<InstructionName, FormName>;

/** The functions with this number of arguments. */
type WithArity<Arity> = {
  [Name in FunctionName]: Records[Name]["arity"] extends Arity ? Name : never;
}[FunctionName];

export type UnaryOp = WithArity<1>;
export type BinaryOp = WithArity<2>;

/** The functions that take float32, and those that take integers or bool. */
export type FloatFunction = Exclude<FunctionName, Accepting<"bits">>;
export type IntegerFunction = Exclude<FunctionName, Accepting<"float32">>;

type Accepting<A extends Accepted> = {
  [Name in FunctionName]: Records[Name]["accepts"] extends A ? Name : never;
}[FunctionName];

/** The record of an instruction. */
export function instructionOf(name: InstructionName): InstructionRecord {
  return instructions[name];
}
