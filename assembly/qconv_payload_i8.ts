/**
 * The payload of both int8 cross-correlations.
 *
 * Payload of `qconv`, 32-bit words: `Window`; addresses of source, weight, output; the weights' bytes of a group; the
 * source's bytes from image to image, the output's from image to image, row to row and column to column; address (0: none)
 * and stride of the images' scales; the input's zero point; 1 if the source needs no copy; 1 for depthwise; pixels in a
 * block; addresses of working spaces: sums of a block's panel, table of rows, packed rows, four gathered rows, padded image, segments,
 * prepared depthwise weights, a widened panel of weights; an `Image`; then `Dequantization`.
 */
import { Image, QconvAt as At, Window } from "./generated/agreement";
import { RowTable } from "./pack_i8";
import { Dequantization, placeRow } from "./quantized_epilogue";

export { QconvAt as At } from "./generated/agreement";

/** Where `Dequantization` begins. */
export const dequantizationAt: usize = At.image + Image.bytes;

/** Fills the row table for pixels from `pixel` on: the addresses of their windows and of their outputs. */
export function placePixels(payload: usize, image: i32, source: usize, pixel: i32, rows: i32): void {
  const layout = payload + At.image;
  const outputW = load<i32>(payload, Window.outputW);
  const columnStep = load<i32>(payload, Window.strideW) * load<i32>(layout, Image.channels);
  const rowStep =
    load<i32>(payload, Window.strideH) * load<i32>(layout, Image.paddedW) * load<i32>(layout, Image.channels);
  const outputRow = load<i32>(payload, At.outputRow);
  const outputColumn = load<i32>(payload, At.outputColumn);
  const output = load<usize>(payload, At.output) + image * load<i32>(payload, At.outputN);
  const scales = load<usize>(payload, At.inputScales);
  const scale: f32 = scales == 0 ? 1 : load<f32>(scales + (<usize>(image * load<i32>(payload, At.inputScalesN)) << 2));
  let entry = load<usize>(payload, At.table);
  let h = pixel / outputW;
  let w = pixel % outputW;
  const dequantization = payload + dequantizationAt;
  const columns = load<i32>(dequantization, Dequantization.columns);
  let element = (image * load<i32>(payload, Window.outputH) * outputW + pixel) * columns;
  for (let i = 0; i < rows; i++) {
    placeRow(dequantization, entry, i, element, output + h * outputRow + w * outputColumn);
    store<i32>(entry, 0, RowTable.correction);
    store<f32>(entry, scale, RowTable.scale);
    store<usize>(entry, source + h * rowStep + w * columnStep, RowTable.window);
    entry += RowTable.bytes;
    element += columns;
    if (++w == outputW) {
      w = 0;
      h++;
    }
  }
}
