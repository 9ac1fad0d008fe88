import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeFileAtomic } from "../../src/formats/atomic.js";
import { FileError } from "../../src/formats/file.js";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wattgrad-atomic-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

test("writes a new file and replaces an old one, leaving nothing else behind", async () => {
  const path = join(directory, "a.bin");
  await writeFileAtomic(path, Uint8Array.of(1, 2, 3));
  expect([...readFileSync(path)]).toEqual([1, 2, 3]);
  await writeFileAtomic(path, Uint8Array.of(4));
  expect([...readFileSync(path)]).toEqual([4]);
  expect(readdirSync(directory)).toEqual(["a.bin"]);
});

test("two writers at once leave one of the two contents, whole", async () => {
  const path = join(directory, "race.bin");
  const contents = [new Uint8Array(100_000).fill(1), new Uint8Array(70_000).fill(2)];
  await Promise.all(contents.map((bytes) => writeFileAtomic(path, bytes)));
  const found = new Uint8Array(readFileSync(path));
  expect(contents.some((bytes) => Buffer.compare(bytes, found) === 0)).toBe(true);
  rmSync(path);
});

test("a failed rename removes the temporary file and keeps the target", async () => {
  const path = join(directory, "occupied");
  mkdirSync(path);
  writeFileSync(join(path, "inside"), "x");
  await expect(writeFileAtomic(path, Uint8Array.of(1))).rejects.toThrow(FileError);
  expect(readdirSync(directory).filter((name) => name.includes(".tmp"))).toEqual([]);
  expect(readdirSync(path)).toEqual(["inside"]);
});

test("a directory that is missing or no directory is one clear line", async () => {
  const file = join(directory, "a.bin");
  for (const [path, reason] of [
    [join(directory, "no", "x.bin"), /cannot write .*x\.bin.*does not exist, ENOENT$/],
    [join(file, "x.bin"), /cannot write .*x\.bin.*not a directory, ENOTDIR$/],
  ] as const) {
    const error = await writeFileAtomic(path, Uint8Array.of(1)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(FileError);
    expect((error as FileError).message).toMatch(reason);
    expect((error as FileError).message).not.toContain("\n");
  }
});
