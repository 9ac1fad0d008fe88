/** MNIST's bytes as an image for a canvas. */
import { imageSize } from "./messages.js";

/** `pixels`: 28 × 28 bytes, 0 is transparent background, 255 white. */
export function greyImage(pixels: Uint8Array): ImageData {
  const image = new ImageData(imageSize, imageSize);
  pixels.forEach((value, i) => {
    image.data.fill(255, 4 * i, 4 * i + 3);
    image.data[4 * i + 3] = value;
  });
  return image;
}
