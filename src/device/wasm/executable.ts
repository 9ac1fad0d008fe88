/** An encoded Program in the device's memory: the command list, followed by the runtime scalars. */

import type { Operand } from "../../kernels/operand.js";
import { eachOperand } from "../../kernels/operands.js";
import type { Executable, Program } from "../device.js";
import type { PanelWords, ProgramEncoder } from "./program.js";

/** Memory shared by all executables; `generation` changes with the addresses. */
export interface SharedSpaces {
  arena: number;
  scratch: number;
  generation: number;
}

export class WasmExecutable implements Executable {
  released = false;
  readonly bytes: number;
  /** Sizes that it needs of the memory shared by all executables. */
  readonly arenaBytes: number;
  readonly scratchBytes: number;
  readonly isFloatScalar: readonly boolean[];
  /** Leaves that it writes. */
  readonly written: readonly number[];
  /** The panel words of leaves that it only reads. */
  readonly panelWords: readonly PanelWords[];
  /** Words with addresses, and the byte offset to add to the base address: [word, offset, …], by leaf, then those of the arena. */
  readonly #patches: Int32Array;
  /** Index of the first patch of each leaf, then of the arena. */
  readonly #starts: Int32Array;
  readonly #scratchPatches: Int32Array;
  /** Address of each leaf at the last run; 0 (never a leaf's address) before the first. */
  readonly #leafAddresses: number[];
  #generation = -1;

  /** Copies the encoded words to `address` in `memory`. */
  constructor(
    readonly program: Program,
    encoder: ProgramEncoder,
    readonly address: number,
    memory: Int32Array,
  ) {
    this.arenaBytes = program.arenaBytes;
    this.scratchBytes = encoder.scratchBytes;
    const { leafCount, scalars, slots } = program;
    const { addresses, scalarPatches } = encoder;
    this.isFloatScalar = scalars.map((dtype) => dtype === "float32");
    this.#scratchPatches = new Int32Array(encoder.scratchPatches);
    const written = new Set<number>();
    const note = ({ slot }: Operand, isWritten: boolean) => {
      if (isWritten && slot < leafCount) written.add(slot);
    };
    for (const call of program.calls) eachOperand(call, note);
    this.written = [...written];
    this.panelWords = encoder.panelWords.filter(({ slot }) => slot < leafCount && !written.has(slot));
    this.#leafAddresses = new Array<number>(leafCount).fill(0);
    // A counting sort by leaf.
    this.#starts = new Int32Array(leafCount + 2);
    for (let i = 0; i < addresses.length; i += 3)
      this.#starts[Math.min(addresses[i + 1], leafCount) + 1] += 2;
    for (let leaf = 0; leaf <= leafCount; leaf++) this.#starts[leaf + 1] += this.#starts[leaf];
    this.#patches = new Int32Array(this.#starts[leafCount + 1]);
    const next = this.#starts.slice();
    for (let i = 0; i < addresses.length; i += 3) {
      const slot = addresses[i + 1];
      const base = Math.min(slot, leafCount);
      this.#patches[next[base]++] = addresses[i];
      this.#patches[next[base]++] = addresses[i + 2] + (slot < leafCount ? 0 : slots[slot].offset);
    }
    this.bytes = this.#patches.byteLength + this.#scratchPatches.byteLength + encoder.length * 4;
    const base = address >>> 2;
    memory.set(encoder.words.subarray(0, encoder.length), base);
    this.scalarBase = base + encoder.length;
    for (let i = 0; i < scalarPatches.length; i += 2) {
      memory[base + scalarPatches[i]] = (this.scalarBase + scalarPatches[i + 1]) * 4;
    }
  }

  /** Index of the first runtime scalar among the memory's words. */
  readonly scalarBase: number;

  static bytesFor(program: Program, encoder: ProgramEncoder): number {
    return (encoder.length + program.scalars.length) * 4;
  }

  placeLeaf(leaf: number, address: number, memory: Int32Array): void {
    if (this.#leafAddresses[leaf] === address) return;
    this.#leafAddresses[leaf] = address;
    this.#patch(this.#patches, this.#starts[leaf], this.#starts[leaf + 1], address, memory);
  }

  placeShared(spaces: SharedSpaces, memory: Int32Array): void {
    if (this.#generation === spaces.generation) return;
    this.#generation = spaces.generation;
    const { leafCount } = this.program;
    this.#patch(this.#patches, this.#starts[leafCount], this.#starts[leafCount + 1], spaces.arena, memory);
    this.#patch(this.#scratchPatches, 0, this.#scratchPatches.length, spaces.scratch, memory);
  }

  #patch(patches: Int32Array, from: number, to: number, address: number, memory: Int32Array): void {
    const base = this.address >>> 2;
    for (let i = from; i < to; i += 2) memory[base + patches[i]] = address + patches[i + 1];
  }
}
