/** Augmentation on the host: images moved by a few pixels, the same in every run with the same seed. */

import { aNumber, check, checkNeeded, checkOptions, type Kinds } from "../core/check.js";
import { newArray } from "../core/dtype.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { philox } from "../core/philox.js";
import { formatShape } from "../core/shape.js";
import { aDataset } from "../data/dataset.js";
import type { Dataset, HostTensor } from "../data/index.js";

/** Last word of Philox' counter; tensors have 0 there and the loader's shuffle 1, so that streams never meet. */
const shiftStream = 2;

/** Options of `randomShift`. */
export interface RandomShiftOptions {
  /** Largest shift along each axis, in pixels. */
  readonly pixels: number;
  /** Seed of the shifts. */
  readonly seed: number;
  /** Value of the uncovered border; default 0. For normalized images, the value of the background. */
  readonly fill?: number;
}

const shiftOptions: Kinds<RandomShiftOptions> = { pixels: aNumber, seed: aNumber, fill: aNumber };

/**
 * A dataset whose first tensor, images [N, C, H, W], is shifted by up to `pixels` along both axes. The shift depends only on the
 * seed, the loader's epoch and the sample's number: an image is shifted differently in each epoch, and a resumed run sees the same
 * images.
 *
 * @example
 * const images = { dtype: "float32", shape: [1, 1, 2, 2], data: Float32Array.of(1, 2, 3, 4) } as const;
 * const shifted = randomShift(new TensorDataset(images), { pixels: 1, seed: 0 });
 * shifted.batch(Int32Array.of(0), 0)[0].shape; // [1, 1, 2, 2]
 *
 * @throws ArgumentError for a negative or fractional `pixels`, ShapeError if the first tensor is not [N, C, H, W].
 */
export function randomShift(dataset: Dataset, options: RandomShiftOptions): Dataset {
  check("randomShift", "the dataset", dataset, aDataset);
  checkOptions("randomShift", options ?? null, shiftOptions);
  const { pixels, seed, fill = 0 } = options;
  checkNeeded("randomShift", { pixels, seed }, shiftOptions);
  if (!Number.isInteger(pixels) || pixels < 0) {
    throw new ArgumentError(`pixels is a non-negative integer, got ${pixels}`, { op: "randomShift" });
  }
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0] as const;
  const extent = 2 * pixels + 1;
  return {
    length: dataset.length,
    batch(indices, epoch = 0) {
      const [images, ...rest] = dataset.batch(indices, epoch);
      if (images.shape.length !== 4) {
        throw new ShapeError(`images are [N, C, H, W], got ${formatShape(images.shape)}`, {
          op: "randomShift",
        });
      }
      const shifts = Array.from(indices, (index) => {
        const [dx, dy] = philox([index, 0, epoch, shiftStream], key);
        return [((dx >>> 0) % extent) - pixels, ((dy >>> 0) % extent) - pixels] as const;
      });
      return [shifted(images, shifts, fill), ...rest];
    },
  };
}

function shifted(
  { dtype, shape, data }: HostTensor,
  shifts: readonly (readonly [number, number])[],
  fill: number,
): HostTensor {
  const [, channels, height, width] = shape;
  const result = newArray(dtype, data.length).fill(fill);
  shifts.forEach(([dx, dy], n) => {
    const from = Math.max(0, -dx);
    const to = Math.min(width, width - dx);
    for (let c = 0; c < channels; c++) {
      for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
        const row = ((n * channels + c) * height + y) * width;
        result.set(data.subarray(row + from, row + to), row + dy * width + from + dx);
      }
    }
  });
  return { dtype, shape, data: result };
}
