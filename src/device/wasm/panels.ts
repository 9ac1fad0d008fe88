/**
 * Packed copies of leaves: what a product makes of a weight before it multiplies, kept as long as the weight stays as it is. They are
 * dropped when the leaf is written or freed and when memory runs short, and never change a result.
 */
import type { PanelWords } from "./program.js";

/** Uses of a leaf before a copy is made: a weight that a training step changes after its one use never gets one. */
const usesBefore = 1;
/** Runs without a use after which a copy makes room, and uses after which a leaf without room asks again: a model's round is shorter. */
export const patience = 1000;

export interface Panels {
  /** 0: not kept. */
  address: number;
  uses: number;
  run: number;
  readonly bytes: number;
}

/** Where leaves keep their copies, by layout. */
export interface HasPanels {
  panels?: Map<string, Panels>;
}

export interface PanelMemory {
  /** Undefined if there is no room. */
  take(bytes: number): number | undefined;
  release(address: number): void;
}

export class PanelCache {
  /** Of all copies. */
  bytes = 0;
  readonly #budget: number;
  readonly #memory: PanelMemory;
  readonly #kept = new Set<Panels>();
  #run = 0;

  constructor(budget: number, memory: PanelMemory) {
    this.#budget = budget;
    this.#memory = memory;
  }

  /** Before a run: by word, the address of each copy that it reads (0: none), and 1 if the copy is there already. */
  prepare(
    list: readonly PanelWords[],
    leaves: readonly HasPanels[],
  ): [word: number, address: number, filled: number][] {
    this.#run++;
    return list.map(({ word, slot, key, bytes }) => {
      const leaf = leaves[slot];
      leaf.panels ??= new Map();
      let panels = leaf.panels.get(key);
      if (panels === undefined) {
        panels = { address: 0, uses: 0, run: 0, bytes };
        leaf.panels.set(key, panels);
      }
      panels.run = this.#run;
      const isFilled = panels.address !== 0;
      if (panels.uses++ >= usesBefore && !isFilled) this.#make(panels);
      return [word, panels.address, isFilled ? 1 : 0];
    });
  }

  #make(panels: Panels): void {
    const { bytes } = panels;
    if (this.bytes + bytes > this.#budget) {
      for (const old of this.#kept) if (old.run < this.#run - patience) this.#release(old);
    }
    const address = this.bytes + bytes > this.#budget ? undefined : this.#memory.take(bytes);
    if (address === undefined) {
      panels.uses = -patience;
      return;
    }
    panels.address = address;
    this.bytes += bytes;
    this.#kept.add(panels);
  }

  #release(panels: Panels): void {
    if (!this.#kept.delete(panels)) return;
    this.#memory.release(panels.address);
    this.bytes -= panels.bytes;
    panels.address = 0;
  }

  /** The leaf changed or is gone. */
  drop(leaf: HasPanels): void {
    if (leaf.panels === undefined) return;
    for (const panels of leaf.panels.values()) this.#release(panels);
    leaf.panels = undefined;
  }

  /** Memory is short, or a run failed that should have filled some. `uses`: what their leaves count from. */
  dropAll(uses: number): void {
    for (const panels of this.#kept) {
      this.#release(panels);
      panels.uses = uses;
    }
  }
}
