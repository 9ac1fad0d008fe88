/**
 * A drawing as MNIST has them (LeCun, Cortes, Burges, 1998): scaled with its proportions into 20 × 20 pixels, grey where
 * a pixel is partly covered, its centre of mass in the middle of 28 × 28.
 */
import { imageSize } from "./messages.js";

/** Longer side of the digit inside the image. */
const digitSize = 20;
/** Ink below this is taken for the soft border of a stroke when the drawing's extent is looked for. */
const faint = 32;

interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/**
 * `ink`: [height, width] bytes row by row, 0 is paper. Returns 28 × 28 bytes, or undefined if nothing is drawn.
 */
export function centredDigit(ink: Uint8Array, width: number, height: number): Uint8Array | undefined {
  const box = extent(ink, width, height);
  if (box === undefined) return undefined;
  const scale = Math.max(box.right - box.left, box.bottom - box.top) / digitSize;
  const columns = Math.max(1, Math.round((box.right - box.left) / scale));
  const rows = Math.max(1, Math.round((box.bottom - box.top) / scale));
  const digit = new Float32Array(columns * rows);
  let mass = 0;
  let massX = 0;
  let massY = 0;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const value = meanInk(ink, width, {
        left: box.left + ((box.right - box.left) * x) / columns,
        right: box.left + ((box.right - box.left) * (x + 1)) / columns,
        top: box.top + ((box.bottom - box.top) * y) / rows,
        bottom: box.top + ((box.bottom - box.top) * (y + 1)) / rows,
      });
      digit[y * columns + x] = value;
      mass += value;
      massX += value * (x + 0.5);
      massY += value * (y + 0.5);
    }
  }
  // A lopsided digit may not be pushed over the border by its centre of mass.
  const left = clamp(Math.round(imageSize / 2 - massX / mass), 0, imageSize - columns);
  const top = clamp(Math.round(imageSize / 2 - massY / mass), 0, imageSize - rows);
  const image = new Uint8Array(imageSize * imageSize);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      image[(top + y) * imageSize + left + x] = Math.round(digit[y * columns + x]);
    }
  }
  return image;
}

/** Where ink is, `right` and `bottom` exclusive. */
function extent(ink: Uint8Array, width: number, height: number): Box | undefined {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink[y * width + x] < faint) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  return right > left ? { left, top, right, bottom } : undefined;
}

/** Mean over a rectangle with fractional borders: pixels count by how much of them lies inside. */
function meanInk(ink: Uint8Array, width: number, { left, top, right, bottom }: Box): number {
  let sum = 0;
  for (let y = Math.floor(top); y < bottom; y++) {
    const covered = Math.min(y + 1, bottom) - Math.max(y, top);
    for (let x = Math.floor(left); x < right; x++) {
      sum += ink[y * width + x] * covered * (Math.min(x + 1, right) - Math.max(x, left));
    }
  }
  return sum / ((right - left) * (bottom - top));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
