/**
 * CIFAR-10 (Krizhevsky, 2009) from its binary version (https://www.cs.toronto.edu/~kriz/cifar.html):
 *
 *     label, one byte, 0..9 | 1024 bytes red | 1024 green | 1024 blue, each 32 × 32 row by row | the next image …
 */

import {
  anArray,
  aString,
  check,
  checkOptions,
  either,
  fileBytes,
  type Kinds,
  oneOf,
} from "../core/check.js";
import { ArgumentError, FormatError, WattgradError } from "../core/errors.js";
import { FileError, fetchBytes, namesIn, nodeFiles, readFile, reasonOf } from "../formats/file.js";
import { gunzip, isGzip, joinChunks } from "../formats/gzip.js";
import type { HostTensor } from "../formats/host.js";

const labelCount = 10;
const imageShape = [3, 32, 32] as const;
const imageBytes = 3072;
const recordBytes = 3073;
/** Most bytes that a compressed file may unpack to: all 60,000 images in one file. */
const maximum = 184_380_000;

/** A split of CIFAR-10: 50,000 images for training, 10,000 for testing. */
export type Cifar10Split = "train" | "test";

const splitOptions = (): Kinds<{ readonly split?: Cifar10Split }> => ({ split: oneOf("train", "test") });

/** The original's file names: 10,000 images each. */
const fileNames: Readonly<Record<Cifar10Split, readonly string[]>> = {
  train: ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
  test: ["test_batch.bin"],
};

/** Images and labels of CIFAR-10. */
export interface Cifar10 {
  /** uint8 [N, 3, 32, 32]: red, green and blue. */
  readonly images: HostTensor;
  /** int32 [N], 0..9: airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck. */
  readonly labels: HostTensor;
}

/**
 * Reads a file of the binary version, plain or gzip-compressed, with any number of images.
 *
 * @throws FormatError if the bytes are not whole records, a label is above 9, or the compression is damaged.
 * @example
 * const { images, labels } = await readCifar10(new Uint8Array(2 * 3073));
 * images.shape; // [2, 3, 32, 32]
 * labels.data; // [0, 0]
 */
export async function readCifar10(bytes: Uint8Array): Promise<Cifar10> {
  const op = "readCifar10";
  check(op, "the file", bytes, fileBytes);
  const records = isGzip(bytes) ? await inflate(bytes, op) : bytes;
  const count = records.length / recordBytes;
  if (count === 0 || !Number.isInteger(count)) {
    throw new FormatError(`${records.length} bytes are no whole number of records of ${recordBytes}`, {
      op,
      hint: "the file is truncated, or not CIFAR-10's binary version",
    });
  }
  const labels = Int32Array.from({ length: count }, (_, i) => records[i * recordBytes]);
  const position = labels.findIndex((label) => label >= labelCount);
  if (position >= 0) {
    throw new FormatError(`label out of range, ${labels[position]} at position ${position} (0..9 expected)`, {
      op,
    });
  }
  const data = new Uint8Array(count * imageBytes);
  for (let i = 0; i < count; i++) {
    const start = i * recordBytes + 1;
    data.set(records.subarray(start, start + imageBytes), i * imageBytes);
  }
  return cifar10(labels, data);
}

/**
 * Reads one split from a directory (Node), one file (Node), or URLs, whose images are concatenated. In a directory it reads
 * `data_batch_1.bin` to `data_batch_5.bin` for "train" (default) and `test_batch.bin` for "test", with or without
 * `.gz`; `split` does not matter for a file or URLs.
 *
 * @throws FileError if a file is missing or cannot be read, FormatError naming the file if its bytes are not CIFAR-10.
 * @example
 * // A file with one black image of class 0.
 * await writeFileAtomic("test_batch.bin", new Uint8Array(3073));
 * const { images, labels } = await loadCifar10(".", { split: "test" });
 * new ImageDataset(images, labels, imageNetNormalization).length; // 1
 */
export async function loadCifar10(
  source: string | readonly (string | URL)[],
  options: { readonly split?: Cifar10Split } = {},
): Promise<Cifar10> {
  const op = "loadCifar10";
  const { split = "train" } = checkOptions(op, options, splitOptions());
  check(op, "the source", source, either(aString, anArray));
  const names = typeof source === "string" ? await findFiles(source, split, op) : source.map(String);
  if (names.length === 0) throw new ArgumentError("there are no URLs to read", { op });
  const read = typeof source === "string" ? readFile : fetchBytes;
  const parts: Cifar10[] = [];
  for (const name of names) parts.push(await parse(name, await read(name, op), op));
  if (parts.length === 1) return parts[0];
  const count = parts.reduce((sum, { labels }) => sum + labels.shape[0], 0);
  const labels = new Int32Array(count);
  const data = new Uint8Array(count * imageBytes);
  let start = 0;
  for (const part of parts) {
    labels.set(part.labels.data, start);
    data.set(part.images.data, start * imageBytes);
    start += part.labels.shape[0];
  }
  return cifar10(labels, data);
}

function cifar10(labels: Int32Array, data: Uint8Array): Cifar10 {
  return {
    images: { dtype: "uint8", shape: [labels.length, ...imageShape], data },
    labels: { dtype: "int32", shape: [labels.length], data: labels },
  };
}

/** The file itself, or the split's files in the directory. */
async function findFiles(source: string, split: Cifar10Split, op: string): Promise<string[]> {
  const { fs, path } = nodeFiles(op);
  const found = await fs.promises.stat(source).catch((error: unknown) => {
    throw new FileError(`cannot read ${source}: ${reasonOf(error)}`, { op, cause: error });
  });
  if (!found.isDirectory()) return [source];
  const names = await namesIn(source, op);
  return fileNames[split].map((name) => {
    const file = [name, `${name}.gz`].find((candidate) => names.has(candidate));
    if (file === undefined) throw new FileError(`no ${name}[.gz] in ${source}`, { op });
    return path.join(source, file);
  });
}

async function parse(name: string, bytes: Uint8Array, op: string): Promise<Cifar10> {
  try {
    return await readCifar10(bytes);
  } catch (error) {
    if (!(error instanceof WattgradError)) throw error;
    throw new FormatError(`${name}: ${error.message}`, { op, cause: error });
  }
}

async function inflate(bytes: Uint8Array, op: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of gunzip(bytes, op)) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > maximum) throw new FormatError(`the file unpacks to more than ${maximum} bytes`, { op });
  }
  return joinChunks(chunks, length);
}
