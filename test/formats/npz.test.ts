/** Files of numpy.savez, made by numpy (numpy/make.py): values, compression, refusals, damage. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../src/core/errors.js";
import { openNpz } from "../../src/formats/index.js";

const path = (name: string) => fileURLToPath(new URL(`numpy/${name}`, import.meta.url));
const expected: Record<string, { shape: number[]; data: number[] }> = JSON.parse(
  readFileSync(path("expected.json"), "utf8"),
);

describe.each(["plain.npz", "packed.npz"])("%s", (name) => {
  test("has the values of numpy", async () => {
    const file = await openNpz(path(name));
    expect([...file.tensors.keys()]).toEqual(Object.keys(expected));
    for (const [key, { shape, data }] of Object.entries(expected)) {
      const got = await file.tensor(key);
      expect(got.shape, key).toEqual(shape);
      expect([...got.data], key).toEqual(data);
      const pieces: number[] = [];
      for await (const piece of file.tensors.get(key)!.pieces()) pieces.push(...piece);
      expect(pieces, key).toEqual(data);
    }
    expect(file.tensors.get("half")!.stored).toBe("F16");
    await file.close();
  });

  test("cut anywhere it is one typed error", async () => {
    const bytes = readFileSync(path(name));
    for (let length = 0; length < bytes.length - 1; length += 61) {
      await expect(openNpz(bytes.subarray(0, length)), `${length}`).rejects.toThrow(FormatError);
    }
  });
});

test("big-endian arrays are refused by name", async () => {
  await expect(openNpz(path("big.npz"))).rejects.toThrow(/openNpz: .*"x" is of dtype ">f4"/);
});

test("a byte changed anywhere is a typed error or another value", async () => {
  const bytes = new Uint8Array(readFileSync(path("packed.npz")));
  for (let at = 0; at < bytes.length; at += 23) {
    const damaged = bytes.slice();
    damaged[at] ^= 0x55;
    try {
      const file = await openNpz(damaged);
      for (const name of file.tensors.keys()) await file.tensor(name);
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
    }
  }
});
