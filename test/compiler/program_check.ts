/**
 * Invariants of every Program: operands are inside their slots, temporaries are written before they are read, live temporaries share no
 * bytes, kernels overwrite their inputs only element by element, and expressions are within their limits.
 * Checks the calls only, independent of the compiler's lifetimes.
 */

import { type DType, itemSize } from "../../src/core/dtype.js";
import { sizeOf } from "../../src/core/shape.js";
import { sameView, type View } from "../../src/core/view.js";
import type { Device } from "../../src/device/device.js";
import { type Accepted, instructionOf } from "../../src/kernels/instructions.js";
import {
  type Expression,
  type Instruction,
  type KernelCall,
  maxExpressionInputs,
  maxExpressionInstructions,
  type Operand,
  type Program,
} from "../../src/kernels/kernel.js";

/** Larger slots are not followed element by element. */
const largestFollowed = 1 << 16;

/** From now on every Program that the device prepares is checked, and a bad one throws. */
export function checkPrograms(device: Device): { readonly count: number } {
  const checked = { count: 0 };
  const { prepare } = device;
  device.prepare = (program) => {
    checkProgram(program);
    checked.count++;
    return prepare.call(device, program);
  };
  return checked;
}

/** The operands of a call by the name of their field; what the kernel language says each kernel writes. */
function operandsOf(call: KernelCall): { reads: Operand[]; writes: Operand[] } {
  const written: Record<KernelCall["kernel"], string> = {
    map: "outputs",
    reduce: "output",
    matmul: "output",
    attention: "output",
    conv: "output",
    convGradInput: "input",
    convGradWeight: "weight",
    pool: "output",
    poolGrad: "gradInput",
    gather: "output",
    scatterAdd: "output",
    qmatmul: "output",
    qconv: "output",
    write: "output",
  };
  const reads: Operand[] = [];
  const writes: Operand[] = [];
  for (const [field, value] of Object.entries(call)) {
    const list = (Array.isArray(value) ? value : [value]).filter(isOperand);
    (field === written[call.kernel] ? writes : reads).push(...list);
  }
  return { reads, writes };
}

function isOperand(value: unknown): value is Operand {
  return typeof value === "object" && value !== null && "slot" in value && "view" in value;
}

/** @throws Error that names the call and what is wrong with it. */
export function checkProgram(program: Program): void {
  const { calls, slots, leafCount, arenaBytes } = program;
  const first = new Map<number, number>();
  const last = new Map<number, number>();
  const checked = new Set<string>();
  let isUpdated = false;
  const written = slots.map(({ size }) => new Uint8Array(size <= largestFollowed ? size : 0));

  calls.forEach((call, i) => {
    const fail = (message: string): never => {
      throw new Error(`call ${i} (${call.kernel}): ${message}\n${JSON.stringify(call)}`);
    };
    const { reads, writes } = operandsOf(call);
    if (writes.length === 0) fail("writes nothing");
    if ("expression" in call) {
      if (call.inputs.length > maxExpressionInputs) fail("reads too many operands");
      if (call.expression.instructions.length > maxExpressionInstructions) fail("is too long");
      call.expression.instructions.forEach((instruction, at) => {
        const wrong = wrongInstruction(instruction, call.expression);
        if (wrong) fail(`instruction ${at}, ${instruction.op}, ${wrong}`);
      });
    }
    for (const operand of [...reads, ...writes]) {
      const { slot, dtype, view } = operand;
      if (slots[slot]?.dtype !== dtype) fail(`slot ${slot} is read or written as ${dtype}`);
      if (view.shape.length !== view.strides.length) fail(`strides of slot ${slot}`);
      const [low, high] = bounds(view, extraReach(call, operand));
      if (sizeOf(view.shape) > 0 && (low < 0 || high >= slots[slot].size))
        fail(`slot ${slot} of ${slots[slot].size} elements is touched at ${low}..${high}`);
      if (!first.has(slot)) first.set(slot, i);
      last.set(slot, i);
    }
    if (call.kernel === "gather" || call.kernel === "scatterAdd") {
      const pair = JSON.stringify([call.index, call.axisSize, call.ignored]);
      if (isUpdated && !checked.has(pair)) fail("checks an index after an update");
      checked.add(pair);
    }
    isUpdated ||= writes.some(({ slot }) => slot < (program.inputCount ?? 0));
    for (const { slot, view } of reads) {
      const known = written[slot];
      if (slot < leafCount || known.length === 0) continue;
      const element = elements(view).find((at) => known[at] === 0);
      if (element !== undefined)
        fail(`element ${element} of temporary ${slot} is read and was never written`);
    }
    for (const [w, write] of writes.entries()) {
      // What scatterAdd adds to, and so has been written before.
      if (call.kernel === "scatterAdd") break;
      if (write.view.strides.some((stride, d) => stride === 0 && write.view.shape[d] > 1))
        fail(`slot ${write.slot} is written several times at one place`);
      for (const read of reads) {
        if (overlap(program, read.slot, write.slot) && !writesInStep(call, read, write))
          fail(`slot ${write.slot} is written while slot ${read.slot}, in the same memory, is read`);
      }
      for (const other of writes.slice(w + 1)) {
        if (overlap(program, other.slot, write.slot)) fail(`slots ${write.slot} and ${other.slot} collide`);
      }
      const known = written[write.slot];
      if (known.length > 0) for (const at of elements(write.view)) known[at] = 1;
    }
  });

  const temporaries = [...first.keys()].filter((slot) => slot >= leafCount);
  for (const slot of temporaries) {
    const { offset, size, dtype } = slots[slot];
    if (offset < 0 || offset % 64 !== 0 || offset + size * itemSize[dtype] > arenaBytes)
      throw new Error(`slot ${slot} lies at ${offset} in an arena of ${arenaBytes} bytes`);
  }
  temporaries.forEach((a, n) => {
    for (const b of temporaries.slice(n + 1)) {
      // A call that reads one for the last time may write the other over it: checked above.
      const together = first.get(a)! < last.get(b)! && first.get(b)! < last.get(a)!;
      const both = first.get(a) === first.get(b) || last.get(a) === last.get(b);
      if ((together || both) && overlap(program, a, b) && !handsOver(a, b) && !handsOver(b, a))
        throw new Error(`temporaries ${a} and ${b} are alive together and share bytes`);
    }
  });

  /** Whether b begins in the call in which a ends. */
  function handsOver(a: number, b: number): boolean {
    return last.get(a) === first.get(b) && first.get(a)! < first.get(b)!;
  }
}

const accepted: Readonly<Record<Accepted, readonly DType[]>> = {
  float32: ["float32"],
  numbers: ["float32", "int32"],
  bits: ["bool", "int32"],
  any: ["float32", "int32", "int8", "uint8", "bool"],
};

/** What an instruction has that its record does not allow. */
function wrongInstruction(
  { op, dtype, args }: Instruction,
  { instructions }: Expression,
): string | undefined {
  const { arity, accepts, resultDType } = instructionOf(op);
  if (args.length !== arity) return `has ${args.length} arguments`;
  const types = args.map((arg) => instructions[arg].dtype);
  if (op === "where" && types.shift() !== "bool") return "has a condition that is not bool";
  if (types.some((type) => type !== types[0] || !accepted[accepts].includes(type))) return `takes ${types}`;
  if (types.length > 0 && op !== "cast" && dtype !== (resultDType ?? types[0])) return `gives ${dtype}`;
  return undefined;
}

/** Whether two slots may be the same memory: leaves are separate buffers, temporaries lie in the arena. */
function overlap({ slots, leafCount }: Program, a: number, b: number): boolean {
  if (a === b) return slots[a].size > 0;
  if (a < leafCount || b < leafCount) return false;
  const end = (slot: number) => slots[slot].offset + slots[slot].size * itemSize[slots[slot].dtype];
  return slots[a].size > 0 && slots[b].size > 0 && slots[a].offset < end(b) && slots[b].offset < end(a);
}

/** A map may write each element where it has just read it; scatterAdd adds to what its output holds. */
function writesInStep(call: KernelCall, read: Operand, write: Operand): boolean {
  if (call.kernel !== "map") return false;
  return itemSize[read.dtype] === itemSize[write.dtype] && sameView(read.view, write.view);
}

/** How far gather, scatterAdd and write move from a position of the view of their indexed operand. */
function extraReach(call: KernelCall, operand: Operand): number {
  if (call.kernel === "write" && call.output === operand) return call.axisStride * (call.positionCount - 1);
  const indexed =
    call.kernel === "gather" ? call.source : call.kernel === "scatterAdd" ? call.output : undefined;
  if (indexed !== operand || (call.kernel !== "gather" && call.kernel !== "scatterAdd")) return 0;
  return call.axisStride * Math.max(0, call.axisSize - 1);
}

function bounds({ shape, strides, offset }: View, extra: number): [number, number] {
  let [low, high] = [offset + Math.min(0, extra), offset + Math.max(0, extra)];
  shape.forEach((extent, d) => {
    const reach = (extent - 1) * strides[d];
    if (reach < 0) low += reach;
    else high += reach;
  });
  return [low, high];
}

/** The positions of all elements of a view. */
function elements({ shape, strides, offset }: View): number[] {
  let positions = sizeOf(shape) === 0 ? [] : [offset];
  shape.forEach((extent, d) => {
    if (extent === 1 || (strides[d] === 0 && extent > 0)) return;
    positions = positions.flatMap((at) => Array.from({ length: extent }, (_, i) => at + i * strides[d]));
  });
  return positions;
}
