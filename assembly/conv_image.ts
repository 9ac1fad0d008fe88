/**
 * Shared by the convolutions: copies one image at a time, channels-last, into scratch memory with a border of zeros (and zeros
 * between pixels for transposed convolutions), so that every window consists of a few contiguous segments.
 *
 * `Image`, 32-bit words: channels, height, width; strides in elements of channel, row, column; row and column of pixel (0, 0) in the
 * padded image (may be negative), and the steps between rows and columns there; height and width of the padded image.
 */
import { Image } from "./generated/agreement";
import { gatherBytes } from "./pack_i8";

/** Copies one image into the padded image, whose border is already zero. Elements have 1 << `shift` bytes, 4 or 1. */
export function padAndCopy(image: usize, source: usize, padded: usize, shift: i32): void {
  const channels = load<i32>(image, Image.channels);
  const height = load<i32>(image, Image.height);
  const width = load<i32>(image, Image.width);
  const strideC = load<i32>(image, Image.strideC);
  const strideH = load<i32>(image, Image.strideH);
  const strideW = load<i32>(image, Image.strideW);
  const left = load<i32>(image, Image.left);
  const stepW = load<i32>(image, Image.stepW);
  const paddedH = load<i32>(image, Image.paddedH);
  const paddedW = load<i32>(image, Image.paddedW);
  const wholeRows = strideC == 1 && strideW == channels && stepW == 1 && left >= 0 && left + width <= paddedW;
  for (let h = 0; h < height; h++) {
    const row = load<i32>(image, Image.top) + h * load<i32>(image, Image.stepH);
    if (row < 0 || row >= paddedH) continue;
    const from = source + (<usize>(h * strideH) << shift);
    const to = padded + (<usize>(row * paddedW * channels) << shift);
    if (wholeRows) {
      memory.copy(to + (<usize>(left * channels) << shift), from, <usize>(width * channels) << shift);
      continue;
    }
    for (let w = 0; w < width; w++) {
      const column = left + w * stepW;
      if (column < 0 || column >= paddedW) continue;
      copyPixel(to + (<usize>(column * channels) << shift), from + (<usize>(w * strideW) << shift), channels, strideC, shift);
    }
  }
}

function copyPixel(to: usize, from: usize, channels: i32, strideC: i32, shift: i32): void {
  if (shift == 0) {
    gatherBytes(to, from, strideC, channels);
    return;
  }
  let c = 0;
  if (strideC == 1) {
    for (; c + 4 <= channels; c += 4) {
      v128.store(to, v128.load(from));
      to += 16;
      from += 16;
    }
  }
  const step = <usize>strideC << 2;
  for (; c < channels; c++) {
    store<f32>(to, load<f32>(from));
    to += 4;
    from += step;
  }
}

/**
 * Writes the byte offsets of a window's segments, given steps in bytes. A segment is a kernel row if channels and columns are
 * contiguous (`joined`), else one kernel element.
 */
export function writeSegments(table: usize, kernelH: i32, kernelW: i32, rowStep: i32, columnStep: i32, joined: bool): void {
  for (let kh = 0; kh < kernelH; kh++) {
    if (joined) {
      store<i32>(table, kh * rowStep);
      table += 4;
      continue;
    }
    for (let kw = 0; kw < kernelW; kw++) {
      store<i32>(table, kh * rowStep + kw * columnStep);
      table += 4;
    }
  }
}
