/** MNIST (LeCun, Cortes, Burges, 1998) from its IDX files. */

import { check, checkOptions, type Kind, type Kinds, oneOf } from "../core/check.js";
import { FormatError, WattgradError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import { FileError, fetchBytes, namesIn, nodeFiles, readFile } from "../formats/file.js";
import type { HostTensor } from "../formats/host.js";
import { readIdx } from "../formats/idx.js";

const op = "loadMnist";

const splitOptions = (): Kinds<{ readonly split?: MnistSplit }> => ({ split: oneOf("train", "test") });
const aSource: Kind = [
  "a directory or { images, labels }",
  (value) => {
    if (typeof value === "string") return true;
    const { images, labels } = (value ?? {}) as Partial<MnistUrls>;
    return [images, labels].every((url) => typeof url === "string" || url instanceof URL);
  },
];

/** A split of MNIST: 60,000 images for training, 10,000 for testing. */
export type MnistSplit = "train" | "test";

/** Preferred file name stems if a directory has several sets: the full sets of 60,000 and 10,000 images. */
const preferred: Readonly<Record<MnistSplit, string>> = { train: "train", test: "t10k" };

/** Stems that name a split: `train10k`, `t10k`, `emnist-digits-test`. */
const naming: Readonly<Record<MnistSplit, RegExp>> = {
  train: /(^|[^a-z])train/i,
  test: /(^|[^a-z])(t10k|test)/i,
};

/** The two files of a set; some archives have a dot for the second hyphen. */
const fileName = /^(.+)-(images|labels)[-.]idx\d-ubyte(\.gz)?$/;

/** Subdirectories that are searched as well; torchvision creates them. */
const subdirectories = ["raw", "MNIST/raw"];

const labelCount = 10;

/** The two files of a split: URLs, or in Node paths. */
export interface MnistUrls {
  readonly images: string | URL;
  readonly labels: string | URL;
}

/** Images and labels of MNIST, or of a dataset in its format. */
export interface Mnist {
  /** uint8 [N, 1, H, W], 0 is background; H = W = 28 in MNIST. */
  readonly images: HostTensor;
  /** int32 [N], 0..9. */
  readonly labels: HostTensor;
}

/**
 * Reads one split (default "train") from a directory (Node), or from two files by URL or path. In a directory, or its `raw` or
 * `MNIST/raw`, it reads `train-images-idx3-ubyte` for "train" and `t10k-images-idx3-ubyte` for "test" with the labels of the same
 * name, else the only pair whose name contains the split (`train10k-…`, `emnist-digits-test-…`); plain, `.gz`, or
 * `images.idx3-ubyte`.
 *
 * @throws FileError if a file is missing, cannot be read, or several sets fit; FormatError naming the file if its bytes are not IDX, the
 * numbers of images and labels differ, or a label is not 0..9.
 * @example
 * const { images, labels } = await loadMnist("node_modules/wattgrad/test/data/mnist", { split: "test" });
 * images.shape; // [2000, 1, 28, 28]
 * labels.dtype; // "int32"
 */
export async function loadMnist(
  source: string | MnistUrls,
  options: { readonly split?: MnistSplit } = {},
): Promise<Mnist> {
  const { split = "train" } = checkOptions(op, options, splitOptions());
  check(op, "the source", source, aSource);
  const urls = typeof source === "string" ? await findPair(source, split) : source;
  const load = (name: string) => (isPath(name) ? readFile(name, op) : fetchBytes(name, op));
  const [imagesName, labelsName] = [String(urls.images), String(urls.labels)];
  const images = await parse(imagesName, 3, load);
  const labels = await parse(labelsName, 1, load);
  const [count, height, width] = images.shape;
  if (labels.shape[0] !== count) {
    throw new FormatError(
      `${labelsName} has ${labels.shape[0]} labels for ${count} images in ${imagesName}`,
      { op },
    );
  }
  const position = labels.data.findIndex((label) => label >= labelCount);
  if (position >= 0) {
    const found = labels.data[position];
    throw new FormatError(
      `${labelsName}: label out of range, ${found} at position ${position} (0..9 expected)`,
      { op },
    );
  }
  return {
    images: { dtype: "uint8", shape: [count, 1, height, width], data: images.data },
    labels: { dtype: "int32", shape: [count], data: Int32Array.from(labels.data) },
  };
}

/** Whether the name is a path in Node; in pages names are URLs. */
function isPath(name: string): boolean {
  return globalThis.process?.getBuiltinModule !== undefined && !/^[a-z][a-z\d+.-]+:/i.test(name);
}

/** @throws FileError unless the directory has the preferred pair or a single one. */
async function findPair(directory: string, split: MnistSplit): Promise<MnistUrls> {
  const { fs, path } = nodeFiles(op);
  const inside = subdirectories
    .map((name) => path.join(directory, name))
    .filter((name) => fs.existsSync(name));
  for (const place of [directory, ...inside]) {
    const pairs = pairsOf(await namesIn(place, op), split);
    const stem = pairs.has(preferred[split]) ? preferred[split] : [...pairs.keys()].at(-1);
    if (stem === undefined) continue;
    if (stem !== preferred[split] && pairs.size > 1) {
      throw new FileError(`several ${split} sets in ${place}: ${[...pairs.keys()].join(", ")}`, {
        op,
        hint: "give the two files, { images, labels }",
      });
    }
    const { images, labels } = pairs.get(stem)!;
    return { images: path.join(place, images), labels: path.join(place, labels) };
  }
  const expected = `${preferred[split]}-images-idx3-ubyte[.gz]`;
  throw new FileError(`no ${split} images and labels in ${directory}, ${expected} or the like expected`, {
    op,
  });
}

/** File names of the sets that have images and labels, by stem. */
function pairsOf(
  names: ReadonlySet<string>,
  split: MnistSplit,
): Map<string, { images: string; labels: string }> {
  const found = new Map<string, { images?: string; labels?: string }>();
  // Sorted, a plain file precedes its .gz and is preferred.
  for (const name of [...names].sort()) {
    const match = fileName.exec(name);
    if (match === null || !naming[split].test(match[1])) continue;
    const [, stem, part] = match;
    found.set(stem, { [part]: name, ...found.get(stem) });
  }
  const whole = [...found].filter(([, { images, labels }]) => images !== undefined && labels !== undefined);
  return new Map(whole as [string, { images: string; labels: string }][]);
}

async function parse(
  name: string,
  rank: number,
  load: (name: string) => Promise<Uint8Array>,
): Promise<HostTensor> {
  const bytes = await load(name);
  let tensor: HostTensor;
  try {
    tensor = await readIdx(bytes);
  } catch (error) {
    if (!(error instanceof WattgradError)) throw error;
    throw new FormatError(`${name}: ${error.message}`, { op, cause: error });
  }
  if (tensor.shape.length !== rank) {
    throw new FormatError(`${name}: rank ${rank} expected, shape ${formatShape(tensor.shape)} found`, { op });
  }
  return tensor;
}

/**
 * Mean and standard deviation of the MNIST training images in 0..1, as PyTorch's examples use them.
 *
 * @example
 * mnistNormalization; // { mean: 0.1307, std: 0.3081 }
 */
export const mnistNormalization = { mean: 0.1307, std: 0.3081 } as const;
