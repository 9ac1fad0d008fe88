/** The training behind the page, without a page: its reports, and the state it keeps when settings change. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { loadModelFile } from "../../src/cli/model_file.js";
import type { Mnist } from "../../src/data/index.js";
import { openDevice } from "../../src/index.js";
import { Conversation, firstOf, testImages, train } from "./conversation.js";

let talk: Conversation;
afterEach(() => talk?.pause());

/** Ready, on wasm. */
async function begin(data?: { readonly train?: Mnist }): Promise<Conversation> {
  talk = new Conversation(data);
  await talk.trainer.idle();
  await talk.ask({ kind: "device", choice: "wasm" }, "device");
  await talk.trainer.idle();
  return talk;
}

async function weights(): Promise<Uint8Array> {
  return (await talk.ask({ kind: "save" }, "saved")).bytes;
}

describe("training", () => {
  test("begins with the devices, the model and untrained scores; learns; pauses", async () => {
    await begin();
    expect(talk.all("devices")[0].devices.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["wasm", "reference"]),
    );
    expect(talk.all("model")).toEqual([{ kind: "model", parameters: 207_018, trainImages: 10_000 }]);
    expect(talk.all("test")[0].scores).toMatchObject({ images: 0, count: 100 });
    expect(talk.all("samples")[0].samples).toHaveLength(24);
    const learned = talk.next("test", ({ scores }) => scores.accuracy > 0.8);
    talk.trainer.handle({ kind: "start" });
    await learned;
    await talk.pause();
    expect(talk.all("activity").at(-1)?.activity).toBe("paused");
    expect(talk.all("error")).toEqual([]);
    const progress = talk.all("progress").map((report) => report.progress);
    expect(progress.length).toBeGreaterThan(1);
    for (const { images, epochs, step, imagesPerSecond } of progress) {
      expect(step).toBe(images / 32);
      expect(epochs).toBe(images / 10_000);
      expect(imagesPerSecond).toBeGreaterThan(0);
    }
    const before = await weights();
    await talk.trainer.idle();
    expect(await weights(), "nothing goes on in a pause").toEqual(before);
  });

  test("mistakes are those of the test, the surest first", async () => {
    await begin();
    const { samples, mistakes, count } = await talk.ask({ kind: "samples", choice: "mistakes" }, "samples");
    expect(samples).toHaveLength(Math.min(24, mistakes));
    expect(mistakes).toBe(Math.round((1 - talk.all("test")[0].scores.accuracy) * count));
    for (const { predicted, label } of samples) expect(predicted).not.toBe(label);
    const probabilities = samples.map(({ probability }) => probability);
    expect(probabilities).toEqual([...probabilities].sort((a, b) => b - a));
  });

  test("a drawing is classified while the training goes on", async () => {
    await begin();
    await talk.ask({ kind: "start" }, "progress");
    const pixels = (testImages.images.data as Uint8Array).slice(0, 784);
    const { probabilities } = await talk.ask({ kind: "drawing", pixels }, "drawing");
    expect(probabilities).toHaveLength(10);
    expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    await talk.next("progress");
    expect(talk.all("error")).toEqual([]);
  });

  test("another batch size goes on at the same place in the epoch", async () => {
    await begin();
    const first = await talk.ask({ kind: "start" }, "progress");
    await talk.pause();
    talk.trainer.handle({ kind: "batchSize", value: 128 });
    const next = await talk.ask({ kind: "start" }, "progress");
    expect(next.progress.images).toBeGreaterThan(first.progress.images);
    const images = next.progress.images - first.progress.images;
    const steps = next.progress.step - first.progress.step;
    expect(images).toBeGreaterThan(32 * steps);
  });

  test("reset makes another new model", async () => {
    await begin();
    const untrained = await weights();
    await talk.ask({ kind: "start" }, "progress");
    await talk.pause();
    await talk.ask({ kind: "reset" }, "reset");
    await talk.trainer.idle();
    expect(talk.all("test").at(-1)?.scores.images).toBe(0);
    expect(await weights()).not.toEqual(untrained);
    const { progress } = await talk.ask({ kind: "start" }, "progress");
    expect(progress.epochs).toBeLessThan(0.5);
  });
});

describe("devices", () => {
  test("a move to the reference and back changes no weight, and training goes on", async () => {
    await begin();
    const { progress } = await talk.ask({ kind: "start" }, "progress");
    await talk.pause();
    const before = await weights();
    const moved = await talk.ask({ kind: "device", choice: "reference" }, "device");
    expect(moved).toMatchObject({ choice: "reference", name: "reference" });
    expect(moved.images).toBeGreaterThanOrEqual(progress.images);
    expect(await weights()).toEqual(before);
    await talk.ask({ kind: "device", choice: "wasm" }, "device");
    expect(await weights()).toEqual(before);
    const after = await talk.ask({ kind: "start" }, "progress");
    expect(after.progress.images).toBeGreaterThan(moved.images);
    expect(talk.all("error")).toEqual([]);
  });

  test("switches while it runs", async () => {
    await begin({ train: firstOf(train, 640) });
    await talk.ask({ kind: "start" }, "progress");
    await talk.ask({ kind: "device", choice: "reference" }, "device");
    const { progress } = await talk.next("progress");
    expect(progress.imagesPerSecond).toBeGreaterThan(0);
    await talk.ask({ kind: "device", choice: "auto" }, "device");
    await talk.next("progress");
    expect(talk.all("error")).toEqual([]);
  });

  test("one that is not there is said in a sentence, and the old one goes on", async () => {
    await begin();
    const { message } = await talk.ask({ kind: "device", choice: "webgl" }, "error");
    expect(message).toMatch(/webgl/i);
    expect(message).not.toContain("\n");
    await talk.ask({ kind: "start" }, "progress");
  });
});

describe("what can go wrong", () => {
  test("a loss that explodes stops the training; the weights of the last test are back", async () => {
    await begin();
    const before = await weights();
    talk.trainer.handle({ kind: "learningRate", value: 1e30 });
    const { message } = await talk.ask({ kind: "start" }, "error");
    expect(message).toMatch(/the loss is/);
    await talk.trainer.idle();
    expect(talk.all("activity").at(-1)?.activity).toBe("paused");
    expect(await weights()).toEqual(before);
    talk.trainer.handle({ kind: "learningRate", value: 0.001 });
    const { progress } = await talk.ask({ kind: "start" }, "progress");
    expect(progress.loss).toBeLessThan(10);
  });

  test("the downloaded file is one that wattgrad eval takes", async () => {
    await begin();
    const directory = await mkdtemp(join(tmpdir(), "wattgrad-playground-"));
    try {
      const path = join(directory, "model.safetensors");
      await writeFile(path, await weights());
      const device = await openDevice("reference");
      const { name, model } = await loadModelFile(path, device);
      expect(name).toBe("cnn");
      expect(model.parameterCount()).toBe(207_018);
      device.close();
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
