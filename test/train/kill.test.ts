/** `kill -9` at any moment, then the same command again: the same bits as an uninterrupted training. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeImages } from "../cli/images.js";
import { run, start } from "../cli/wattgrad.js";

const script = fileURLToPath(new URL("killed_training.mjs", import.meta.url));
let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-kill-"));
});

afterAll(() => rm(directory, { recursive: true }));

interface Place {
  readonly stage?: "batch" | "open" | "write" | "sync" | "rename" | "directory";
  /** The number of the checkpoint (or batch) at which it happens, from 1. */
  readonly write?: number;
}

/** Runs the script; tells the signal that ended it, if one did. */
function training(name: string, place: Place = {}): Promise<NodeJS.Signals | undefined> {
  const options = JSON.stringify({ directory: join(directory, name), out: result(name), ...place });
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [script, options], (error) => {
      if (error === null) resolve(undefined);
      else if (error.signal) resolve(error.signal);
      else reject(error);
    });
  });
}

const result = (name: string) => join(directory, `${name}.safetensors`);

const isTemporary = (file: string) => file.endsWith(".tmp");

describe("a training that kills itself at a chosen place", () => {
  let expected: Buffer;

  beforeAll(async () => {
    await training("undisturbed");
    expected = await readFile(result("undisturbed"));
  });

  test.each<Required<Place>>([
    { stage: "batch", write: 2 },
    { stage: "batch", write: 9 },
    { stage: "open", write: 1 },
    { stage: "write", write: 1 },
    { stage: "write", write: 4 },
    { stage: "sync", write: 3 },
    { stage: "rename", write: 1 },
    { stage: "rename", write: 6 },
    { stage: "directory", write: 2 },
  ])("at $stage, number $write", async (place) => {
    const name = `${place.stage}-${place.write}`;
    expect(await training(name, place)).toBe("SIGKILL");
    const left = await readdir(join(directory, name)).catch(() => []);
    // The place was really reached: a file without its final name is there exactly until the rename.
    const midWrite = ["open", "write", "sync", "rename"].includes(place.stage);
    expect(left.filter(isTemporary).length).toBe(midWrite ? 1 : 0);
    expect(await training(name)).toBeUndefined();
    expect(await readFile(result(name))).toEqual(expected);
    expect((await readdir(join(directory, name))).filter(isTemporary)).toEqual([]);
  });

  test("again and again", async () => {
    for (const stage of ["write", "batch", "rename", "open", "sync"] as const) {
      expect(await training("repeatedly", { stage, write: 2 })).toBe("SIGKILL");
    }
    expect(await training("repeatedly")).toBeUndefined();
    expect(await readFile(result("repeatedly"))).toEqual(expected);
  });
});

test("wattgrad train, killed from outside at arbitrary moments", async () => {
  const data = join(directory, "data");
  await writeImages(data, { count: 64 });
  const args = [
    "train",
    "--model",
    "mlp",
    "--data",
    data,
    "--epochs",
    "5",
    "--batch-size",
    "16",
    "--lr",
    "0.001",
  ];
  const undisturbed = await run([...args, "--out", "expected.safetensors"], directory);
  expect(undisturbed.code).toBe(0);

  const resumed = [
    ...args,
    "--out",
    "killed.safetensors",
    "--checkpoint",
    "run",
    "--checkpoint-steps",
    "1",
    "--resume",
  ];
  let kills = 0;
  // Milliseconds after the first step may begin; with a checkpoint after each step most kills hit a write.
  for (const delay of [0, 3, 6, 9, 12, 15, 20, 25, 30, 40]) {
    const { child, ended } = start(resumed, directory);
    child.stderr?.once("data", () => setTimeout(() => child.kill("SIGKILL"), delay));
    const { signal } = await ended;
    if (signal === "SIGKILL") kills++;
    else break;
  }
  expect(kills).toBeGreaterThan(0);
  expect((await run(resumed, directory)).code).toBe(0);
  expect(await readFile(join(directory, "killed.safetensors"))).toEqual(
    await readFile(join(directory, "expected.safetensors")),
  );
});
