/**
 * The block interpreter of fused elementwise expressions. An encoded expression (written by
 * src/device/wasm/encode/expression.ts) is evaluated for blocks of a few hundred elements at a time, so that all
 * intermediate values stay in the L1 cache; each instruction is one called loop over the block.
 *
 * A table of pointers locates the values: block registers, 16-byte cells (values that are equal for all elements), and inputs and outputs
 * that a block can read or write directly. The encoder's file describes the layout.
 */
import {
  blockLanes, cellCount, Cell, drawUniform, Access, Header, InstructionAt, loadInput, Mode, OperandAt, registerCount,
} from "./generated/agreement";
import { load1 } from "./half";
import { loops } from "./generated/loops";
import { uniform } from "./philox";
import { locate, offsetAt, copyStrided } from "./strided";

/** Bytes of a block register, padded so that neighbouring registers do not map to the same L1 sets. */
const registerBytes: usize = 2112;
const entryCount: usize = 512;

const registers: usize = (__heap_base + 63) & ~63;
const cells: usize = registers + <usize>registerCount * registerBytes;
const table: usize = cells + <usize>cellCount * 16;
const random: usize = table + entryCount * 4;
/** First byte that the host may use. */
export const heapStart: usize = random + <usize>(blockLanes * 4 + 128);

/** Indices of the current block's first element. */
export const position: usize = memory.data(256, 16);

/** The address that element 0 would have if the block of values (`Mode.block`) contained all elements. */
let blockOrigin: usize = 0;

export function setBlockOrigin(address: usize): void {
  blockOrigin = address;
}

let instructionsAt: usize = 0;
let inputsAt: usize = 0;
let operandBytes: usize = 0;

// @ts-ignore: decorator
@inline
export function pointer(entry: usize): usize {
  return <usize>load<u32>(table + entry);
}

// @ts-ignore: decorator
@inline
export function setPointer(entry: usize, address: usize): void {
  store<u32>(table + entry, <u32>address);
}

/** Fills the constant part of the table; called once. */
export function initialize(): void {
  for (let i: usize = 0; i < <usize>registerCount; i++) setPointer(i << 2, registers + i * registerBytes);
  for (let i: usize = 0; i < <usize>cellCount; i++) setPointer((<usize>registerCount + i) << 2, cells + (i << 4));
}

/** Runs the instructions from `from` to `to` on `lanes` lanes; `start` is the first element of the block. */
function interpret(expression: usize, from: usize, to: usize, start: i32, lanes: i32): void {
  for (; from < to; from += InstructionAt.bytes) {
    const loop = load<i32>(from, InstructionAt.loop);
    const destination = pointer(load<u32>(from, InstructionAt.destination));
    if (loop < loadInput) {
      loops[loop](
        destination,
        pointer(load<u32>(from, InstructionAt.a)),
        pointer(load<u32>(from, InstructionAt.b)),
        pointer(load<u32>(from, InstructionAt.c)),
        lanes,
      );
    } else if (loop == loadInput) {
      const operand = inputsAt + <usize>load<u32>(from, InstructionAt.a) * operandBytes;
      copyStrided(
        load<i32>(operand, OperandAt.access),
        load<u32>(operand, OperandAt.address),
        operand + OperandAt.strides,
        expression + Header.extents,
        load<i32>(expression, Header.rank),
        position,
        lanes,
        destination,
      );
    } else {
      memory.copy(destination, uniform(random, start, lanes, load<u32>(from, InstructionAt.a)), <usize>lanes << 2);
    }
  }
}

/** Prepares an expression: fills cells and table entries that are equal for all blocks. Returns the address after it. */
export function open(expression: usize): usize {
  const rank = load<u32>(expression, Header.rank);
  let at = expression + Header.extents + (<usize>rank << 2);
  for (let i = load<i32>(expression, Header.cells); i > 0; i--) {
    const kind = load<i32>(at, Cell.access);
    let value = load<i32>(at, Cell.source);
    if (kind == Access.load32) value = load<i32>(<u32>value);
    else if (kind == Access.loadU8) value = load<u8>(<u32>value);
    else if (kind == Access.loadI8) value = load<i8>(<u32>value);
    else if (kind >= Access.loadHalf) value = reinterpret<i32>(load1(kind - Access.loadHalf, <u32>value));
    v128.store(pointer(load<u32>(at, Cell.entry)), i32x4.splat(value));
    at += Cell.bytes;
  }
  const once = at + <usize>load<u32>(expression, Header.once) * InstructionAt.bytes;
  instructionsAt = once + <usize>load<u32>(expression, Header.fills) * InstructionAt.bytes;
  inputsAt = instructionsAt + <usize>load<u32>(expression, Header.instructions) * InstructionAt.bytes;
  operandBytes = OperandAt.strides + (<usize>rank << 2);
  interpret(expression, at, once, 0, 4);
  if (once < instructionsAt) {
    // Includes inputs whose values repeat in every block.
    locate(position, expression + Header.extents, rank, 0);
    const lanes = min(load<i32>(expression, Header.block), load<i32>(expression, Header.size));
    interpret(expression, once, instructionsAt, 0, lanes);
  }
  return inputsAt + <usize>load<u32>(expression, Header.inputs) * operandBytes;
}

/** The address of the block's first element in an operand that can be used in place. */
// @ts-ignore: decorator
@inline
function direct(operand: usize, mode: i32, start: i32, rank: i32): usize {
  if (mode == Mode.block) return blockOrigin + (<isize>start << 2);
  const element = mode == Mode.linear ? start : offsetAt(position, operand + OperandAt.strides, rank);
  return <usize>load<u32>(operand, OperandAt.address) + (<isize>element << 2);
}

/** Sets the current element to `start`: its indices, and the table entries of inputs that are read directly. */
export function seek(expression: usize, start: i32): void {
  const rank = load<i32>(expression, Header.rank);
  if (load<i32>(expression, Header.located)) locate(position, expression + Header.extents, rank, start);
  let input = inputsAt;
  for (let i = load<i32>(expression, Header.inputs); i > 0; i--) {
    const mode = load<i32>(input, OperandAt.mode);
    if (mode != Mode.strided) setPointer(load<u32>(input, OperandAt.entry), direct(input, mode, start, rank));
    input += operandBytes;
  }
}

/** Evaluates `count` elements from `start` on, after `seek`; the encoder has chosen the table entries of the values. */
export function evaluate(expression: usize, start: i32, count: i32): void {
  interpret(expression, instructionsAt, inputsAt, start, count);
}
