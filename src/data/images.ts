/** Images as normalised network inputs. */

import { aNumber, anArray, check, checkOptions, either, type Kinds } from "../core/check.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { Inspectable } from "../core/inspect.js";
import { formatShape } from "../core/shape.js";
import type { HostTensor } from "../formats/host.js";
import { aHostTensor, type Dataset, gatherRows } from "./dataset.js";

/** Options of `ImageDataset`: (x / 255 − mean) / std. */
export interface ImageDatasetOptions {
  /** Subtracted after scaling to 0..1; one number, or one per channel. Default 0. */
  readonly mean?: number | readonly number[];
  /** Divisor; one number, or one per channel. Default 1. */
  readonly std?: number | readonly number[];
}

function imageOptions(): Kinds<ImageDatasetOptions> {
  const numberOrList = either(aNumber, anArray);
  return { mean: numberOrList, std: numberOrList };
}

/**
 * Mean and standard deviation of ImageNet's training images in 0..1, for red, green and blue, as torchvision's weights expect.
 *
 * @example
 * imageNetNormalization.mean; // [0.485, 0.456, 0.406]
 */
export const imageNetNormalization = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;

/**
 * Images with labels: uint8 [N, C, H, W] and int32 [N] in memory, batches [float32 [B, C, H, W], int32 [B]] with
 * (x / 255 − mean) / std, computed when a batch is drawn.
 *
 * @throws ShapeError or ArgumentError if images, labels and options do not fit each other.
 * @example
 * const images = { dtype: "uint8", shape: [1, 1, 1, 2], data: Uint8Array.of(0, 255) } as const;
 * const labels = { dtype: "int32", shape: [1], data: Int32Array.of(7) } as const;
 * const [x, y] = new ImageDataset(images, labels, { mean: 0.5 }).batch(Int32Array.of(0));
 * x.data; // [-0.5, 0.5]
 * y.data; // [7]
 */
export class ImageDataset extends Inspectable implements Dataset {
  readonly length: number;
  readonly #images: HostTensor;
  readonly #labels: HostTensor;
  /** The normalised value of every byte, per channel. */
  readonly #tables: readonly Float32Array[];

  constructor(images: HostTensor, labels: HostTensor, options: ImageDatasetOptions = {}) {
    super();
    const details = { op: "ImageDataset" };
    check(details.op, "images", images, aHostTensor);
    check(details.op, "labels", labels, aHostTensor);
    const { mean = 0, std = 1 } = checkOptions(details.op, options, imageOptions());
    const [count, channels] = images.shape;
    if (images.dtype !== "uint8" || images.shape.length !== 4) {
      throw new ShapeError(
        `images are uint8 [N, C, H, W], got ${images.dtype} ${formatShape(images.shape)}`,
        details,
      );
    }
    if (labels.dtype !== "int32" || labels.shape.length !== 1 || labels.shape[0] !== count) {
      throw new ShapeError(
        `labels are int32 [${count}], got ${labels.dtype} ${formatShape(labels.shape)}`,
        details,
      );
    }
    const means = perChannel("mean", mean, channels);
    const stds = perChannel("std", std, channels);
    if (stds.includes(0)) throw new ArgumentError("std is 0", details);
    this.length = count;
    this.#images = images;
    this.#labels = labels;
    this.#tables = means.map((mean, c) =>
      Float32Array.from({ length: 256 }, (_, x) => (x / 255 - mean) / stds[c]),
    );
  }

  override toString(): string {
    return `ImageDataset of ${this.length} images ${formatShape(this.#images.shape.slice(1))}`;
  }

  batch(indices: Int32Array): HostTensor[] {
    const { shape, data } = gatherRows(this.#images, indices);
    const [, channels, height, width] = shape;
    const plane = height * width;
    const values = new Float32Array(data.length);
    for (let start = 0, c = 0; start < data.length; start += plane, c = (c + 1) % channels) {
      const table = this.#tables[c];
      for (let i = start; i < start + plane; i++) values[i] = table[data[i]];
    }
    return [{ dtype: "float32", shape, data: values }, gatherRows(this.#labels, indices)];
  }
}

function perChannel(name: string, value: number | readonly number[], channels: number): readonly number[] {
  const list = typeof value === "number" ? new Array<number>(channels).fill(value) : value;
  if (list.length !== channels || !list.every(Number.isFinite)) {
    throw new ArgumentError(`${name} is a number or one for each of ${channels} channels`, {
      op: "ImageDataset",
    });
  }
  return list;
}
