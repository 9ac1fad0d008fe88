/**
 * Cache of packed weights: the panels that products and convolutions pack a leaf into are reused until the leaf changes. They are dropped
 * when the leaf is written or freed and when memory is short, and never change a result.
 */
import type { PanelWords } from "./program.js";

/** Uses of a leaf before its panels are cached: a weight that each training step uses once and changes is never cached. */
const usesBefore = 1;
/**
 * Runs without a use after which panels may be evicted, and uses after which a leaf for which there was no memory is tried again. Larger
 * than the number of runs of one pass through a model.
 */
export const patience = 1000;

export interface Panels {
  /** 0: not cached. */
  address: number;
  uses: number;
  run: number;
  readonly bytes: number;
}

/** The panels of a leaf, by layout. */
export interface HasPanels {
  panels?: Map<string, Panels>;
}

export interface PanelMemory {
  /** Undefined if there is no room. */
  take(bytes: number): number | undefined;
  release(address: number): void;
}

export class PanelCache {
  /** Bytes of all cached panels. */
  bytes = 0;
  readonly #budget: number;
  readonly #memory: PanelMemory;
  readonly #cached = new Set<Panels>();
  #run = 0;

  constructor(budget: number, memory: PanelMemory) {
    this.#budget = budget;
    this.#memory = memory;
  }

  /** Before a run: for each use of panels the word to patch, the address (0: none), and 1 if they are filled already. */
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
      for (const old of this.#cached) if (old.run < this.#run - patience) this.#release(old);
    }
    const address = this.bytes + bytes > this.#budget ? undefined : this.#memory.take(bytes);
    if (address === undefined) {
      panels.uses = -patience;
      return;
    }
    panels.address = address;
    this.bytes += bytes;
    this.#cached.add(panels);
  }

  #release(panels: Panels): void {
    if (!this.#cached.delete(panels)) return;
    this.#memory.release(panels.address);
    this.bytes -= panels.bytes;
    panels.address = 0;
  }

  /** Drops the panels of a leaf that has changed or was freed. */
  drop(leaf: HasPanels): void {
    if (leaf.panels === undefined) return;
    for (const panels of leaf.panels.values()) this.#release(panels);
    leaf.panels = undefined;
  }

  /** Drops all panels, if memory is short or a failed run may not have filled some. Their leaves count uses from `uses` again. */
  dropAll(uses: number): void {
    for (const panels of this.#cached) {
      this.#release(panels);
      panels.uses = uses;
    }
  }
}
