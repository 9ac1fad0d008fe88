/**
 * The allocator of the device's linear memory. Blocks are multiples of 64 bytes. Freed blocks go to a bin of their exact size, so that
 * repeated requests need no search. If the bin of a request is empty, all free blocks are merged with their neighbours and the best fit
 * is used; if there is none, the memory grows.
 */
import { OutOfMemoryError } from "../../core/errors.js";

export const alignment = 64;
const pageBytes = 65536;
/** Minimum growth as a share of the memory, because growing is slow (views are rebuilt, some engines copy). */
const growthShare = 0.25;
const largestGrowth = 64 * 1024 * 1024;

interface FreeBlock {
  address: number;
  bytes: number;
}

export class Allocator {
  readonly #memory: WebAssembly.Memory;
  readonly #maximumBytes: number;
  readonly #sizes = new Map<number, number>();
  readonly #bins = new Map<number, number[]>();
  /** Merged free blocks, by address. */
  #free: FreeBlock[] = [];
  #end: number;
  #used = 0;
  #peak = 0;

  /** Manages `memory` from byte `start` on. */
  constructor(memory: WebAssembly.Memory, start: number, maximumBytes: number) {
    this.#memory = memory;
    this.#maximumBytes = maximumBytes;
    this.#end = roundUp(start);
    this.#extendTo(memory.buffer.byteLength);
  }

  get usedBytes(): number {
    return this.#used;
  }

  get peakBytes(): number {
    return this.#peak;
  }

  /** @throws OutOfMemoryError; the state is then unchanged. */
  allocate(bytes: number): number {
    const size = roundUp(Math.max(bytes, 1));
    const address = this.#bins.get(size)?.pop() ?? this.#fit(size) ?? this.#grow(size);
    this.#sizes.set(address, size);
    this.#used += size;
    this.#peak = Math.max(this.#peak, this.#used);
    return address;
  }

  release(address: number): void {
    const size = this.#sizes.get(address);
    if (size === undefined) return;
    this.#sizes.delete(address);
    this.#used -= size;
    const bin = this.#bins.get(size);
    if (bin) bin.push(address);
    else this.#bins.set(size, [address]);
  }

  /** Best fit: the smallest merged free block that is large enough, split. */
  #fit(size: number): number | undefined {
    const found = this.#search(size);
    if (found !== undefined) return found;
    this.#merge();
    return this.#search(size);
  }

  #search(size: number): number | undefined {
    let best = -1;
    for (let i = 0; i < this.#free.length; i++) {
      const { bytes } = this.#free[i];
      if (bytes >= size && (best < 0 || bytes < this.#free[best].bytes)) best = i;
    }
    if (best < 0) return undefined;
    const block = this.#free[best];
    const { address } = block;
    if (block.bytes === size) this.#free.splice(best, 1);
    else {
      block.address += size;
      block.bytes -= size;
    }
    return address;
  }

  /** Moves the bins' blocks to the list of free blocks and merges neighbours. */
  #merge(): void {
    for (const [bytes, addresses] of this.#bins) {
      for (const address of addresses) this.#free.push({ address, bytes });
    }
    this.#bins.clear();
    this.#free.sort((a, b) => a.address - b.address);
    const merged: FreeBlock[] = [];
    for (const block of this.#free) {
      const last = merged[merged.length - 1];
      if (last && last.address + last.bytes === block.address) last.bytes += block.bytes;
      else merged.push(block);
    }
    this.#free = merged;
  }

  #grow(size: number): number {
    const last = this.#free[this.#free.length - 1];
    const tail = last && last.address + last.bytes === this.#end ? last.bytes : 0;
    const total = this.#memory.buffer.byteLength;
    // 64 bytes at the end stay free: kernels may read up to a vector beyond an operand.
    const needed = Math.ceil((this.#end + size - tail + alignment - total) / pageBytes);
    const wanted = Math.ceil(Math.min(total * growthShare, largestGrowth) / pageBytes);
    const left = Math.floor((this.#maximumBytes - total) / pageBytes);
    for (const pages of [Math.min(Math.max(needed, wanted), left), needed]) {
      if (pages < needed || pages > left) continue;
      try {
        this.#memory.grow(pages);
      } catch {
        continue;
      }
      this.#extendTo(this.#memory.buffer.byteLength);
      return this.#search(size)!;
    }
    throw new OutOfMemoryError(
      `cannot allocate ${size} bytes; ${this.#used} of at most ${this.#maximumBytes} are in use`,
      { device: "wasm", hint: "free tensors that are no longer needed, or use smaller batches" },
    );
  }

  #extendTo(byteLength: number): void {
    const end = Math.floor(byteLength / alignment) * alignment - alignment;
    if (end <= this.#end) return;
    const last = this.#free[this.#free.length - 1];
    if (last && last.address + last.bytes === this.#end) last.bytes += end - this.#end;
    else this.#free.push({ address: this.#end, bytes: end - this.#end });
    this.#end = end;
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}
