/** Plain JavaScript evaluation of single kernel calls: the oracle of the wasm device. */

import { type DType, isHalf, type TypedArray } from "../../src/core/dtype.js";
import { roundToHalf } from "../../src/core/half.js";
import { sizeOf } from "../../src/core/shape.js";
import type {
  Expression,
  Instruction,
  KernelCall,
  MapCall,
  Operand,
  ReduceCall,
} from "../../src/kernels/kernel.js";

export type Leaves = readonly TypedArray[];

/** All positions of a shape in row-major order. */
export function* positions(shape: readonly number[]): Generator<number[]> {
  const size = sizeOf(shape);
  const position = shape.map(() => 0);
  for (let i = 0; i < size; i++) {
    yield position;
    for (let d = shape.length - 1; d >= 0; d--) {
      if (++position[d] < shape[d]) break;
      position[d] = 0;
    }
  }
}

export function offsetOf({ view }: Operand, position: readonly number[]): number {
  return position.reduce((sum, p, d) => sum + p * view.strides[d], view.offset);
}

/** Abramowitz–Stegun is too coarse: the series, and 1 - a continued fraction far out. */
export function erf(x: number): number {
  if (Math.abs(x) > 5 || Number.isNaN(x)) return Number.isNaN(x) ? x : Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

function castTo(dtype: DType, x: number, from: DType): number {
  if (dtype === "float32") return x;
  if (isHalf(dtype)) return roundToHalf(dtype, x);
  if (dtype === "bool") return x !== 0 ? 1 : 0;
  if (from === "float32") {
    const [low, high] = { int32: [-(2 ** 31), 2 ** 31 - 1], uint8: [0, 255], int8: [-128, 127] }[dtype];
    return Number.isNaN(x) ? 0 : Math.min(high, Math.max(low, Math.trunc(x)));
  }
  if (dtype === "uint8") return x & 255;
  return dtype === "int8" ? (x << 24) >> 24 : x | 0;
}

function apply(instruction: Instruction, args: number[], from: DType): number {
  const [x, y] = args;
  const isInt = from !== "float32";
  switch (instruction.op) {
    case "neg":
      return isInt ? -x | 0 : -x;
    case "abs":
      return isInt ? Math.abs(x) | 0 : Math.abs(x);
    case "sign":
      return Number(x > 0) - Number(x < 0);
    case "exp":
      return Math.exp(x);
    case "log":
      return Math.log(x);
    case "sqrt":
      return Math.sqrt(x);
    case "rsqrt":
      return 1 / Math.sqrt(x);
    case "reciprocal":
      return 1 / x;
    case "sin":
      return Math.sin(x);
    case "cos":
      return Math.cos(x);
    case "tanh":
      return Math.tanh(x);
    case "sigmoid":
      return 1 / (1 + Math.exp(-x));
    case "erf":
      return erf(x);
    case "relu":
      return Math.max(x, 0);
    case "floor":
      return Math.floor(x);
    case "ceil":
      return Math.ceil(x);
    case "round":
      return roundHalfEven(x);
    case "trunc":
      return Math.trunc(x);
    case "isnan":
      return Number.isNaN(x) ? 1 : 0;
    case "not":
      return x === 0 ? 1 : 0;
    case "add":
      return isInt ? (x + y) | 0 : x + y;
    case "sub":
      return isInt ? (x - y) | 0 : x - y;
    case "mul":
      return isInt ? Math.imul(x, y) : x * y;
    case "div":
      if (!isInt) return x / y;
      return y === 0 ? 0 : (x / y) | 0;
    case "pow":
      // ECMAScript gives NaN for 1^NaN and (±1)^±∞ where IEEE 754 gives 1.
      return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y;
    case "mod": {
      if (isInt && y === 0) return 0;
      const r = x % y;
      return r !== 0 && r < 0 !== y < 0 ? r + y : r;
    }
    case "max":
      return Math.max(x, y);
    case "min":
      return Math.min(x, y);
    case "eq":
      return x === y ? 1 : 0;
    case "ne":
      return x !== y ? 1 : 0;
    case "lt":
      return x < y ? 1 : 0;
    case "le":
      return x <= y ? 1 : 0;
    case "gt":
      return x > y ? 1 : 0;
    case "ge":
      return x >= y ? 1 : 0;
    case "and":
      return x & y;
    case "or":
      return x | y;
    case "xor":
      return x ^ y;
    case "where":
      return x ? y : args[2];
    case "cast":
      return castTo(instruction.dtype, x, from);
    default:
      throw new Error(`not in the oracle: ${instruction.op}`);
  }
}

export function evaluate(
  expression: Expression,
  inputs: readonly Operand[],
  leaves: Leaves,
  scalars: readonly number[],
  position: readonly number[],
): number[] {
  const values: number[] = [];
  for (const instruction of expression.instructions) {
    const { op, args, dtype, index = 0 } = instruction;
    let value: number;
    if (op === "load") value = leaves[inputs[index].slot][offsetOf(inputs[index], position)];
    else if (op === "constant") value = instruction.value!;
    else if (op === "scalar") value = scalars[index];
    else if (op === "iota") value = position[index];
    else {
      const from = expression.instructions[op === "where" ? args[1] : args[0]].dtype;
      value = apply(
        instruction,
        args.map((arg) => values[arg]),
        from,
      );
    }
    values.push(dtype === "float32" ? Math.fround(value) : value);
  }
  return expression.results.map((result) => values[result]);
}

export function mapOracle(call: MapCall, leaves: Leaves, scalars: readonly number[]): void {
  const results: [TypedArray, number, number][] = [];
  for (const position of positions(call.shape)) {
    const values = evaluate(call.expression, call.inputs, leaves, scalars, position);
    call.outputs.forEach((output, k) => {
      results.push([leaves[output.slot], offsetOf(output, position), values[k]]);
    });
  }
  for (const [array, offset, value] of results) array[offset] = value;
}

export function reduceOracle(call: ReduceCall, leaves: Leaves, scalars: readonly number[]): void {
  const groups = new Map<number, number[]>();
  for (const position of positions(call.shape)) {
    const target = offsetOf(
      call.output,
      position.map((p, d) => (call.axes.includes(d) ? 0 : p)),
    );
    const [value] = evaluate(call.expression, call.inputs, leaves, scalars, position);
    const group = groups.get(target);
    if (group) group.push(value);
    else groups.set(target, [value]);
  }
  const best = (values: number[], sign: number) => {
    let at = 0;
    values.forEach((value, i) => {
      if (Number.isNaN(values[at])) return;
      if (Number.isNaN(value) || sign * value > sign * values[at]) at = i;
    });
    return at;
  };
  for (const [target, values] of groups) {
    const folds = {
      sum: () => values.reduce((x, y) => x + y, 0),
      prod: () => values.reduce((x, y) => x * y, 1),
      max: () => values.reduce((x, y) => Math.max(x, y)),
      min: () => values.reduce((x, y) => Math.min(x, y)),
      argmax: () => best(values, 1),
      argmin: () => best(values, -1),
    };
    leaves[call.output.slot][target] = folds[call.op]();
  }
}

export function oracle(call: KernelCall, leaves: Leaves, scalars: readonly number[]): void {
  if (call.kernel === "map") mapOracle(call, leaves, scalars);
  else if (call.kernel === "reduce") reduceOracle(call, leaves, scalars);
  else if (call.kernel === "gather" || call.kernel === "scatterAdd") {
    for (const position of positions(call.shape)) {
      const step = leaves[call.index.slot][offsetOf(call.index, position)] * call.axisStride;
      const source = offsetOf(call.source, position) + (call.kernel === "gather" ? step : 0);
      const output = offsetOf(call.output, position) + (call.kernel === "gather" ? 0 : step);
      const value = leaves[call.source.slot][source];
      const target = leaves[call.output.slot];
      target[output] = call.kernel === "gather" ? value : target[output] + value;
    }
  }
}
