/**
 * Encodes Programs: 32-bit words, with lists of the words that contain addresses of leaves, of the arena and of scratch memory, so that a
 * run patches only addresses that have changed.
 */
import { itemSize } from "../../core/dtype.js";
import { withoutEmpty } from "../../kernels/empty.js";
import type { MapCall } from "../../kernels/expression.js";
import type { Operand } from "../../kernels/operand.js";
import { eachOperand } from "../../kernels/operands.js";
import type { Program } from "../../kernels/program.js";
import { entryOf, type KernelCall, type KernelTable } from "../../kernels/table.js";
import { type CommandWriter, Opcode } from "./command.js";
import { encodeAttention } from "./encode/attention.js";
import { encodeConv } from "./encode/conv.js";
import type { SharesMemory } from "./encode/expression.js";
import { encodeIndexing } from "./encode/indexing.js";
import { encodeMap } from "./encode/map.js";
import { encodeMatmul } from "./encode/matmul.js";
import { encodePool, encodePoolGrad } from "./encode/pool.js";
import { encodeQconv } from "./encode/qconv.js";
import { encodeQmatmul } from "./encode/qmatmul.js";
import { encodeReduce } from "./encode/reduce.js";
import { encodeWrite } from "./encode/write.js";

/** How each kernel's calls are encoded. */
const encoders: KernelTable<[writer: CommandWriter, sharesMemory: SharesMemory], void> = {
  map: encodeMap,
  reduce: encodeReduce,
  matmul: encodeMatmul,
  attention: encodeAttention,
  conv: encodeConv,
  convGradInput: encodeConv,
  convGradWeight: encodeConv,
  pool: encodePool,
  poolGrad: encodePoolGrad,
  qmatmul: encodeQmatmul,
  qconv: encodeQconv,
  gather: encodeIndexing,
  scatterAdd: encodeIndexing,
  write: encodeWrite,
};

/** The encoded form of one call, as ranges of the encoder's lists. */
interface Encoded {
  /** The slots of the call's operands, in order. */
  readonly slots: readonly number[];
  readonly sharing: number;
  readonly from: Marks;
  readonly to: Marks;
}

/** The two words of a command for cached panels of a slot. */
export interface PanelWords {
  readonly word: number;
  readonly slot: number;
  readonly key: string;
  readonly bytes: number;
}

interface Marks {
  readonly panels: number;
  readonly words: number;
  readonly addresses: number;
  readonly scratch: number;
  readonly scalars: number;
}

/** Maximum number of (output, input) pairs, which are bits of a number. */
const mostPairs = 50;

export class ProgramEncoder implements CommandWriter {
  /** Only the first `length` are valid. */
  words = new Int32Array(1024);
  length = 0;
  /** [word, slot, byte offset from the slot's address, …] */
  readonly addresses: number[] = [];
  /** [word, byte offset from the address of scratch memory, …] */
  readonly scratchPatches: number[] = [];
  /** [word, scalar index, …] */
  readonly scalarPatches: number[] = [];
  readonly panelWords: PanelWords[] = [];
  /** The word at which each call begins. */
  readonly starts: number[] = [];
  scratchBytes = 0;
  #command = 0;

  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
    /** Encoded calls, by the first of the calls that are alike. */
    const known = new Map<number, readonly Encoded[]>();
    program.calls.forEach((call, i) => {
      this.starts.push(this.length);
      const first = program.alike?.[i] ?? i;
      const list = known.get(first) ?? [];
      const sharing = call.kernel === "map" ? this.#sharingOf(call) : 0;
      const same = list.find((other) => other.sharing === sharing);
      if (same !== undefined) {
        this.#repeat(same, slotsOf(call));
        return;
      }
      const from = this.#marks();
      this.#encode(call);
      if (sharing >= 0)
        known.set(first, [...list, { slots: slotsOf(call), sharing, from, to: this.#marks() }]);
    });
    this.i32(Opcode.end);
    this.i32(2);
  }

  #marks(): Marks {
    const { length, addresses, scratchPatches, scalarPatches } = this;
    return {
      words: length,
      addresses: addresses.length,
      scratch: scratchPatches.length,
      scalars: scalarPatches.length,
      panels: this.panelWords.length,
    };
  }

  /** Bits for all pairs: whether the output shares memory with the input. NaN if there are too many pairs. */
  #sharingOf({ inputs, outputs }: MapCall): number {
    if (inputs.length * outputs.length > mostPairs) return Number.NaN;
    let bits = 0;
    for (const output of outputs) {
      for (const input of inputs) bits = 2 * bits + (this.#sharesMemory(output.slot, input.slot) ? 1 : 0);
    }
    return bits;
  }

  /** Copies the words of an earlier call that differs only in its slots. */
  #repeat({ slots: before, from, to }: Encoded, now: readonly number[]): void {
    const moved = this.length - from.words;
    this.#reserve(to.words - from.words);
    this.words.copyWithin(this.length, from.words, to.words);
    this.length += to.words - from.words;
    const { addresses, scratchPatches, scalarPatches } = this;
    for (let i = from.addresses; i < to.addresses; i += 3) {
      const slot = now[before.indexOf(addresses[i + 1])];
      addresses.push(addresses[i] + moved, slot, addresses[i + 2]);
    }
    for (let i = from.panels; i < to.panels; i++) {
      const { word, slot, key, bytes } = this.panelWords[i];
      this.panelWords.push({ word: word + moved, slot: now[before.indexOf(slot)], key, bytes });
    }
    for (let i = from.scratch; i < to.scratch; i += 2) {
      scratchPatches.push(scratchPatches[i] + moved, scratchPatches[i + 1]);
    }
    for (let i = from.scalars; i < to.scalars; i += 2) {
      scalarPatches.push(scalarPatches[i] + moved, scalarPatches[i + 1]);
    }
  }

  #reserve(count: number): void {
    if (this.length + count <= this.words.length) return;
    const words = new Int32Array(2 * (this.length + count));
    words.set(this.words);
    this.words = words;
  }

  #encode(given: KernelCall): void {
    const call = withoutEmpty(given);
    if (call !== undefined) entryOf(encoders, call)(call, this, this.#sharesMemory);
  }

  /** Different leaves are different buffers; temporaries may overlap in the arena. */
  readonly #sharesMemory = (a: number, b: number): boolean => {
    const { slots, leafCount } = this.#program;
    if (a === b) return true;
    if (a < leafCount || b < leafCount) return false;
    const end = (slot: number) => slots[slot].offset + slots[slot].size * itemSize[slots[slot].dtype];
    return slots[a].offset < end(b) && slots[b].offset < end(a);
  };

  begin(opcode: number): void {
    this.#command = this.length;
    this.i32(opcode);
    this.i32(0);
  }

  i32(...values: number[]): void {
    this.#reserve(values.length);
    for (const value of values) this.words[this.length++] = value;
  }

  f32(value: number): void {
    float[0] = value;
    this.i32(floatBits[0]);
  }

  address({ slot, dtype, view }: Operand): void {
    this.addresses.push(this.length, slot, view.offset * itemSize[dtype]);
    this.i32(0);
  }

  scalarAddress(index: number): void {
    this.scalarPatches.push(this.length, index);
    this.i32(0);
  }

  scratch(bytes: number, at = 0): void {
    this.scratchBytes = Math.max(this.scratchBytes, at + bytes);
    this.scratchPatches.push(this.length, at);
    this.i32(0);
  }

  panels(operand: Operand | undefined, layout: readonly number[], bytes: number): void {
    if (operand !== undefined) {
      const key = [operand.view.offset, ...layout].join();
      this.panelWords.push({ word: this.length, slot: operand.slot, key, bytes });
    }
    this.i32(0);
    this.i32(0);
  }

  end(): void {
    this.words[this.#command + 1] = this.length - this.#command;
  }
}

const float = new Float32Array(1);
const floatBits = new Int32Array(float.buffer);

function slotsOf(call: KernelCall): number[] {
  const slots: number[] = [];
  eachOperand(call, ({ slot }) => slots.push(slot));
  return slots;
}
