/**
 * int8 cross-correlation. An image lies channels-last inside a border of the input's zero point (conv_image.ts); the windows
 * of a block of output pixels are packed as rows of a matrix, and that is multiplied like any other. Depthwise ones are in
 * qconv_depthwise_i8.ts.
 *
 * Payload of `qconv`, 32-bit words: batch, groups, input and output channels per group, kernel height and width, dilations,
 * strides of the window, output height and width; addresses of source, weight, output; the weights' bytes of a group; the
 * source's bytes from image to image, the output's from image to image, row to row and column to column; address (0: none)
 * and stride of the images' scales; the input's zero point; 1 if the source needs no copy; 1 for depthwise; pixels in a
 * block; addresses of working spaces: a tile, table of rows, packed rows, four gathered rows, padded image, runs, prepared
 * depthwise weights; an `Image`; then `Finish`.
 */
import { Image, layOut, writeRuns } from "./conv_image";
import { gatherBytes, pack4, RowTable } from "./pack_i8";
import { depthwisePixels, prepareDepthwise } from "./qconv_depthwise_i8";
import { isWide, multiplyBlock } from "./qgemm_i8";
import { Finish, prepareColumns } from "./quantized_epilogue";

export namespace At {
  export const batch: usize = 0;
  export const groups: usize = 4;
  export const inputs: usize = 8;
  export const outputs: usize = 12;
  export const kernelH: usize = 16;
  export const kernelW: usize = 20;
  export const dilationH: usize = 24;
  export const dilationW: usize = 28;
  export const strideH: usize = 32;
  export const strideW: usize = 36;
  export const outputH: usize = 40;
  export const outputW: usize = 44;
  export const source: usize = 48;
  export const weight: usize = 52;
  export const output: usize = 56;
  export const groupBytes: usize = 60;
  export const sourceN: usize = 64;
  export const outputN: usize = 68;
  export const outputRow: usize = 72;
  export const outputColumn: usize = 76;
  export const inputScales: usize = 80;
  export const inputScalesN: usize = 84;
  export const zeroPoint: usize = 88;
  export const inPlace: usize = 92;
  export const depthwise: usize = 96;
  export const blockPixels: usize = 100;
  export const tile: usize = 104;
  export const table: usize = 108;
  export const packed: usize = 112;
  export const gathered: usize = 116;
  export const padded: usize = 120;
  export const runs: usize = 124;
  export const prepared: usize = 128;
  export const image: usize = 132;
  export const finish: usize = 180;
}

/** Bytes that a gathered row may be written beyond its end. */
const overrun: i32 = 16;

export function qconv(payload: usize): void {
  const image = payload + At.image;
  const groups = load<i32>(payload, At.groups);
  const inputs = load<i32>(payload, At.inputs);
  const kernelH = load<i32>(payload, At.kernelH);
  const kernelW = load<i32>(payload, At.kernelW);
  const channels = load<i32>(image, Image.channels);
  const paddedW = load<i32>(image, Image.paddedW);
  const columnStep = load<i32>(payload, At.dilationW) * channels;
  const joined = groups == 1 && columnStep == channels;
  const runs = joined ? kernelH : kernelH * kernelW;
  const runLength = joined ? kernelW * inputs : inputs;
  const table = load<usize>(payload, At.runs);
  const padded = load<usize>(payload, At.padded);
  const depthwise = load<i32>(payload, At.depthwise);
  writeRuns(table, kernelH, kernelW, load<i32>(payload, At.dilationH) * paddedW * channels, columnStep, joined);
  prepareColumns(payload + At.finish);
  if (depthwise) prepareDepthwise(payload);
  const inPlace = load<i32>(payload, At.inPlace);
  if (!inPlace) {
    memory.fill(padded, <u8>load<i32>(payload, At.zeroPoint), load<i32>(image, Image.paddedH) * paddedW * channels);
  }
  const batch = load<i32>(payload, At.batch);
  const pixels = load<i32>(payload, At.outputH) * load<i32>(payload, At.outputW);
  const blockPixels = load<i32>(payload, At.blockPixels);
  for (let n = 0; n < batch; n++) {
    const source = load<usize>(payload, At.source) + n * load<i32>(payload, At.sourceN);
    if (!inPlace) layOut(image, source, padded, 0);
    const laidOut = inPlace ? source : padded;
    for (let pixel = 0; pixel < pixels; pixel += blockPixels) {
      const rows = min(blockPixels, pixels - pixel);
      if (depthwise) depthwisePixels(payload, n, laidOut, pixel, rows);
      else for (let g = 0; g < groups; g++) correlate(payload, n, laidOut + g * inputs, g, pixel, rows, runs, runLength);
    }
  }
}

/** One group's channels of a block of pixels. */
function correlate(
  payload: usize, image: i32, source: usize, group: i32, pixel: i32, rows: i32, runs: i32, runLength: i32,
): void {
  const finish = payload + At.finish;
  const wide = isWide(finish);
  const storedOffset = load<i32>(finish, Finish.storedOffset);
  const tile = load<usize>(payload, At.tile);
  const table = load<usize>(payload, At.table);
  const offsets = load<usize>(payload, At.runs);
  const gathered = load<usize>(payload, At.gathered);
  const inPlace = load<i32>(payload, At.inPlace);
  const length = runs * runLength;
  const steps = (length + 3) >> 2;
  const stepBytes: usize = wide ? 32 : 16;
  let packed = load<usize>(payload, At.packed);
  placePixels(payload, image, source, pixel, rows);
  for (let i = 0; i < rows; i += 4) {
    const entry = table + <usize>i * RowTable.bytes;
    const last = min(4, rows - i) - 1;
    const p0 = load<usize>(entry, RowTable.window);
    const p1 = load<usize>(entry + <usize>min(1, last) * RowTable.bytes, RowTable.window);
    const p2 = load<usize>(entry + <usize>min(2, last) * RowTable.bytes, RowTable.window);
    const p3 = load<usize>(entry + <usize>last * RowTable.bytes, RowTable.window);
    v128.store(tile, i32x4.splat(0));
    if (runs == 1 || (runLength & 3) == 0) {
      let to = packed;
      for (let r = 0; r < runs; r++) {
        const offset = load<usize>(offsets + (<usize>r << 2));
        pack4(to, wide, p0 + offset, p1 + offset, p2 + offset, p3 + offset, runLength, tile);
        to += <usize>(runLength >> 2) * stepBytes;
      }
    } else {
      const g1 = gathered + length + overrun;
      const g2 = g1 + length + overrun;
      const g3 = g2 + length + overrun;
      for (let r = 0; r < runs; r++) {
        const offset = load<usize>(offsets + (<usize>r << 2));
        const to = <usize>(r * runLength);
        if (runLength <= overrun && !inPlace) {
          // Whole vectors: what is too much is overwritten by the next run, or lies behind the end.
          v128.store(gathered + to, v128.load(p0 + offset));
          v128.store(g1 + to, v128.load(p1 + offset));
          v128.store(g2 + to, v128.load(p2 + offset));
          v128.store(g3 + to, v128.load(p3 + offset));
          continue;
        }
        gatherBytes(gathered + to, p0 + offset, 1, runLength);
        gatherBytes(g1 + to, p1 + offset, 1, runLength);
        gatherBytes(g2 + to, p2 + offset, 1, runLength);
        gatherBytes(g3 + to, p3 + offset, 1, runLength);
      }
      pack4(packed, wide, gathered, g1, g2, g3, length, tile);
    }
    for (let r = 0; r <= last; r++) {
      store<i32>(entry + <usize>r * RowTable.bytes, storedOffset * load<i32>(tile + (<usize>r << 2)), RowTable.correction);
    }
    packed += <usize>steps * stepBytes;
  }
  const weight = load<usize>(payload, At.weight) + group * load<i32>(payload, At.groupBytes);
  const outputs = load<i32>(payload, At.outputs);
  multiplyBlock(finish, rows, table, load<usize>(payload, At.packed), weight, steps, outputs, group * outputs, tile);
}

/** Fills the table for pixels from `pixel` on: where their windows start and where they go. */
export function placePixels(payload: usize, image: i32, source: usize, pixel: i32, rows: i32): void {
  const layout = payload + At.image;
  const outputW = load<i32>(payload, At.outputW);
  const columnStep = load<i32>(payload, At.strideW) * load<i32>(layout, Image.channels);
  const rowStep =
    load<i32>(payload, At.strideH) * load<i32>(layout, Image.paddedW) * load<i32>(layout, Image.channels);
  const outputRow = load<i32>(payload, At.outputRow);
  const outputColumn = load<i32>(payload, At.outputColumn);
  const output = load<usize>(payload, At.output) + image * load<i32>(payload, At.outputN);
  const scales = load<usize>(payload, At.inputScales);
  const scale: f32 = scales == 0 ? 1 : load<f32>(scales + (<usize>(image * load<i32>(payload, At.inputScalesN)) << 2));
  let entry = load<usize>(payload, At.table);
  let h = pixel / outputW;
  let w = pixel % outputW;
  for (let i = 0; i < rows; i++) {
    store<usize>(entry, output + h * outputRow + w * outputColumn, RowTable.address);
    store<i32>(entry, 0, RowTable.correction);
    store<f32>(entry, scale, RowTable.scale);
    store<usize>(entry, source + h * rowStep + w * columnStep, RowTable.window);
    entry += RowTable.bytes;
    if (++w == outputW) {
      w = 0;
      h++;
    }
  }
}
