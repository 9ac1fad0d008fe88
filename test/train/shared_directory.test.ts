/** Several trainings in one checkpoint directory, and refused resumes: nothing is lost or changed. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FormatError } from "../../src/core/errors.js";
import { DataLoader } from "../../src/data/index.js";
import { openReference } from "../../src/device/reference/reference.js";
import { FileError } from "../../src/formats/index.js";
import { crossEntropy, Linear, Sequential } from "../../src/nn/index.js";
import { Generator, manualSeed } from "../../src/ops/index.js";
import { AdamW, SGD } from "../../src/optim/index.js";
import { lockDirectory } from "../../src/train/directory_lock.js";
import { hostTensors } from "../../src/train/host_tensors.js";
import { accuracy, type FitOptions, fit as trainModel } from "../../src/train/index.js";
import { quadrants, smallNet } from "./problem.js";

const device = openReference();
let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "wattgrad-shared-"));
});
afterAll(() => rmSync(root, { recursive: true }));

function training(directory: string, options: Partial<FitOptions> = {}): FitOptions {
  manualSeed(1);
  const model = smallNet(device, 0.1);
  return {
    model,
    optimizer: new AdamW(model.parameters(), { lr: 0.02 }),
    train: new DataLoader(quadrants(16), { device, batchSize: 4, shuffle: { seed: 3 } }),
    loss: crossEntropy,
    metrics: { accuracy },
    epochs: 2,
    checkpoint: { directory, everySteps: 1, resume: true },
    ...options,
  };
}

describe("a directory in use", () => {
  test("refuses another process, which changes nothing there", async () => {
    const directory = join(root, "busy");
    await trainModel(training(directory));
    // A process that lives, and says so.
    const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    try {
      const { pid } = other;
      writeFileSync(
        join(directory, ".lock"),
        JSON.stringify({ pid, host: hostname(), started: startOf(pid!) }),
      );
      const before = contents(directory);
      const error = await trainModel(training(directory, { epochs: 3 })).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(FileError);
      expect((error as Error).message).toContain(`is in use by process ${pid} on ${hostname()}`);
      expect(contents(directory)).toEqual(before);
    } finally {
      other.kill("SIGKILL");
      await new Promise((resolve) => other.once("exit", resolve));
    }
    // It has ended without a word, as by kill -9: the directory is free at once.
    const report = await trainModel(training(directory, { epochs: 3 }));
    expect(report.steps).toBe(12);
    expect(readdirSync(directory)).toEqual(["step-000000011.safetensors", "step-000000012.safetensors"]);
  });

  test("a number that another process has by now locks nobody out", async () => {
    const directory = join(root, "reused");
    await (await lockDirectory(directory)).release();
    const owner = { pid: process.ppid, host: hostname(), started: "another boot 1" };
    writeFileSync(join(directory, ".lock"), JSON.stringify(owner));
    await (await lockDirectory(directory)).release();
    expect(readdirSync(directory)).toEqual([]);
  });

  test.each([
    ["another machine", JSON.stringify({ pid: 1, host: "elsewhere", started: null })],
    ["a file that was not finished", ""],
    ["a file of another program", '{"pid": "x"}'],
  ])("%s: free once its lock was not renewed for a minute", async (name, content) => {
    const directory = join(root, name);
    await (await lockDirectory(directory)).release();
    const path = join(directory, ".lock");
    writeFileSync(path, content);
    const old = new Date(Date.now() - 61_000);
    utimesSync(path, old, old);
    const lock = await lockDirectory(directory);
    // And not before.
    writeFileSync(path, content);
    const attempt = lockDirectory(directory).then(
      () => "free",
      (error) => error.message,
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    utimesSync(path, new Date(), new Date());
    expect(await attempt).toContain("is in use by");
    // A lock that is another's by now is not removed.
    await lock.release();
    expect(readdirSync(directory)).toEqual([".lock"]);
  });

  test("of many that find an abandoned lock one gets it", async () => {
    const directory = join(root, "race");
    await (await lockDirectory(directory)).release();
    writeFileSync(
      join(directory, ".lock"),
      JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), started: null }),
    );
    const attempts = Array.from({ length: 8 }, () => lockDirectory(directory));
    const lock = await Promise.any(attempts);
    expect(readdirSync(directory).filter((name) => name === ".lock")).toEqual([".lock"]);
    // The others belong to this process, too, and wait whether its lock is renewed.
    const others = Promise.allSettled(attempts);
    await new Promise((resolve) => setTimeout(resolve, 50));
    utimesSync(join(directory, ".lock"), new Date(), new Date(Date.now() + 1000));
    const outcomes = await others;
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    await lock.release();
    expect(readdirSync(directory)).toEqual([]);
  });
});

function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8").split(")").at(-1)!.trim().split(" ");
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${stat[19]}`;
  } catch {
    return null;
  }
}

function contents(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory).map((name) => [name, readFileSync(join(directory, name)).toString("base64")]),
  );
}

describe("a resume that is refused changes nothing", () => {
  const directory = () => join(root, "refused");
  beforeAll(async () => {
    // In the middle of an epoch.
    await trainModel(training(directory(), { stop: [({ step }) => (step === 7 ? "enough" : undefined)] }));
  });

  test.each<[string, (options: FitOptions) => Partial<FitOptions>]>([
    ["other metrics", () => ({ metrics: {} })],
    [
      "another optimizer",
      ({ model }) => ({ optimizer: new SGD(model.parameters(), { lr: 0.5, momentum: 0.9 }) }),
    ],
    ["fewer parameters", ({ model }) => ({ optimizer: new AdamW([model.parameters()[0]], { lr: 0.5 }) })],
    [
      "another model",
      () => ({ model: new Sequential(new Linear(2, 16, { device }), new Linear(16, 4, { device })) }),
    ],
    ["a loader that is too short", () => ({ train: new DataLoader(quadrants(4), { device, batchSize: 4 }) })],
    ["more generators", () => ({ generators: [new Generator(1), new Generator(2)] })],
    ["a schedule", () => ({ schedule: () => 1 })],
  ])("%s", async (_, overrides) => {
    const options = training(directory());
    const all: FitOptions = { ...options, ...overrides(options) };
    const everything = async () => ({
      weights: await hostTensors(all.model.stateDict()),
      moments: [...(await hostTensors(all.optimizer.stateDict().tensors))].filter(([, { data }]) =>
        data.some((value) => value !== 0),
      ),
      numbers: all.optimizer.stateDict().numbers,
      loader: (all.train as DataLoader).next(),
      generators: all.generators?.map((generator) => generator.state()),
      files: contents(directory()),
      training: all.model.training,
    });
    const before = await everything();
    await expect(trainModel(all)).rejects.toThrow(FormatError);
    expect(await everything()).toEqual(before);
  });
});
