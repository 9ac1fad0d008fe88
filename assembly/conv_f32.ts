/**
 * Cross-correlation as an implicit matrix product in tiles of 4 pixels × 8 output channels. The gradient with respect to the input is
 * the same loop with weights that are flipped and transposed by their strides.
 *
 * Payload of `conv` and `convGradInput`, 32-bit words: `Window`; addresses of source, weight (the element that is multiplied first: for
 * convGradInput the last kernel element, with negative strides), output; strides in elements: source.batch, weight (out, in, h, w,
 * group), output (batch, channel, row, column); address of the scratch memory, and byte offsets in it: panels, padded image, segment
 * table; 1 if the source needs no padded copy; address of weight panels cached by the device (0: none), and 1 if they are filled;
 * address of a bias per output channel (0: none); relu (0 or 1); 1 if there is an epilogue; format (`Stored`) of the weight, and the
 * offset of scratch memory to widen it; an `Image`; the epilogue.
 */
import { padAndCopy, writeSegments } from "./conv_image";
import { applyToRows, openEpilogue } from "./epilogue";
import { Mode, storeTile } from "./gemm_f32";
import { ConvAt as At, Image, Window } from "./generated/agreement";
import { packAny, shiftOf } from "./pack_f32";
import { fma } from "./simd";

/** Scratch memory starts with one 4 × 8 tile. */
export function conv(payload: usize): void {
  const scratch = load<usize>(payload, At.scratch);
  const image = payload + At.image;
  const groups = load<i32>(payload, Window.groups);
  const inputs = load<i32>(payload, Window.inputs);
  const kernelH = load<i32>(payload, Window.kernelH);
  const kernelW = load<i32>(payload, Window.kernelW);
  const channels = load<i32>(image, Image.channels);
  const paddedW = load<i32>(image, Image.paddedW);
  const dilationW = load<i32>(payload, Window.dilationW);
  const joined = groups == 1 && dilationW == 1;
  const segments = joined ? kernelH : kernelH * kernelW;
  const segmentLength = joined ? kernelW * inputs : inputs;
  const cachedPanels = load<usize>(payload, At.cachedPanels);
  const panels = cachedPanels != 0 ? cachedPanels : scratch + load<usize>(payload, At.panels);
  const padded = scratch + load<usize>(payload, At.padded);
  const table = scratch + load<usize>(payload, At.segments);
  const rowStep = (load<i32>(payload, Window.dilationH) * paddedW * channels) << 2;
  writeSegments(table, kernelH, kernelW, rowStep, (dilationW * channels) << 2, joined);
  if (load<i32>(payload, At.filled) == 0) packWeights(payload, panels);
  const inPlace = load<i32>(payload, At.inPlace);
  if (!inPlace) memory.fill(padded, 0, <usize>(load<i32>(image, Image.paddedH) * paddedW * channels) << 2);
  const epilogue = openEpilogue(load<i32>(payload, At.epilogue), image + Image.bytes);
  const perImage = groups * load<i32>(payload, Window.outputs) * load<i32>(payload, Window.outputH) * load<i32>(payload, Window.outputW);
  const batch = load<i32>(payload, Window.batch);
  for (let n = 0; n < batch; n++) {
    const source = load<usize>(payload, At.source) + (<usize>(n * load<i32>(payload, At.sourceN)) << 2);
    if (!inPlace) padAndCopy(image, source, padded, 2);
    const output = load<usize>(payload, At.output) + (<usize>(n * load<i32>(payload, At.outputN)) << 2);
    for (let g = 0; g < groups; g++) {
      correlate(payload, inPlace ? source : padded, g, table, segments, segmentLength, panels, output);
    }
    if (epilogue) applyToRows(epilogue, n * perImage, perImage, 1, 0, perImage);
  }
}

/** Packs the weights as [group][panel of 8 output channels][kernel element][input channel][8], with zeros for missing channels. */
function packWeights(payload: usize, target: usize): void {
  const groups = load<i32>(payload, Window.groups);
  const inputs = load<i32>(payload, Window.inputs);
  const outputs = load<i32>(payload, Window.outputs);
  const kernelH = load<i32>(payload, Window.kernelH);
  const kernelW = load<i32>(payload, Window.kernelW);
  const strideO = load<i32>(payload, At.weightO);
  const strideI = load<i32>(payload, At.weightI);
  const strideH = load<i32>(payload, At.weightH);
  const strideW = load<i32>(payload, At.weightW);
  const strideG = load<i32>(payload, At.weightG);
  const weight = load<usize>(payload, At.weight);
  const format = load<i32>(payload, At.format);
  const shift = shiftOf(format);
  const widened = load<usize>(payload, At.scratch) + load<usize>(payload, At.widened);
  for (let g = 0; g < groups; g++) {
    for (let first = 0; first < outputs; first += 8) {
      const width = min(8, outputs - first);
      for (let kh = 0; kh < kernelH; kh++) {
        for (let kw = 0; kw < kernelW; kw++) {
          const element = weight + ((g * strideG + first * strideO + kh * strideH + kw * strideW) << <i32>shift);
          packAny(format, target, element, width, inputs, <usize>strideO << shift, <usize>strideI << shift, 8, widened);
          target += <usize>inputs << 5;
        }
      }
    }
  }
}

/** All output channels of one group of one image. */
function correlate(
  payload: usize, padded: usize, g: i32, table: usize, segments: i32, segmentLength: i32, panels: usize, output: usize,
): void {
  const image = payload + At.image;
  const channels = load<i32>(image, Image.channels);
  const inputs = load<i32>(payload, Window.inputs);
  const outputs = load<i32>(payload, Window.outputs);
  const outputW = load<i32>(payload, Window.outputW);
  const pixels = load<i32>(payload, Window.outputH) * outputW;
  const outputC = load<i32>(payload, At.outputC);
  const outputRow = load<i32>(payload, At.outputRow);
  const outputColumn = load<i32>(payload, At.outputColumn);
  const rowStep = (load<i32>(payload, Window.strideH) * load<i32>(image, Image.paddedW) * channels) << 2;
  const columnStep = (load<i32>(payload, Window.strideW) * channels) << 2;
  const tile = load<usize>(payload, At.scratch);
  const panelBytes = <usize>(segments * segmentLength) << 5;
  let panel = panels + <usize>(g * ((outputs + 7) / 8)) * panelBytes;
  const flat = outputC == 1 && outputRow == outputW * outputColumn;
  const source = padded + (<usize>(g * inputs) << 2);
  const biases = load<usize>(payload, At.bias);
  const mode: i32 = (biases ? Mode.bias : 0) | (load<i32>(payload, At.relu) ? Mode.relu : 0);
  for (let first = 0; first < outputs; first += 8) {
    const width = min(8, outputs - first);
    const bias: usize = biases ? biases + (<usize>(g * outputs + first) << 2) : 0;
    const to = output + (<usize>((g * outputs + first) * outputC) << 2);
    let oh = 0;
    let ow = 0;
    for (let pixel = 0; pixel < pixels; pixel += 4) {
      const height = min(4, pixels - pixel);
      const startH = oh;
      const startW = ow;
      const p0 = source + <usize>(oh * rowStep + ow * columnStep);
      if (++ow == outputW) { ow = 0; oh++; }
      const p1 = height > 1 ? source + <usize>(oh * rowStep + ow * columnStep) : p0;
      if (++ow == outputW) { ow = 0; oh++; }
      const p2 = height > 2 ? source + <usize>(oh * rowStep + ow * columnStep) : p0;
      if (++ow == outputW) { ow = 0; oh++; }
      const p3 = height > 3 ? source + <usize>(oh * rowStep + ow * columnStep) : p0;
      if (++ow == outputW) { ow = 0; oh++; }
      if (flat && height == 4 && width == 8) {
        conv_f32_4x8_segments(table, segments, segmentLength, p0, p1, p2, p3, panel, to + (<usize>(pixel * outputColumn) << 2), <usize>outputColumn << 2, mode, bias);
      } else {
        conv_f32_4x8_segments(table, segments, segmentLength, p0, p1, p2, p3, panel, tile, 32, 0, 0);
        let h = startH;
        let w = startW;
        for (let i = 0; i < height; i++) {
          const at = to + (<usize>(h * outputRow + w * outputColumn) << 2);
          for (let j = 0; j < width; j++) {
            let value = load<f32>(tile + (<usize>(i * 8 + j) << 2));
            if (biases) value += load<f32>(bias + (<usize>j << 2));
            if (mode & Mode.relu && value < 0) value = 0;
            store<f32>(at + (<usize>(j * outputC) << 2), value);
          }
          if (++w == outputW) { w = 0; h++; }
        }
      }
    }
    panel += panelBytes;
  }
}

/** C[4 pixels, 8 channels], summed over all segments of the window; `p0` to `p3` are the windows' first elements. */
function conv_f32_4x8_segments(
  table: usize, segments: i32, segmentLength: i32, p0: usize, p1: usize, p2: usize, p3: usize, b: usize, c: usize, row: usize,
  mode: i32, bias: usize,
): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  do {
    const offset = load<usize>(table);
    table += 4;
    let q0 = p0 + offset;
    let q1 = p1 + offset;
    let q2 = p2 + offset;
    let q3 = p3 + offset;
    let k = segmentLength;
    do {
      const b0 = v128.load(b);
      const b1 = v128.load(b, 16);
      const a0 = v128.load32_splat(q0);
      c00 = fma(a0, b0, c00);
      c01 = fma(a0, b1, c01);
      const a1 = v128.load32_splat(q1);
      c10 = fma(a1, b0, c10);
      c11 = fma(a1, b1, c11);
      const a2 = v128.load32_splat(q2);
      c20 = fma(a2, b0, c20);
      c21 = fma(a2, b1, c21);
      const a3 = v128.load32_splat(q3);
      c30 = fma(a3, b0, c30);
      c31 = fma(a3, b1, c31);
      q0 += 4;
      q1 += 4;
      q2 += 4;
      q3 += 4;
      b += 32;
    } while (--k);
  } while (--segments);
  storeTile(c, row, mode, bias, c00, c01, c10, c11, c20, c21, c30, c31);
}
