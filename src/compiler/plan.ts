/**
 * Pass 5, plan: assigns the temporaries byte offsets in one arena. Temporaries with disjoint lifetimes share memory, and elementwise
 * kernels overwrite an input whose last use they are.
 */

import { itemSize } from "../core/dtype.js";
import { sameView } from "../core/view.js";
import type { KernelCall, MapCall, Operand } from "../kernels/kernel.js";
import { eachOperand } from "../kernels/operands.js";
import type { LoweredSlot } from "./node_memory.js";

/** Alignment of every slot: a cache line. */
const alignment = 64;

export interface ArenaPlan {
  /** Per slot; -1 for leaves. */
  readonly offsets: readonly number[];
  readonly arenaBytes: number;
}

/** The slots of each call, without duplicates: call i has `slots[starts[i]]` to `slots[starts[i + 1] - 1]`. */
interface Touched {
  readonly slots: readonly number[];
  readonly starts: readonly number[];
}

function touchedSlots(calls: readonly KernelCall[], slotCount: number): Touched {
  const slots: number[] = [];
  const starts = [0];
  const seen = new Int32Array(slotCount).fill(-1);
  let i = 0;
  const visit = ({ slot }: Operand) => {
    if (seen[slot] === i) return;
    seen[slot] = i;
    slots.push(slot);
  };
  for (; i < calls.length; i++) {
    eachOperand(calls[i], visit);
    starts.push(slots.length);
  }
  return { slots, starts };
}

export function plan(
  calls: readonly KernelCall[],
  slots: readonly LoweredSlot[],
  leafCount: number,
): ArenaPlan {
  const touched = touchedSlots(calls, slots.length);
  /** Per slot, the first and the last call that uses it. */
  const first = new Int32Array(slots.length).fill(-1);
  const last = new Int32Array(slots.length).fill(-1);
  for (let i = 0; i < calls.length; i++) {
    for (let at = touched.starts[i]; at < touched.starts[i + 1]; at++) {
      const slot = touched.slots[at];
      if (first[slot] < 0) first[slot] = i;
      last[slot] = i;
    }
  }
  const bytes = slots.map(({ dtype, size }) => Math.ceil((size * itemSize[dtype]) / alignment) * alignment);
  const offsets = new Array<number>(slots.length).fill(-1);
  const arena = new Arena();

  /** Inputs of the current call whose memory an output takes over. */
  const takenOver: number[] = [];
  for (let i = 0; i < calls.length; i++) {
    const call = calls[i];
    const [from, to] = [touched.starts[i], touched.starts[i + 1]];
    takenOver.length = 0;
    for (let at = from; at < to; at++) {
      const slot = touched.slots[at];
      if (slot < leafCount || first[slot] !== i) continue;
      const reused = call.kernel === "map" ? inPlaceInput(call, slot, i) : undefined;
      if (reused === undefined) {
        offsets[slot] = arena.allocate(bytes[slot]);
      } else {
        offsets[slot] = offsets[reused];
        takenOver.push(reused);
      }
    }
    for (let at = from; at < to; at++) {
      const slot = touched.slots[at];
      if (slot >= leafCount && last[slot] === i && !takenOver.includes(slot))
        arena.free(offsets[slot], bytes[slot]);
    }
  }
  return { offsets, arenaBytes: arena.size };

  /** A temporary whose last use is `call`, read at the same positions at which `slot` is written. */
  function inPlaceInput(call: MapCall, slot: number, i: number): number | undefined {
    const written = call.outputs.filter((operand) => operand.slot === slot);
    if (written.length !== 1) return undefined;
    const [output] = written;
    return call.inputs.find(
      (input) =>
        input.slot >= leafCount &&
        last[input.slot] === i &&
        first[input.slot] < i &&
        !takenOver.includes(input.slot) &&
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
