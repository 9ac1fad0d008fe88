/** Evaluates fused expressions in float64, a block of elements at a time. */

import type { TypedArray } from "../../core/dtype.js";
import { philox } from "../../core/philox.js";
import type { Expression, Instruction, Operand } from "../../kernels/kernel.js";
import { erf } from "./erf.js";
import { indexOf, positions } from "./walk.js";

/** Elements per block. */
export const blockSize = 1024;

/** Gives the array that a slot stands for in this run. */
export type Memory = (slot: number) => TypedArray;

/** Values of each instruction for elements `start`..`start + count - 1` of `shape`; row i belongs to instruction i. */
export function evaluate(
  { instructions }: Expression,
  inputs: readonly Operand[],
  shape: readonly number[],
  start: number,
  count: number,
  memory: Memory,
  scalars: readonly number[],
): Float64Array[] {
  const values: Float64Array[] = [];
  for (const instruction of instructions) {
    const out = new Float64Array(count);
    const [a, b, c] = instruction.args.map((arg) => values[arg]);
    const argType = instruction.args.length > 0 ? instructions[instruction.args[0]].dtype : instruction.dtype;
    switch (instruction.op) {
      case "load": {
        const { slot, view } = inputs[instruction.index!];
        const data = memory(slot);
        positions(view, start, count).forEach((position, i) => {
          out[i] = data[position];
        });
        break;
      }
      case "constant":
        out.fill(instruction.value!);
        break;
      case "scalar":
        out.fill(
          instruction.dtype === "int32" ? scalars[instruction.index!] | 0 : scalars[instruction.index!],
        );
        break;
      case "uniform": {
        const [low, high, offset] = scalars.slice(instruction.index!, instruction.index! + 3);
        for (let i = 0; i < count; i++) out[i] = uniformAt(start + i, low, high, offset);
        break;
      }
      case "iota":
        for (let i = 0; i < count; i++) out[i] = indexOf(start + i, shape)[instruction.index!];
        break;
      case "cast":
        for (let i = 0; i < count; i++) out[i] = castValue(a[i], instruction, argType === "float32");
        break;
      case "where":
        for (let i = 0; i < count; i++) out[i] = a[i] !== 0 ? b[i] : c[i];
        break;
      default: {
        const rule = (argType === "int32" ? int32Rules[instruction.op] : undefined) ?? rules[instruction.op];
        for (let i = 0; i < count; i++) out[i] = rule(a[i], b?.[i]);
      }
    }
    values.push(out);
  }
  return values;
}

const bounds = { int32: [-(2 ** 31), 2 ** 31 - 1], int8: [-128, 127], uint8: [0, 255] } as const;

/** From floats truncates and saturates; between integers keeps the low bits. */
function castValue(value: number, { dtype }: Instruction, fromFloat: boolean): number {
  if (dtype === "float32") return value;
  if (dtype === "bool") return Number(value !== 0);
  if (fromFloat) {
    const [least, most] = bounds[dtype];
    return Number.isNaN(value) ? 0 : Math.trunc(Math.max(least, Math.min(most, value))) + 0;
  }
  if (dtype === "uint8") return value & 0xff;
  if (dtype === "int8") return (value << 24) >> 24;
  return value;
}

type Rule = (a: number, b: number) => number;

/** Rounds to the nearest whole number, halves to even. */
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

const rules: Readonly<Record<string, Rule>> = {
  neg: (a) => -a,
  abs: Math.abs,
  sign: (a) => Number(a > 0) - Number(a < 0),
  exp: Math.exp,
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
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  // ECMAScript gives NaN for 1^NaN and (±1)^±∞ where C and IEEE 754 give 1.
  pow: (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Number.POSITIVE_INFINITY) ? 1 : a ** b),
  mod: modulo,
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

/** Where int32 differs: wrapping, truncating division, 0 for a zero divisor. */
const int32Rules: Readonly<Record<string, Rule>> = {
  neg: (a) => -a | 0,
  abs: (a) => Math.abs(a) | 0,
  add: (a, b) => (a + b) | 0,
  sub: (a, b) => (a - b) | 0,
  mul: (a, b) => Math.imul(a, b),
  div: (a, b) => (b === 0 ? 0 : (a / b) | 0),
  mod: (a, b) => (b === 0 ? 0 : modulo(a, b) + 0),
  pow: (a, b) => integerPower(a, b),
};

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

/** Element `index` of a random stream: uniform in [0, 1) with 24 bits. The word order is that of the kernel language. */
function uniformAt(index: number, seedLow: number, seedHigh: number, offset: number): number {
  const words = philox([Math.floor(index / 4), 0, offset, 0], [seedLow, seedHigh]);
  return (words[index % 4] >>> 8) * 2 ** -24;
}
