/**
 * int8 cross-correlation as a matrix product. Each image is copied channels-last with a border of the input's zero point
 * (conv_image.ts); the windows of a block of output pixels are packed as rows of a matrix (im2col), which qgemm_i8.ts multiplies.
 * Depthwise convolutions are in qconv_depthwise_i8.ts, the payload in qconv_payload_i8.ts.
 */
import { gatherOverrun as overrun, Image, Window } from "./generated/agreement";
import { padAndCopy, writeSegments } from "./conv_image";
import { gatherBytes, pack4, RowTable } from "./pack_i8";
import { depthwisePixels, prepareDepthwise } from "./qconv_depthwise_i8";
import { At, dequantizationAt, placePixels } from "./qconv_payload_i8";
import { isWide, multiplyBlock } from "./qgemm_i8";
import { Dequantization, prepareColumns } from "./quantized_epilogue";

export function qconv(payload: usize): void {
  const image = payload + At.image;
  const groups = load<i32>(payload, Window.groups);
  const inputs = load<i32>(payload, Window.inputs);
  const kernelH = load<i32>(payload, Window.kernelH);
  const kernelW = load<i32>(payload, Window.kernelW);
  const channels = load<i32>(image, Image.channels);
  const paddedW = load<i32>(image, Image.paddedW);
  const columnStep = load<i32>(payload, Window.dilationW) * channels;
  const joined = groups == 1 && columnStep == channels;
  const segments = joined ? kernelH : kernelH * kernelW;
  const segmentLength = joined ? kernelW * inputs : inputs;
  const table = load<usize>(payload, At.segments);
  const padded = load<usize>(payload, At.padded);
  const depthwise = load<i32>(payload, At.depthwise);
  writeSegments(table, kernelH, kernelW, load<i32>(payload, Window.dilationH) * paddedW * channels, columnStep, joined);
  prepareColumns(payload + dequantizationAt);
  if (depthwise) prepareDepthwise(payload);
  const inPlace = load<i32>(payload, At.inPlace);
  if (!inPlace) {
    memory.fill(padded, <u8>load<i32>(payload, At.zeroPoint), load<i32>(image, Image.paddedH) * paddedW * channels);
  }
  const batch = load<i32>(payload, Window.batch);
  const pixels = load<i32>(payload, Window.outputH) * load<i32>(payload, Window.outputW);
  const blockPixels = load<i32>(payload, At.blockPixels);
  for (let n = 0; n < batch; n++) {
    const source = load<usize>(payload, At.source) + n * load<i32>(payload, At.sourceN);
    if (!inPlace) padAndCopy(image, source, padded, 0);
    const base = inPlace ? source : padded;
    for (let pixel = 0; pixel < pixels; pixel += blockPixels) {
      const rows = min(blockPixels, pixels - pixel);
      if (depthwise) depthwisePixels(payload, n, base, pixel, rows);
      else for (let g = 0; g < groups; g++) correlate(payload, n, base + g * inputs, g, pixel, rows, segments, segmentLength);
    }
  }
}

/** The output channels of one group for a block of pixels. */
function correlate(
  payload: usize, image: i32, source: usize, group: i32, pixel: i32, rows: i32, segments: i32, segmentLength: i32,
): void {
  const dequantization = payload + dequantizationAt;
  const wide = isWide(dequantization);
  const storedOffset = load<i32>(dequantization, Dequantization.storedOffset);
  const sums = load<usize>(payload, At.sums);
  const table = load<usize>(payload, At.table);
  const offsets = load<usize>(payload, At.segments);
  const gathered = load<usize>(payload, At.gathered);
  const inPlace = load<i32>(payload, At.inPlace);
  const length = segments * segmentLength;
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
    v128.store(sums, i32x4.splat(0));
    if (segments == 1 || (segmentLength & 3) == 0) {
      let to = packed;
      for (let r = 0; r < segments; r++) {
        const offset = load<usize>(offsets + (<usize>r << 2));
        pack4(to, wide, p0 + offset, p1 + offset, p2 + offset, p3 + offset, segmentLength, sums);
        to += <usize>(segmentLength >> 2) * stepBytes;
      }
    } else {
      const g1 = gathered + length + overrun;
      const g2 = g1 + length + overrun;
      const g3 = g2 + length + overrun;
      for (let r = 0; r < segments; r++) {
        const offset = load<usize>(offsets + (<usize>r << 2));
        const to = <usize>(r * segmentLength);
        if (segmentLength <= overrun && !inPlace) {
          // Copies whole vectors: excess bytes are overwritten by the next segment or are beyond the end.
          v128.store(gathered + to, v128.load(p0 + offset));
          v128.store(g1 + to, v128.load(p1 + offset));
          v128.store(g2 + to, v128.load(p2 + offset));
          v128.store(g3 + to, v128.load(p3 + offset));
          continue;
        }
        gatherBytes(gathered + to, p0 + offset, 1, segmentLength);
        gatherBytes(g1 + to, p1 + offset, 1, segmentLength);
        gatherBytes(g2 + to, p2 + offset, 1, segmentLength);
        gatherBytes(g3 + to, p3 + offset, 1, segmentLength);
      }
      pack4(packed, wide, gathered, g1, g2, g3, length, sums);
    }
    for (let r = 0; r <= last; r++) {
      store<i32>(entry + <usize>r * RowTable.bytes, storedOffset * load<i32>(sums + (<usize>r << 2)), RowTable.correction);
    }
    packed += <usize>steps * stepBytes;
  }
  const weight = load<usize>(payload, At.weight) + group * load<i32>(payload, At.groupBytes);
  const outputs = load<i32>(payload, Window.outputs);
  multiplyBlock(dequantization, rows, table, load<usize>(payload, At.packed), weight, steps, outputs, group * outputs, sums,
    load<usize>(payload, At.widened));
}
