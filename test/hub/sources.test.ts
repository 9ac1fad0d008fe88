/** Local sources of files: a folder, and files in memory. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ArgumentError, FormatError } from "../../src/core/errors.js";
import { FileError } from "../../src/formats/file.js";
import { openSafetensors, saveSafetensors, writeSafetensors } from "../../src/formats/index.js";
import { type FileSource, files, folder, openFileOf } from "../../src/hub/index.js";

const bytes = (...values: number[]) => Uint8Array.from(values);
const contents = {
  "config.json": bytes(123, 125),
  "1_Pooling/config.json": bytes(1, 2, 3, 4, 5),
  empty: bytes(),
};
let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-hub-"));
  const model = join(directory, "model");
  await mkdir(join(model, "1_Pooling"), { recursive: true });
  for (const [path, data] of Object.entries(contents)) await writeFile(join(model, path), data);
  await writeFile(join(directory, "secret"), "outside");
});

afterAll(() => rm(directory, { recursive: true }));

const chosen = (path: string, data: Uint8Array<ArrayBuffer>) =>
  Object.defineProperty(new File([data], path.split("/").at(-1)!), "webkitRelativePath", {
    value: `model/${path}`,
  });

describe.each<[string, () => FileSource]>([
  ["folder", () => folder(join(directory, "model"))],
  ["files, a Map", () => files(new Map(Object.entries(contents)))],
  ["files, chosen", () => files(Object.entries(contents).map(([path, data]) => chosen(path, data)))],
])("%s", (_, make) => {
  test("files are found and read by name and range", async () => {
    const source = make();
    expect(await source.list!()).toEqual(["1_Pooling/config.json", "config.json", "empty"]);
    expect(await source.has("config.json")).toBe(true);
    expect(await source.has("1_Pooling")).toBe(false);
    expect(await source.has("tokenizer.json")).toBe(false);
    expect(await source.size("1_Pooling/config.json")).toBe(5);
    expect([...(await source.read("1_Pooling/config.json"))]).toEqual([1, 2, 3, 4, 5]);
    expect([...(await source.read("1_Pooling/config.json", { start: 1, end: 4 }))]).toEqual([2, 3, 4]);
    expect(await source.read("empty")).toHaveLength(0);
  });

  test("missing files and ranges are named", async () => {
    const source = make();
    await expect(source.size("a.json")).rejects.toThrow(FileError);
    await expect(source.read("a.json")).rejects.toThrow(/has no file a\.json/);
    for (const range of [
      { start: 0, end: 3 },
      { start: -1, end: 1 },
      { start: 2, end: 1 },
      { start: 0.5, end: 1 },
    ]) {
      await expect(source.read("config.json", range)).rejects.toThrow(/has 2 bytes, none from/);
    }
  });

  test("an aborted read ends with the reason", async () => {
    const reason = new Error("enough");
    const read = make().read("config.json", undefined, AbortSignal.abort(reason));
    await expect(read).rejects.toBe(reason);
  });
});

test("no path leads out of a folder", async () => {
  const source = folder(join(directory, "model"));
  for (const path of [
    "../secret",
    "/etc/hosts",
    "1_Pooling/../../secret",
    "a\\b",
    "C:x",
    "a//b",
    "",
    "a\0b",
    ".",
  ]) {
    await expect(source.read(path), path).rejects.toThrow(FormatError);
    await expect(source.has(path), path).rejects.toThrow(FormatError);
  }
});

test("a folder that is missing or a file is an error, not a folder without files", async () => {
  await expect(folder(join(directory, "nowhere")).has("config.json")).rejects.toThrow(
    /cannot read folder .*nowhere/,
  );
  await expect(folder(join(directory, "secret")).has("config.json")).rejects.toThrow(/is not a folder/);
});

test("links that lead upwards end", async () => {
  const looped = join(directory, "looped");
  await mkdir(looped);
  await writeFile(join(looped, "a"), "a");
  await symlink("..", join(looped, "up"));
  const names = await folder(looped).list!();
  expect(names[0]).toBe("a");
  expect(names.length).toBeLessThan(100);
});

test("two files of one path are refused", () => {
  expect(() => files([new File([], "a"), new File([], "a")])).toThrow(ArgumentError);
  expect(() => files(new Map([["../a", bytes(1)]]))).toThrow(FormatError);
});

test("readers open a file of a source, shards through an index included", async () => {
  const tensor = (value: number) =>
    ({ dtype: "float32", shape: [2], data: Float32Array.of(value, value + 1) }) as const;
  const shards = new Map<string, Uint8Array>([
    ["w/a.safetensors", writeSafetensors([["a", tensor(1)]])],
    ["w/b.safetensors", writeSafetensors([["b", tensor(5)]])],
  ]);
  const map = { weight_map: { a: "a.safetensors", b: "b.safetensors" } };
  shards.set("w/model.safetensors.index.json", new TextEncoder().encode(JSON.stringify(map)));
  const file = await openSafetensors(await openFileOf(files(shards), "w/model.safetensors.index.json"));
  expect([...file.tensors.keys()]).toEqual(["a", "b"]);
  expect((await file.tensor("b")).data).toEqual(Float32Array.of(5, 6));

  await saveSafetensors(join(directory, "one.safetensors"), [["a", tensor(3)]]);
  const one = await openSafetensors(await openFileOf(folder(directory), "one.safetensors"));
  expect((await one.tensor("a")).data).toEqual(Float32Array.of(3, 4));
  await expect(openFileOf(folder(directory), "two.safetensors")).rejects.toThrow(FileError);
});
