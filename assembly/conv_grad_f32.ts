/**
 * The gradient of a convolution with respect to its weight: dW[o, e] = Σ over images and output pixels p of dY[o, p] · X[p + e], where e
 * is an element of the window. For each image, tiles of 4 output channels × 8 consecutive elements of a segment are summed over all
 * pixels in registers and then added to `sums`.
 *
 * Payload, 32-bit words: `Window`; addresses of input, output gradient, weight gradient; strides in elements:
 * input.batch, output (batch, channel, row, column), weight (out, in, h, w); address of the scratch memory, and byte offsets in it:
 * sums, padded image, output panels, segment table; then an `Image`.
 */
import { padAndCopy, writeSegments } from "./conv_image";
import { ConvGradWeightAt as At, Image, Window } from "./generated/agreement";
import { fma } from "./simd";

export function convGradWeight(payload: usize): void {
  const scratch = load<usize>(payload, At.scratch);
  const image = payload + At.image;
  const groups = load<i32>(payload, Window.groups);
  const inputs = load<i32>(payload, Window.inputs);
  const outputs = load<i32>(payload, Window.outputs);
  const kernelH = load<i32>(payload, Window.kernelH);
  const kernelW = load<i32>(payload, Window.kernelW);
  const channels = load<i32>(image, Image.channels);
  const paddedW = load<i32>(image, Image.paddedW);
  const dilationW = load<i32>(payload, Window.dilationW);
  const joined = groups == 1 && dilationW == 1;
  const sums = scratch + load<usize>(payload, At.sums);
  const padded = scratch + load<usize>(payload, At.padded);
  const panels = scratch + load<usize>(payload, At.panels);
  const table = scratch + load<usize>(payload, At.segments);
  const rowStep = (load<i32>(payload, Window.dilationH) * paddedW * channels) << 2;
  writeSegments(table, kernelH, kernelW, rowStep, (dilationW * channels) << 2, joined);
  const weights = kernelH * kernelW * inputs;
  memory.fill(sums, 0, <usize>(groups * outputs * weights) << 2);
  memory.fill(padded, 0, <usize>(load<i32>(image, Image.paddedH) * paddedW * channels) << 2);
  const batch = load<i32>(payload, Window.batch);
  for (let n = 0; n < batch; n++) {
    padAndCopy(image, load<usize>(payload, At.input) + (<usize>(n * load<i32>(payload, At.inputN)) << 2), padded, 2);
    packOutput(payload, load<usize>(payload, At.output) + (<usize>(n * load<i32>(payload, At.outputN)) << 2), panels);
    accumulate(payload, padded, panels, sums, table, joined ? kernelH : kernelH * kernelW, joined ? kernelW * inputs : inputs);
  }
  storeSums(payload, sums);
}

/** Packs the output gradient as [group][panel of 4 channels][pixel][4], with zeros for missing channels. */
function packOutput(payload: usize, source: usize, target: usize): void {
  const groups = load<i32>(payload, Window.groups);
  const outputs = load<i32>(payload, Window.outputs);
  const outputH = load<i32>(payload, Window.outputH);
  const outputW = load<i32>(payload, Window.outputW);
  const strideC = load<i32>(payload, At.outputC);
  const row = load<i32>(payload, At.outputRow);
  const column = load<i32>(payload, At.outputColumn);
  for (let g = 0; g < groups; g++) {
    for (let first = 0; first < outputs; first += 4) {
      const width = min(4, outputs - first);
      const base = source + (<usize>((g * outputs + first) * strideC) << 2);
      for (let oh = 0; oh < outputH; oh++) {
        for (let ow = 0; ow < outputW; ow++) {
          const from = base + (<usize>(oh * row + ow * column) << 2);
          if (width == 4 && strideC == 1) v128.store(target, v128.load(from));
          else {
            for (let o = 0; o < 4; o++) {
              const value = o < width ? load<f32>(from + (<usize>(o * strideC) << 2)) : 0;
              store<f32>(target + (<usize>o << 2), value);
            }
          }
          target += 16;
        }
      }
    }
  }
}

/** Adds one image's products to sums[output channel][segment][element of the segment]. */
function accumulate(payload: usize, padded: usize, panels: usize, sums: usize, table: usize, segments: i32, segmentLength: i32): void {
  const image = payload + At.image;
  const groups = load<i32>(payload, Window.groups);
  const inputs = load<i32>(payload, Window.inputs);
  const outputs = load<i32>(payload, Window.outputs);
  const outputH = load<i32>(payload, Window.outputH);
  const outputW = load<i32>(payload, Window.outputW);
  const channels = load<i32>(image, Image.channels);
  const columnStep = <usize>(load<i32>(payload, Window.strideW) * channels) << 2;
  const rowStep = <usize>(load<i32>(payload, Window.strideH) * load<i32>(image, Image.paddedW) * channels) << 2;
  const rowJump = rowStep - <usize>outputW * columnStep;
  const tile = load<usize>(payload, At.scratch);
  const panelBytes = <usize>(outputH * outputW) << 4;
  const pitch = <usize>(segments * segmentLength) << 2;
  for (let g = 0; g < groups; g++) {
    const groupPanels = panels + <usize>(g * ((outputs + 3) / 4)) * panelBytes;
    for (let segment = 0; segment < segments; segment++) {
      const window = padded + (<usize>(g * inputs) << 2) + load<usize>(table + (<usize>segment << 2));
      for (let j = 0; j < segmentLength; j += 8) {
        const width = min(8, segmentLength - j);
        const b = window + (<usize>j << 2);
        let a = groupPanels;
        for (let first = 0; first < outputs; first += 4) {
          conv_grad_f32_4x8_pixels(outputH, outputW, a, b, columnStep, rowJump, tile);
          const to = sums + <usize>(g * outputs + first) * pitch + (<usize>(segment * segmentLength + j) << 2);
          addTile(tile, to, pitch, min(4, outputs - first), width);
          a += panelBytes;
        }
      }
    }
  }
}

/** C[4 channels, 8 elements], summed over all pixels: a is the panel of the output gradient, b the segment's elements in the image. */
// @ts-ignore: decorator
@inline
function conv_grad_f32_4x8_pixels(rows: i32, columns: i32, a: usize, b: usize, columnStep: usize, rowJump: usize, tile: usize): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  do {
    let left = columns;
    do {
      const b0 = v128.load(b);
      const b1 = v128.load(b, 16);
      const a0 = v128.load32_splat(a);
      c00 = fma(a0, b0, c00);
      c01 = fma(a0, b1, c01);
      const a1 = v128.load32_splat(a, 4);
      c10 = fma(a1, b0, c10);
      c11 = fma(a1, b1, c11);
      const a2 = v128.load32_splat(a, 8);
      c20 = fma(a2, b0, c20);
      c21 = fma(a2, b1, c21);
      const a3 = v128.load32_splat(a, 12);
      c30 = fma(a3, b0, c30);
      c31 = fma(a3, b1, c31);
      a += 16;
      b += columnStep;
    } while (--left);
    b += rowJump;
  } while (--rows);
  v128.store(tile, c00);
  v128.store(tile, c01, 16);
  v128.store(tile, c10, 32);
  v128.store(tile, c11, 48);
  v128.store(tile, c20, 64);
  v128.store(tile, c21, 80);
  v128.store(tile, c30, 96);
  v128.store(tile, c31, 112);
}

function addTile(tile: usize, to: usize, pitch: usize, height: i32, width: i32): void {
  for (let i = 0; i < height; i++) {
    if (width == 8) {
      v128.store(to, f32x4.add(v128.load(to), v128.load(tile)));
      v128.store(to, f32x4.add(v128.load(to, 16), v128.load(tile, 16)), 16);
    } else {
      for (let j = 0; j < width; j++) {
        const at = to + (<usize>j << 2);
        store<f32>(at, load<f32>(at) + load<f32>(tile + (<usize>j << 2)));
      }
    }
    to += pitch;
    tile += 32;
  }
}

/** Copies the sums, in the order [out][h][w][in], to the strided weight gradient. */
function storeSums(payload: usize, sums: usize): void {
  const count = load<i32>(payload, Window.groups) * load<i32>(payload, Window.outputs);
  const inputs = load<i32>(payload, Window.inputs);
  const kernelH = load<i32>(payload, Window.kernelH);
  const kernelW = load<i32>(payload, Window.kernelW);
  const weight = load<usize>(payload, At.weight);
  for (let o = 0; o < count; o++) {
    for (let h = 0; h < kernelH; h++) {
      for (let w = 0; w < kernelW; w++) {
        const at = o * load<i32>(payload, At.weightO) + h * load<i32>(payload, At.weightH) + w * load<i32>(payload, At.weightW);
        for (let i = 0; i < inputs; i++) {
          store<f32>(weight + ((at + i * load<i32>(payload, At.weightI)) << 2), load<f32>(sums));
          sums += 4;
        }
      }
    }
  }
}
