/** Evaluates fused expressions in float64, a block of elements at a time. */

import { type DType, isFloat, isHalf, type TypedArray } from "../../core/dtype.js";
import { roundToHalf } from "../../core/half.js";
import { philox } from "../../core/philox.js";
import type { Expression, Instruction } from "../../kernels/expression.js";
import type { FormName, InstructionName } from "../../kernels/instructions.js";
import type { Operand } from "../../kernels/operand.js";
import { functionOf } from "./functions.js";
import { reader } from "./halves.js";
import { indexOf, positions } from "./strided.js";

/** Elements per block. */
export const blockSize = 1024;

/** The array of a slot in this run. */
export type Memory = (slot: number) => TypedArray;

/** A block of elements on which an expression is evaluated. */
interface Block {
  readonly inputs: readonly Operand[];
  readonly shape: readonly number[];
  readonly start: number;
  readonly count: number;
  readonly memory: Memory;
  readonly scalars: readonly number[];
}

/** Fills `out` with the instruction's values; `from` is the dtype of the first argument. */
type Form = (
  out: Float64Array,
  instruction: Instruction,
  block: Block,
  args: readonly Float64Array[],
  from: DType,
) => void;

const forms: Readonly<Record<FormName, Form>> = {
  load: (out, { index }, { inputs, start, count, memory }) => {
    const { view } = inputs[index!];
    const element = reader(inputs[index!], memory);
    positions(view, start, count).forEach((position, i) => {
      out[i] = element(position);
    });
  },
  constant: (out, { value }) => {
    out.fill(value!);
  },
  scalar: (out, { dtype, index }, { scalars }) => {
    out.fill(dtype === "int32" ? scalars[index!] | 0 : scalars[index!]);
  },
  uniform: (out, { index }, { start, scalars }) => {
    const [low, high, offset] = scalars.slice(index!, index! + 3);
    for (let i = 0; i < out.length; i++) out[i] = uniformAt(start + i, low, high, offset);
  },
  iota: (out, { index }, { start, shape }) => {
    for (let i = 0; i < out.length; i++) out[i] = indexOf(start + i, shape)[index!];
  },
  cast: (out, { dtype }, _, [a], from) => {
    for (let i = 0; i < out.length; i++) out[i] = castValue(a[i], dtype, isFloat(from));
  },
  where: (out, _instruction, _block, [condition, a, b]) => {
    for (let i = 0; i < out.length; i++) out[i] = condition[i] !== 0 ? a[i] : b[i];
  },
};

function isForm(name: InstructionName): name is FormName {
  return Object.hasOwn(forms, name);
}

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
  const block: Block = { inputs, shape, start, count, memory, scalars };
  for (const instruction of instructions) {
    const { op, dtype } = instruction;
    const out = new Float64Array(count);
    const args = instruction.args.map((arg) => values[arg]);
    const from = instruction.args.length > 0 ? instructions[instruction.args[0]].dtype : dtype;
    if (isForm(op)) {
      forms[op](out, instruction, block, args, from);
    } else {
      const [a, b] = args;
      const apply = functionOf(op, from === "int32");
      for (let i = 0; i < count; i++) out[i] = apply(a[i], b?.[i]);
    }
    values.push(out);
  }
  return values;
}

const bounds = { int32: [-(2 ** 31), 2 ** 31 - 1], int8: [-128, 127], uint8: [0, 255] } as const;

/** From floats to integers truncates and saturates; between integers keeps the low bits. */
function castValue(value: number, dtype: DType, fromFloat: boolean): number {
  if (dtype === "float32") return value;
  if (isHalf(dtype)) return roundToHalf(dtype, value);
  if (dtype === "bool") return Number(value !== 0);
  if (fromFloat) {
    const [least, most] = bounds[dtype];
    return Number.isNaN(value) ? 0 : Math.trunc(Math.max(least, Math.min(most, value))) + 0;
  }
  if (dtype === "uint8") return value & 0xff;
  if (dtype === "int8") return (value << 24) >> 24;
  return value;
}

/** Element `index` of a random stream: uniform in [0, 1) with 24 bits. The word order is that of the kernel language. */
function uniformAt(index: number, seedLow: number, seedHigh: number, offset: number): number {
  const words = philox([Math.floor(index / 4), 0, offset, 0], [seedLow, seedHigh]);
  return (words[index % 4] >>> 8) * 2 ** -24;
}
