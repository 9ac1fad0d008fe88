/**
 * Pass 5, plan: byte offsets in one arena for the temporaries, so that those whose lives do not overlap share
 * memory, and elementwise kernels write over an input that dies with them.
 */

import { itemSize } from "../core/dtype.js";
import { sameView } from "../core/view.js";
import type { KernelCall, MapCall } from "../kernels/kernel.js";
import { operandsOf } from "../kernels/operands.js";
import type { LoweredSlot } from "./node_memory.js";

/** Alignment of every slot: a cache line. */
const alignment = 64;

export interface ArenaPlan {
  /** Per slot; -1 for leaves. */
  readonly offsets: readonly number[];
  readonly arenaBytes: number;
}

/** First and last call in which a slot is touched. */
interface Lifetime {
  first: number;
  last: number;
}

function lifetimesOf(touched: readonly (readonly number[])[], slotCount: number): Lifetime[] {
  const result: Lifetime[] = Array.from({ length: slotCount }, () => ({ first: -1, last: -1 }));
  touched.forEach((slots, i) => {
    for (const slot of slots) {
      const life = result[slot];
      if (life.first < 0) life.first = i;
      life.last = i;
    }
  });
  return result;
}

/** What the call writes and reads, each once. */
function touchedSlots(call: KernelCall): number[] {
  const { reads, writes } = operandsOf(call);
  const slots: number[] = [];
  for (const { slot } of writes) if (!slots.includes(slot)) slots.push(slot);
  for (const { slot } of reads) if (!slots.includes(slot)) slots.push(slot);
  return slots;
}

export function plan(
  calls: readonly KernelCall[],
  slots: readonly LoweredSlot[],
  leafCount: number,
): ArenaPlan {
  const touchedBy = calls.map(touchedSlots);
  const lives = lifetimesOf(touchedBy, slots.length);
  const bytes = slots.map(({ dtype, size }) => Math.ceil((size * itemSize[dtype]) / alignment) * alignment);
  const offsets = new Array<number>(slots.length).fill(-1);
  const arena = new Arena();

  calls.forEach((call, i) => {
    const touched = touchedBy[i];
    const takenOver: number[] = [];
    for (const slot of touched) {
      if (slot < leafCount || lives[slot].first !== i) continue;
      const reused = call.kernel === "map" ? inPlaceInput(call, slot, i, takenOver) : undefined;
      if (reused === undefined) {
        offsets[slot] = arena.allocate(bytes[slot]);
      } else {
        offsets[slot] = offsets[reused];
        takenOver.push(reused);
      }
    }
    for (const slot of touched) {
      if (slot >= leafCount && lives[slot].last === i && !takenOver.includes(slot))
        arena.free(offsets[slot], bytes[slot]);
    }
  });
  return { offsets, arenaBytes: arena.size };

  /** A temporary that `call` reads for the last time, at the very positions where it writes `slot`. */
  function inPlaceInput(
    call: MapCall,
    slot: number,
    i: number,
    taken: readonly number[],
  ): number | undefined {
    const written = call.outputs.filter((operand) => operand.slot === slot);
    if (written.length !== 1) return undefined;
    const [output] = written;
    return call.inputs.find(
      (input) =>
        input.slot >= leafCount &&
        lives[input.slot].last === i &&
        lives[input.slot].first < i &&
        !taken.includes(input.slot) &&
        bytes[input.slot] === bytes[slot] &&
        itemSize[input.dtype] === itemSize[output.dtype] &&
        call.inputs.every((other) => other.slot !== input.slot || sameView(other.view, output.view)),
    )?.slot;
  }
}

/** Best-fit offsets with coalescing of free ranges. */
class Arena {
  size = 0;
  #free: { offset: number; bytes: number }[] = [];

  allocate(bytes: number): number {
    if (bytes === 0) return 0;
    let best = -1;
    for (let i = 0; i < this.#free.length; i++) {
      const range = this.#free[i];
      if (range.bytes >= bytes && (best < 0 || range.bytes < this.#free[best].bytes)) best = i;
    }
    if (best >= 0) {
      const range = this.#free[best];
      const { offset } = range;
      range.offset += bytes;
      range.bytes -= bytes;
      if (range.bytes === 0) this.#free.splice(best, 1);
      return offset;
    }
    const last = this.#free.at(-1);
    if (last && last.offset + last.bytes === this.size) {
      this.#free.pop();
      this.size = last.offset + bytes;
      return last.offset;
    }
    const offset = this.size;
    this.size += bytes;
    return offset;
  }

  free(offset: number, bytes: number): void {
    if (bytes === 0) return;
    let i = this.#free.findIndex((range) => range.offset > offset);
    if (i < 0) i = this.#free.length;
    this.#free.splice(i, 0, { offset, bytes });
    for (const at of [i, i - 1]) {
      const range = this.#free[at];
      const next = this.#free[at + 1];
      if (range && next && range.offset + range.bytes === next.offset) {
        range.bytes += next.bytes;
        this.#free.splice(at + 1, 1);
      }
    }
  }
}
