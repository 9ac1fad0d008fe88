/**
 * Depthwise int8 cross-correlation: 16 channels of a pixel at a time. The values of two kernel elements are interleaved per channel, so that
 * one instruction multiplies both and adds them as int32.
 */
import { Image, Window } from "./generated/agreement";
import { RowTable } from "./pack_i8";
import { At, dequantizationAt, placePixels } from "./qconv_payload_i8";
import { Dequantization, dequantizePanel } from "./quantized_epilogue";

/** int16 weights of 16 channels and two kernel elements. */
const pairBytes: usize = 64;

/** Packs the weights as [16 channels][pair of kernel elements][16][2], and pads the segment table to an even number of elements. */
export function prepareDepthwise(payload: usize): void {
  const elements = load<i32>(payload, Window.kernelH) * load<i32>(payload, Window.kernelW);
  const pitch = (load<i32>(payload + At.image, Image.channels) + 15) & ~15;
  const weight = load<usize>(payload, At.weight);
  const offset = load<i32>(payload + dequantizationAt, Dequantization.storedOffset);
  let to = load<usize>(payload, At.prepared);
  for (let c = 0; c < pitch; c += 16) {
    for (let element = 0; element < elements; element += 2) {
      for (let i = 0; i < 16; i++) {
        const from = weight + element * pitch + c + i;
        store<i16>(to, load<i8>(from) - offset);
        store<i16>(to, element + 1 < elements ? load<i8>(from + pitch) - offset : 0, 2);
        to += 4;
      }
    }
  }
  const segments = load<usize>(payload, At.segments) + (<usize>elements << 2);
  if (elements & 1) store<i32>(segments, load<i32>(segments - 4));
}

/** All channels of a block of pixels. */
export function depthwisePixels(payload: usize, image: i32, source: usize, pixel: i32, rows: i32): void {
  const channels = load<i32>(payload + At.image, Image.channels);
  const dequantization = payload + dequantizationAt;
  const offsets = load<usize>(payload, At.segments);
  const pairs = (load<i32>(payload, Window.kernelH) * load<i32>(payload, Window.kernelW) + 1) >> 1;
  const table = load<usize>(payload, At.table);
  const sums = load<usize>(payload, At.sums);
  const other = sums + (<usize>load<i32>(payload, At.blockPixels) << 5);
  let weights = load<usize>(payload, At.prepared);
  // No corrections: prepareDepthwise has subtracted the offset from the stored weights.
  placePixels(payload, image, source, pixel, rows);
  for (let c = 0; c < channels; c += 16) {
    for (let i = 0; i < rows; i++) {
      const window = load<usize>(table + <usize>i * RowTable.bytes, RowTable.window) + c;
      const row = <usize>i << 5;
      conv_i8_1x16c2_depthwise(pairs, window, offsets, weights, sums + row, other + row);
    }
    dequantizePanel(dequantization, sums, table, rows, c, min(8, channels - c));
    if (channels - c > 8) dequantizePanel(dequantization, other, table, rows, c + 8, min(8, channels - c - 8));
    weights += <usize>pairs * pairBytes;
  }
}

/** One pixel: writes the sums of channels 0..7 to `sums`, of channels 8..15 to `other`. */
function conv_i8_1x16c2_depthwise(pairs: i32, window: usize, offsets: usize, weights: usize, sums: usize, other: usize): void {
  let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  for (; pairs > 0; pairs--) {
    const x = v128.load(window + load<usize>(offsets));
    const y = v128.load(window + load<usize>(offsets, 4));
    const low = i8x16.shuffle(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const high = i8x16.shuffle(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(low), v128.load(weights)));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(low), v128.load(weights, 16)));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(high), v128.load(weights, 32)));
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(high), v128.load(weights, 48)));
    offsets += 8;
    weights += pairBytes;
  }
  v128.store(sums, c0);
  v128.store(sums, c1, 16);
  v128.store(other, c2);
  v128.store(other, c3, 16);
}
