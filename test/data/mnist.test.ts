import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FormatError } from "../../src/core/errors.js";
import { ImageDataset } from "../../src/data/images.js";
import { loadMnist, mnistNormalization } from "../../src/data/mnist.js";
import { FileError } from "../../src/formats/file.js";

const shipped = fileURLToPath(new URL("./mnist/", import.meta.url));
const unpack = (name: string) => new Uint8Array(gunzipSync(readFileSync(join(shipped, `${name}.gz`))));

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wattgrad-mnist-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

test("the shipped subset: sizes, known first labels, grey levels", async () => {
  const train = await loadMnist(shipped, { split: "train" });
  expect(train.images.shape).toEqual([10000, 1, 28, 28]);
  expect(train.images.dtype).toBe("uint8");
  expect([...train.labels.data.slice(0, 10)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
  const { images, labels } = await loadMnist(shipped, { split: "test" });
  expect(images.shape).toEqual([2000, 1, 28, 28]);
  expect(labels.data).toBeInstanceOf(Int32Array);
  expect([...labels.data.slice(0, 10)]).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
});

test("plain files and the original names are found too", async () => {
  writeFileSync(join(directory, "t10k-images-idx3-ubyte"), unpack("test2k-images-idx3-ubyte"));
  writeFileSync(join(directory, "t10k-labels-idx1-ubyte"), unpack("test2k-labels-idx1-ubyte"));
  expect((await loadMnist(directory, { split: "test" })).labels.shape).toEqual([2000]);
});

test("other names that say which split they are, and torchvision's folders", async () => {
  const pair = (folder: string, stem: string, separator = "-") => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${stem}-images${separator}idx3-ubyte`), unpack("test2k-images-idx3-ubyte"));
    writeFileSync(join(folder, `${stem}-labels${separator}idx1-ubyte`), unpack("test2k-labels-idx1-ubyte"));
  };
  const dotted = join(directory, "dotted");
  pair(dotted, "t10k", ".");
  expect((await loadMnist(dotted, { split: "test" })).labels.shape).toEqual([2000]);

  const torchvision = join(directory, "torchvision");
  pair(join(torchvision, "MNIST", "raw"), "train");
  expect((await loadMnist(torchvision)).labels.shape).toEqual([2000]);

  const emnist = join(directory, "emnist");
  pair(emnist, "emnist-digits-train");
  pair(emnist, "emnist-digits-test");
  expect((await loadMnist(emnist)).labels.shape).toEqual([2000]);
  pair(emnist, "emnist-mnist-train");
  await expect(loadMnist(emnist)).rejects.toThrow(
    /several train sets in .*emnist-digits-train, emnist-mnist-train/,
  );
  const [images, labels] = ["images-idx3", "labels-idx1"].map((part) =>
    join(emnist, `emnist-mnist-train-${part}-ubyte`),
  );
  expect((await loadMnist({ images, labels })).labels.shape).toEqual([2000]);
});

test("a label above 9, differing counts and exchanged files are one line naming file and position", async () => {
  const images = join(directory, "train-images-idx3-ubyte");
  const labels = join(directory, "train-labels-idx1-ubyte");
  const good = unpack("test2k-labels-idx1-ubyte");
  const bad = good.slice();
  bad[8 + 1234] = 10;
  writeFileSync(images, unpack("test2k-images-idx3-ubyte"));
  writeFileSync(labels, bad);
  await expect(loadMnist(directory)).rejects.toThrow(
    /train-labels-idx1-ubyte: label out of range, 10 at position 1234 \(0\.\.9 expected\)$/,
  );
  writeFileSync(labels, Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 1, 1));
  await expect(loadMnist(directory)).rejects.toThrow(/has 2 labels for 2000 images/);
  writeFileSync(labels, unpack("test2k-images-idx3-ubyte"));
  await expect(loadMnist(directory)).rejects.toThrow(/train-labels-idx1-ubyte: rank 1 expected/);
  writeFileSync(labels, good.subarray(0, 100));
  await expect(loadMnist(directory)).rejects.toThrow(FormatError);
});

test("a missing directory or split is a FileError", async () => {
  await expect(loadMnist(join(directory, "nowhere"))).rejects.toThrow(/nowhere: it does not exist, ENOENT/);
  const empty = mkdtempSync(join(directory, "empty-"));
  await expect(loadMnist(empty)).rejects.toThrow(/no train images and labels in .*train-images-idx3/);
  await expect(loadMnist(empty)).rejects.toThrow(FileError);
});

test("URLs are fetched; a status that is not ok is an error", async () => {
  const server = createServer((request, response) => {
    const name = request.url?.slice(1) ?? "";
    if (name.endsWith(".gz")) response.end(readFileSync(join(shipped, name)));
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const images = new URL(`${base}/test2k-images-idx3-ubyte.gz`);
    const labels = `${base}/test2k-labels-idx1-ubyte.gz`;
    expect((await loadMnist({ images, labels })).labels.data[0]).toBe(7);
    await expect(loadMnist({ images, labels: `${base}/none` })).rejects.toThrow(/none: HTTP status 404/);
  } finally {
    server.close();
  }
});

test("the usual constants give the training images mean 0 and deviation 1, nearly", async () => {
  const { images, labels } = await loadMnist(shipped);
  const [x] = new ImageDataset(images, labels, mnistNormalization).batch(
    Int32Array.from({ length: 2000 }, (_, i) => i),
  );
  const values = x.data as Float32Array;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const square = values.reduce((a, b) => a + b * b, 0) / values.length;
  expect(Math.abs(mean)).toBeLessThan(0.02);
  expect(Math.abs(Math.sqrt(square - mean * mean) - 1)).toBeLessThan(0.02);
});
