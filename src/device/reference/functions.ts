/** The functions of the instructions in float64: the reference that other devices are tested against. */
import type { FunctionName } from "../../kernels/instructions.js";
import { erf } from "./erf.js";

type Rule = (a: number, b: number) => number;

/** One rule for all dtypes that the instruction accepts, or two: for float32, and for int32 (wrapping, truncating division). */
const functions: Readonly<Record<FunctionName, Rule | readonly [Rule, Rule]>> = {
  neg: [(a) => -a, (a) => -a | 0],
  abs: [Math.abs, (a) => Math.abs(a) | 0],
  sign: (a) => Number(a > 0) - Number(a < 0),
  exp: Math.exp,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  sqrt: Math.sqrt,
  rsqrt: (a) => 1 / Math.sqrt(a),
  reciprocal: (a) => 1 / a,
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  erf,
  relu: (a) => (a < 0 ? 0 : a),
  floor: Math.floor,
  ceil: Math.ceil,
  round: roundHalfEven,
  trunc: Math.trunc,
  isnan: (a) => Number(Number.isNaN(a)),
  not: (a) => Number(a === 0),
  add: [(a, b) => a + b, (a, b) => (a + b) | 0],
  sub: [(a, b) => a - b, (a, b) => (a - b) | 0],
  mul: [(a, b) => a * b, Math.imul],
  div: [(a, b) => a / b, (a, b) => (b === 0 ? 0 : (a / b) | 0)],
  // 1^NaN and (±1)^±∞ are 1 in C and IEEE 754, NaN in ECMAScript.
  pow: [
    (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Number.POSITIVE_INFINITY) ? 1 : a ** b),
    integerPower,
  ],
  mod: [modulo, (a, b) => (b === 0 ? 0 : modulo(a, b) + 0)],
  max: Math.max,
  min: Math.min,
  eq: (a, b) => Number(a === b),
  ne: (a, b) => Number(a !== b),
  lt: (a, b) => Number(a < b),
  le: (a, b) => Number(a <= b),
  gt: (a, b) => Number(a > b),
  ge: (a, b) => Number(a >= b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  // Products and quotients of two float32 numbers rounded first to float64 give the same float32.
  roundedMul: (a, b) => Math.fround(Math.fround(a) * Math.fround(b)),
  roundedDiv: (a, b) => Math.fround(Math.fround(a) / Math.fround(b)),
};

/** The function of an instruction on arguments of this dtype. */
export function functionOf(name: FunctionName, isInt32: boolean): Rule {
  const rules = functions[name];
  return typeof rules === "function" ? rules : rules[isInt32 ? 1 : 0];
}

/** Rounds to the nearest integer, halves to even. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest < 0.5) return floor === 0 && value < 0 ? -0 : floor;
  if (rest > 0.5) return floor + 1 === 0 ? -0 : floor + 1;
  const even = floor % 2 === 0 ? floor : floor + 1;
  return even === 0 && value < 0 ? -0 : even;
}

function modulo(a: number, b: number): number {
  const rest = a % b;
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
}

/** Wrapping power; a negative exponent gives the truncated quotient 1/a^|b|. */
function integerPower(base: number, exponent: number): number {
  if (exponent < 0) return base === 1 ? 1 : base === -1 ? (exponent % 2 === 0 ? 1 : -1) : 0;
  let result = 1;
  let square = base;
  for (let rest = exponent; rest > 0; rest >>>= 1) {
    if (rest & 1) result = Math.imul(result, square);
    square = Math.imul(square, square);
  }
  return result;
}
