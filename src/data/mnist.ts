/** MNIST (LeCun, Cortes, Burges, 1998) from its IDX files. */
import { FileError, fetchBytes, namesIn, nodeFiles, readFile } from "../formats/file.js";
import type { HostTensor } from "../formats/host.js";
import { readIdx } from "../formats/idx.js";
import { ArgumentError, FormatError, WattgradError } from "../tensor/errors.js";
import { formatShape } from "../tensor/shape.js";

const op = "loadMnist";

export type MnistSplit = "train" | "test";

/** File name stems by preference: the full sets of 60,000 and 10,000 images, then the subsets shipped here. */
const stems: Readonly<Record<MnistSplit, readonly string[]>> = {
  train: ["train", "train10k"],
  test: ["t10k", "test2k"],
};

const labelCount = 10;

/** Where to fetch the two files of a split, for pages. */
export interface MnistUrls {
  readonly images: string | URL;
  readonly labels: string | URL;
}

export interface Mnist {
  /** uint8 [N, 1, H, W], 0 is background; H = W = 28 in MNIST. */
  readonly images: HostTensor;
  /** int32 [N], 0..9. */
  readonly labels: HostTensor;
}

/**
 * Reads one split from a directory (Node) or from URLs. In a directory it takes `train-images-idx3-ubyte` or
 * `train10k-…` for "train", `t10k-…` or `test2k-…` for "test", with or without `.gz`, and the labels beside it.
 *
 * @throws FileError if a file is missing or cannot be read, FormatError naming the file if its bytes are not IDX, the
 * numbers of images and labels differ, or a label is not 0..9.
 * @example
 * const { images, labels } = await loadMnist("test/data/mnist", { split: "train" });
 */
export async function loadMnist(
  source: string | MnistUrls,
  options: { readonly split?: MnistSplit } = {},
): Promise<Mnist> {
  const split = options.split ?? "train";
  if (!Object.hasOwn(stems, split)) {
    throw new ArgumentError(`unknown split "${split}"`, { op, hint: "train or test" });
  }
  const urls = typeof source === "string" ? await findPair(source, split) : source;
  const read = typeof source === "string" ? readFile : fetchBytes;
  const load = (name: string) => read(name, op);
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

/** The first stem with both files. */
async function findPair(directory: string, split: MnistSplit): Promise<MnistUrls> {
  const { path } = nodeFiles(op);
  const names = await namesIn(directory, op);
  const find = (name: string) => [name, `${name}.gz`].find((candidate) => names.has(candidate));
  for (const stem of stems[split]) {
    const images = find(`${stem}-images-idx3-ubyte`);
    const labels = find(`${stem}-labels-idx1-ubyte`);
    if (images !== undefined && labels !== undefined) {
      return { images: path.join(directory, images), labels: path.join(directory, labels) };
    }
  }
  const expected = stems[split].map((stem) => `${stem}-images-idx3-ubyte[.gz]`).join(" or ");
  throw new FileError(`no ${split} images and labels in ${directory}, ${expected} expected`, { op });
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

/** Mean and standard deviation of the MNIST training images in 0..1, as PyTorch's examples use them. */
export const mnistNormalization = { mean: 0.1307, std: 0.3081 } as const;
