/** qmatmul and qconv as plain loops over unpacked weights. */
import type { Operand, QconvCall, QmatmulCall, QuantizedProduct } from "../../kernels/kernel.js";
import { panelRows } from "../../kernels/packed.js";
import { bytesOf, unpackConv, unpackMatrix } from "../../kernels/unpack.js";
import type { Memory } from "./expression.js";
import { positions } from "./strided.js";

/** The elements of a small operand in logical order; undefined for an absent operand. */
function valuesOf(operand: Operand | undefined, memory: Memory): number[] | undefined {
  if (operand === undefined) return undefined;
  const data = memory(operand.slot);
  return Array.from(positions(operand.view), (position) => data[position]);
}

/** Maps the accumulator of output column (or channel) j to its value. */
type Dequantize = (accumulator: number, j: number, inputScale: number) => number;

function dequantizationOf(call: QuantizedProduct, memory: Memory): Dequantize {
  const scales = valuesOf(call.scales, memory);
  const offsets = valuesOf(call.offsets, memory);
  if (scales === undefined) return (accumulator, j) => (accumulator + (offsets?.[j] ?? 0)) | 0;
  return (accumulator, j, inputScale) => (accumulator + (offsets?.[j] ?? 0)) * scales[j] * inputScale;
}

export function qmatmul(call: QmatmulCall, memory: Memory): void {
  const { input, weight, output, format } = call;
  const [m, k] = input.view.shape;
  const n = output.view.shape[1];
  const x = memory(input.slot);
  const y = memory(output.slot);
  const rows = positions(input.view);
  const at = positions(output.view);
  const w = unpackMatrix(bytesOf(memory(weight.slot), weight.view.offset), n, k, format);
  const inputScales = valuesOf(call.inputScales, memory);
  const dequantize = dequantizationOf(call, memory);
  const { groupSize } = format;
  const scales = groupSize === undefined ? [] : valuesOf(call.scales, memory)!;
  const minimums = valuesOf(call.minimums, memory);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      if (groupSize === undefined) {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += x[rows[i * k + p]] * w[j * k + p];
        y[at[i * n + j]] = dequantize(sum, j, inputScales?.[i] ?? 1);
        continue;
      }
      const groups = k / groupSize;
      let value = 0;
      for (let g = 0; g < groups; g++) {
        let sum = 0;
        let total = 0;
        const end = (g + 1) * groupSize;
        for (let p = g * groupSize; p < end; p++) {
          const value = x[rows[i * k + p]];
          sum += value * w[j * k + p];
          total += value;
        }
        const at = (Math.floor(j / panelRows) * groups + g) * panelRows + (j % panelRows);
        const inputScale = inputScales![i * groups + g];
        value += sum * inputScale * scales[at] + total * inputScale * (minimums?.[at] ?? 0);
      }
      y[at[i * n + j]] = value;
    }
  }
}

export function qconv(call: QconvCall, memory: Memory): void {
  const { input, weight, output, geometry, kernelSize, format, inputZeroPoint } = call;
  const { stride, padding, dilation, groups } = geometry;
  const [batch, channels, height, width] = input.view.shape;
  const [, outChannels, outHeight, outWidth] = output.view.shape;
  const [kernelHeight, kernelWidth] = kernelSize;
  const perGroup = channels / groups;
  const extents = { shape: [outChannels, perGroup, kernelHeight, kernelWidth], groups };
  const w = unpackConv(bytesOf(memory(weight.slot), weight.view.offset), extents, format);
  const x = memory(input.slot);
  const y = memory(output.slot);
  const inputAt = positions(input.view);
  const inputScales = valuesOf(call.inputScales, memory);
  const dequantize = dequantizationOf(call, memory);
  const element = (b: number, c: number, h: number, v: number): number => {
    if (h < 0 || h >= height || v < 0 || v >= width) return inputZeroPoint;
    return x[inputAt[((b * channels + c) * height + h) * width + v]];
  };
  let position = 0;
  const outputAt = positions(output.view);
  for (let b = 0; b < batch; b++) {
    for (let o = 0; o < outChannels; o++) {
      const first = Math.floor(o / (outChannels / groups)) * perGroup;
      for (let oh = 0; oh < outHeight; oh++) {
        for (let ow = 0; ow < outWidth; ow++) {
          let sum = 0;
          let weightAt = o * perGroup * kernelHeight * kernelWidth;
          for (let c = 0; c < perGroup; c++) {
            for (let kh = 0; kh < kernelHeight; kh++) {
              for (let kw = 0; kw < kernelWidth; kw++) {
                const h = oh * stride[0] - padding[0] + kh * dilation[0];
                const v = ow * stride[1] - padding[1] + kw * dilation[1];
                sum += element(b, first + c, h, v) * w[weightAt++];
              }
            }
          }
          y[outputAt[position++]] = dequantize(sum, o, inputScales?.[b] ?? 1);
        }
      }
    }
  }
}
