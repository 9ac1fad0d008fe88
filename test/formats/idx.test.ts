import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { FormatError } from "../../src/core/errors.js";
import { readIdx } from "../../src/formats/idx.js";

function idx(shape: number[], data: ArrayLike<number>, type = 8): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  bytes.set([0, 0, type, shape.length]);
  const view = new DataView(bytes.buffer);
  shape.forEach((extent, i) => {
    view.setUint32(4 + 4 * i, extent);
  });
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}

const plain = idx([2, 3], [1, 2, 3, 4, 5, 6]);
const packed = new Uint8Array(gzipSync(plain));

test("plain and compressed files are read alike", async () => {
  const expected = { dtype: "uint8", shape: [2, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
  expect(await readIdx(plain)).toEqual(expected);
  expect(await readIdx(packed)).toEqual(expected);
});

test("the shipped MNIST files have their documented shapes", async () => {
  const read = (name: string) => readIdx(readFileSync(new URL(`../data/mnist/${name}.gz`, import.meta.url)));
  expect((await read("train10k-images-idx3-ubyte")).shape).toEqual([10000, 28, 28]);
  expect((await read("test2k-labels-idx1-ubyte")).shape).toEqual([2000]);
});

const refused: Record<string, [Uint8Array, RegExp]> = {
  "an empty file": [new Uint8Array(0), /too few/],
  "another magic": [Uint8Array.of(1, 0, 8, 1, 0, 0, 0, 0), /not an IDX file/],
  "another type": [idx([1], [0, 0, 0, 0], 0x0d), /type 0xd/],
  "rank 0": [idx([], [1]), /rank 0/],
  "rank 200": [Uint8Array.of(0, 0, 8, 200), /rank 200/],
  "a value missing": [idx([3], [1, 2]), /needs 3 bytes of values, the file has 2/],
  "a value too many": [idx([1], [1, 2]), /needs 1/],
  "extents that overflow": [idx([2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1], []), /more than the \d+ elements/],
  "no values for a big claim, packed": [new Uint8Array(gzipSync(idx([2 ** 29], []))), /cannot hold/],
  "values missing, packed": [new Uint8Array(gzipSync(idx([9], [1]))), /needs 9/],
  "values too many, packed": [new Uint8Array(gzipSync(idx([1], [1, 2]))), /more than \[1\]/],
  "a header cut short, packed": [new Uint8Array(gzipSync(plain.subarray(0, 6))), /too few/],
};
for (const [title, [bytes, message]] of Object.entries(refused)) {
  test(`${title} is refused`, async () => {
    await expect(readIdx(bytes)).rejects.toThrow(FormatError);
    await expect(readIdx(bytes)).rejects.toThrow(message);
  });
}

test("maximum bounds what is accepted", async () => {
  await expect(readIdx(plain, { maximum: 5 })).rejects.toThrow(/more than the 5 elements/);
  expect((await readIdx(plain, { maximum: 6 })).data.length).toBe(6);
});

test("a gzip bomb is given up as soon as it exceeds its header", async () => {
  const bomb = new Uint8Array(gzipSync(Buffer.concat([idx([4], [1, 2, 3, 4]), Buffer.alloc(256 * 2 ** 20)])));
  const before = process.memoryUsage.rss();
  await expect(readIdx(bomb)).rejects.toThrow(/unpacks to more than \[4\]/);
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 2 ** 20);
});

test("a file cut at any byte, or with any byte changed, is read or refused with FormatError", async () => {
  for (const source of [plain, packed]) {
    for (let length = 0; length < source.length; length++) {
      await expect(readIdx(source.subarray(0, length))).rejects.toThrow(FormatError);
    }
  }
  const changed = fc.tuple(fc.constantFrom(plain, packed), fc.nat(), fc.integer({ min: 1, max: 255 }));
  await fc.assert(
    fc.asyncProperty(changed, async ([source, at, mask]) => {
      const bytes = source.slice();
      bytes[at % bytes.length] ^= mask;
      await readIdx(bytes, { maximum: 1000 }).catch((error) => expect(error).toBeInstanceOf(FormatError));
    }),
    { numRuns: 400 },
  );
});
