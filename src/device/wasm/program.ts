/**
 * Programs as wasm sees them: encoded once into 32-bit words, with lists of the words that hold addresses of leaves,
 * of the arena and of the working space, so that a run patches only what has moved.
 */
import { itemSize } from "../../tensor/dtype.js";
import type { KernelCall, Operand, Program } from "../kernel.js";
import { type CommandWriter, Opcode } from "./command.js";
import { encodeAttention } from "./encode/attention.js";
import { encodeConv } from "./encode/conv.js";
import { encodeIndexing } from "./encode/indexing.js";
import { encodeMap } from "./encode/map.js";
import { encodeMatmul } from "./encode/matmul.js";
import { encodePool, encodePoolGrad } from "./encode/pool.js";
import { encodeQconv } from "./encode/qconv.js";
import { encodeQmatmul } from "./encode/qmatmul.js";
import { encodeReduce } from "./encode/reduce.js";

/** Word indices and the byte offsets that are added to a base there: [word, offset, word, offset, …]. */
type Patches = number[];

export class ProgramEncoder implements CommandWriter {
  readonly words: number[] = [];
  readonly leafPatches: Patches[];
  readonly arenaPatches: Patches = [];
  readonly scratchPatches: Patches = [];
  /** [word, scalar index, …] */
  readonly scalarPatches: Patches = [];
  /** The word at which each call begins. */
  readonly starts: number[] = [];
  scratchBytes = 0;
  private command = 0;
  private readonly bits = new DataView(new ArrayBuffer(4));

  constructor(private readonly program: Program) {
    this.leafPatches = Array.from({ length: program.leafCount }, () => []);
    for (const call of program.calls) {
      this.starts.push(this.words.length);
      this.encode(call);
    }
    this.words.push(Opcode.end, 2);
  }

  private encode(call: KernelCall): void {
    switch (call.kernel) {
      case "map":
        encodeMap(call, this.sharesMemory, this);
        break;
      case "reduce":
        encodeReduce(call, this);
        break;
      case "matmul":
        encodeMatmul(call, this);
        break;
      case "attention":
        encodeAttention(call, this);
        break;
      case "gather":
      case "scatterAdd":
        encodeIndexing(call, this);
        break;
      case "conv":
      case "convGradInput":
      case "convGradWeight":
        encodeConv(call, this);
        break;
      case "qmatmul":
        encodeQmatmul(call, this);
        break;
      case "qconv":
        encodeQconv(call, this);
        break;
      case "pool":
        encodePool(call, this);
        break;
      case "poolGrad":
        encodePoolGrad(call, this);
        break;
    }
  }

  /** Different leaves are different buffers; temporaries may overlap in the arena. */
  private readonly sharesMemory = (a: number, b: number): boolean => {
    const { slots, leafCount } = this.program;
    if (a === b) return true;
    if (a < leafCount || b < leafCount) return false;
    const end = (slot: number) => slots[slot].offset + slots[slot].size * itemSize[slots[slot].dtype];
    return slots[a].offset < end(b) && slots[b].offset < end(a);
  };

  begin(opcode: number): void {
    this.command = this.words.length;
    this.words.push(opcode, 0);
  }

  i32(value: number): void {
    this.words.push(value | 0);
  }

  f32(value: number): void {
    this.bits.setFloat32(0, value);
    this.words.push(this.bits.getInt32(0));
  }

  address({ slot, dtype, view }: Operand): void {
    const bytes = view.offset * itemSize[dtype];
    const { leafCount, slots } = this.program;
    if (slot < leafCount) this.leafPatches[slot].push(this.words.length, bytes);
    else this.arenaPatches.push(this.words.length, slots[slot].offset + bytes);
    this.words.push(0);
  }

  scalarAddress(index: number): void {
    this.scalarPatches.push(this.words.length, index);
    this.words.push(0);
  }

  scratch(bytes: number, at = 0): void {
    this.scratchBytes = Math.max(this.scratchBytes, at + bytes);
    this.scratchPatches.push(this.words.length, at);
    this.words.push(0);
  }

  end(): void {
    this.words[this.command + 1] = this.words.length - this.command;
  }
}
