/** The allocator of the wasm device: blocks never overlap, and end before the reserved 64 bytes. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { OutOfMemoryError } from "../../src/core/errors.js";
import { Allocator, alignment } from "../../src/device/wasm/memory.js";
import { examples } from "../compiler/properties.js";

const pageBytes = 65536;
const start = 1000;

/** A number of bytes to allocate, or a block (modulo those that are held) to release. */
const request = fc.oneof(
  fc.record({ bytes: fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 200_000 })) }),
  fc.record({ release: fc.nat() }),
);

test("blocks are aligned, lie behind the start, and leave a line free at the memory's end", () => {
  fc.assert(
    fc.property(
      fc.array(request, { maxLength: 60, size: "max" }),
      fc.integer({ min: 2, max: 20 }),
      (requests, maximumPages) => {
        const memory = new WebAssembly.Memory({ initial: 1, maximum: 100 });
        const allocator = new Allocator(memory, start, maximumPages * pageBytes);
        const held: { address: number; bytes: number }[] = [];
        for (const each of requests) {
          if ("release" in each) {
            if (held.length === 0) continue;
            const [{ address }] = held.splice(each.release % held.length, 1);
            allocator.release(address);
            continue;
          }
          const { bytes } = each;
          let address: number;
          try {
            address = allocator.allocate(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(OutOfMemoryError);
            continue;
          }
          expect(address % alignment).toBe(0);
          expect(address).toBeGreaterThanOrEqual(start);
          // Kernels may read up to a vector behind an operand.
          expect(address + bytes).toBeLessThanOrEqual(memory.buffer.byteLength - alignment);
          expect(memory.buffer.byteLength).toBeLessThanOrEqual(maximumPages * pageBytes);
          for (const other of held) {
            const apart = other.address + other.bytes <= address || address + bytes <= other.address;
            expect(apart).toBe(true);
          }
          held.push({ address, bytes: Math.max(bytes, 1) });
        }
      },
    ),
    examples(150),
  );
});

test("a block as large as all memory that may be had fits, and one byte more does not", () => {
  const pages = 8;
  const fresh = () =>
    new Allocator(new WebAssembly.Memory({ initial: 1, maximum: 100 }), alignment, pages * pageBytes);
  const largest = pages * pageBytes - 2 * alignment;
  expect(fresh().allocate(largest)).toBe(alignment);
  expect(() => fresh().allocate(largest + 1)).toThrow(OutOfMemoryError);
});
