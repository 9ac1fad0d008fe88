/** Loads the images for training and testing, and checks that the classifiers accept them. */

import { FormatError } from "../core/errors.js";
import { loadMnist, type Mnist, type MnistSplit } from "../data/index.js";
import { shippedMnist } from "./package.js";

/** Height and width of the images that every classifier of the command line takes. */
const imageSize = 28;

/**
 * One split of `directory`, or of the set shipped with wattgrad.
 *
 * @throws FileError, or FormatError for damaged files, no images at all, or images of another size.
 */
export async function loadImages(directory: string | undefined, split: MnistSplit): Promise<Mnist> {
  const source = directory ?? shippedMnist();
  const mnist = await loadMnist(source, { split });
  const [count, , height, width] = mnist.images.shape;
  if (count === 0) throw new FormatError(`${source}: the ${split} set has no images`);
  if (height !== imageSize || width !== imageSize) {
    throw new FormatError(
      `${source}: the ${split} images are ${height} × ${width}, the models take ${imageSize} × ${imageSize}`,
    );
  }
  return mnist;
}
