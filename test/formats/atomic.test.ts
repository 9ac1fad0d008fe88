import fs, { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { writeFileAtomic } from "../../src/formats/atomic.js";
import { FileError, makeDirectory } from "../../src/formats/file.js";

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

describe("with a file system that is watched", () => {
  type Failure = "write" | "sync" | "rename" | undefined;
  const calls: string[] = [];

  afterEach(() => {
    vi.restoreAllMocks();
    calls.length = 0;
  });

  /** Notes what is called, and lets one kind of call fail as on a full disk. */
  function watch(failure: Failure) {
    const { open, rename } = fs.promises;
    const enter = (call: string, target: string) => {
      calls.push(`${call} ${target}`);
      if (call === failure) throw Object.assign(new Error("disk full"), { code: "ENOSPC" });
    };
    vi.spyOn(fs.promises, "open").mockImplementation(async (path, flags) => {
      const target = flags === "wx" ? "temporary file" : "directory";
      enter("open", target);
      const file = await open(path, flags);
      const { writeFile, sync } = file;
      file.writeFile = async (data) => {
        enter("write", target);
        await writeFile.call(file, data);
      };
      file.sync = async () => {
        enter("sync", target);
        await sync.call(file);
      };
      return file;
    });
    vi.spyOn(fs.promises, "rename").mockImplementation(async (from, to) => {
      enter("rename", "temporary file");
      await rename(from, to);
    });
  }

  test("the bytes are on the disk before the name changes, and the name before it returns", async () => {
    watch(undefined);
    await writeFileAtomic(join(directory, "watched"), Uint8Array.of(1));
    expect(calls).toEqual([
      "open temporary file",
      "write temporary file",
      "sync temporary file",
      "rename temporary file",
      "open directory",
      "sync directory",
    ]);
  });

  test.each<[Failure]>([["write"], ["sync"], ["rename"]])(
    "a failing %s leaves the old file alone",
    async (failure) => {
      const path = join(directory, `old-${failure}`);
      writeFileSync(path, "old");
      const before = readdirSync(directory);
      watch(failure);
      const error = await writeFileAtomic(path, Uint8Array.of(1)).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(FileError);
      expect(String(error)).toMatch(/the disk is full, ENOSPC$/);
      expect(readFileSync(path, "utf8")).toBe("old");
      expect(readdirSync(directory)).toEqual(before);
    },
  );
});

describe("makeDirectory", () => {
  test("makes what is missing, and is content with what is there", async () => {
    const path = join(directory, "a", "b", "c");
    await makeDirectory(path);
    await makeDirectory(path);
    expect(readdirSync(path)).toEqual([]);
    await Promise.all([1, 2, 3].map(() => makeDirectory(join(directory, "d", "e"))));
    expect(readdirSync(join(directory, "d"))).toEqual(["e"]);
  });

  test("a file in the way is one clear line", async () => {
    const file = join(directory, "file");
    writeFileSync(file, "");
    await expect(makeDirectory(file)).rejects.toThrow(/file is not a directory$/);
    await expect(makeDirectory(join(file, "x", "y"))).rejects.toThrow(/not a directory, ENOTDIR$/);
  });
});
