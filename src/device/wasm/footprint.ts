/** Computes the memory that the wasm device allocates for a Program, without allocating it. */
import type { Program } from "../device.js";
import { WasmExecutable } from "./executable.js";
import { type PanelWords, ProgramEncoder } from "./program.js";

/** Memory of a Program besides its leaves. */
export interface Footprint {
  /** Bytes of temporaries and scratch memory, which all executables of a device share. */
  readonly workspaceBytes: number;
  /** Bytes of the executable. */
  readonly commandBytes: number;
  /** Packed copies of leaves, by slot; two with one key are one. */
  readonly panels: readonly Pick<PanelWords, "slot" | "key" | "bytes">[];
}

export function wasmFootprint(program: Program): Footprint {
  const encoder = new ProgramEncoder(program);
  return {
    workspaceBytes: program.arenaBytes + encoder.scratchBytes,
    commandBytes: WasmExecutable.bytesFor(program, encoder),
    panels: encoder.panelWords.filter(({ slot }) => slot < program.leafCount),
  };
}
