/** An encoded Program in the device's memory: the command list, behind it the runtime scalars. */
import type { Executable, Program } from "../device.js";
import type { ProgramEncoder } from "./program.js";

/** Shared by all executables; `generation` changes whenever one of the addresses does. */
export interface SharedSpaces {
  arena: number;
  scratch: number;
  generation: number;
}

export class WasmExecutable implements Executable {
  released = false;
  readonly bytes: number;
  /** Of the spaces shared with others. */
  readonly arenaBytes: number;
  readonly scratchBytes: number;
  readonly isFloatScalar: readonly boolean[];
  private readonly leafPatches: readonly Int32Array[];
  private readonly arenaPatches: Int32Array;
  private readonly scratchPatches: Int32Array;
  /** Where each leaf was at the last run; 0 is never an address of a leaf. */
  private readonly leafAddresses: number[];
  private generation = -1;

  /** Copies the encoded words to `address` in `memory`. */
  constructor(
    readonly program: Program,
    encoder: ProgramEncoder,
    readonly address: number,
    memory: Int32Array,
  ) {
    this.arenaBytes = program.arenaBytes;
    this.scratchBytes = encoder.scratchBytes;
    this.isFloatScalar = program.scalars.map((dtype) => dtype === "float32");
    this.leafPatches = encoder.leafPatches.map((patches) => Int32Array.from(patches));
    this.arenaPatches = Int32Array.from(encoder.arenaPatches);
    this.scratchPatches = Int32Array.from(encoder.scratchPatches);
    this.leafAddresses = new Array<number>(program.leafCount).fill(0);
    const patches = [...this.leafPatches, this.arenaPatches, this.scratchPatches];
    this.bytes = patches.reduce((sum, { byteLength }) => sum + byteLength, encoder.words.length * 4);
    const base = address >>> 2;
    memory.set(encoder.words, base);
    this.scalarBase = base + encoder.words.length;
    for (let i = 0; i < encoder.scalarPatches.length; i += 2) {
      memory[base + encoder.scalarPatches[i]] = (this.scalarBase + encoder.scalarPatches[i + 1]) * 4;
    }
  }

  /** Index of the first runtime scalar among the memory's words. */
  readonly scalarBase: number;

  static bytesFor(program: Program, encoder: ProgramEncoder): number {
    return (encoder.words.length + program.scalars.length) * 4;
  }

  placeLeaf(leaf: number, address: number, memory: Int32Array): void {
    if (this.leafAddresses[leaf] === address) return;
    this.leafAddresses[leaf] = address;
    this.patch(this.leafPatches[leaf], address, memory);
  }

  placeShared(spaces: SharedSpaces, memory: Int32Array): void {
    if (this.generation === spaces.generation) return;
    this.generation = spaces.generation;
    this.patch(this.arenaPatches, spaces.arena, memory);
    this.patch(this.scratchPatches, spaces.scratch, memory);
  }

  private patch(patches: Int32Array, address: number, memory: Int32Array): void {
    const base = this.address >>> 2;
    for (let i = 0; i < patches.length; i += 2) memory[base + patches[i]] = address + patches[i + 1];
  }
}
