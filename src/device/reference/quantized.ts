/** qmatmul and qconv as plain loops over unpacked weights. */
import type { Operand, QconvCall, QmatmulCall, QuantizedEpilogue } from "../../kernels/kernel.js";
import { panelRows } from "../../kernels/packed.js";
import { bytesOf, unpackConv, unpackMatrix } from "../../kernels/unpack.js";
import type { Memory } from "./expression.js";
import { roundHalfEven } from "./functions.js";
import { positions } from "./walk.js";

/** A small operand's elements in logical order; undefined if it is not there. */
function valuesOf(operand: Operand | undefined, memory: Memory): number[] | undefined {
  if (operand === undefined) return undefined;
  const data = memory(operand.slot);
  return Array.from(positions(operand.view), (position) => data[position]);
}

/** Turns the accumulator of output column (or channel) j into an element of the output. */
type Finish = (accumulator: number, j: number, inputScale: number) => number;

function epilogueOf(call: QuantizedEpilogue & { readonly output: Operand }, memory: Memory): Finish {
  const scales = valuesOf(call.scales, memory);
  const offsets = valuesOf(call.offsets, memory);
  const bias = valuesOf(call.bias, memory);
  const relu = call.activation === "relu";
  const zeroPoint = call.zeroPoint ?? 0;
  switch (call.output.dtype) {
    case "int32":
      return (accumulator, j) => (accumulator + (offsets?.[j] ?? 0)) | 0;
    case "int8": {
      const least = relu ? zeroPoint : -128;
      return (accumulator, j) => {
        const sum = Math.fround((accumulator + (offsets?.[j] ?? 0)) | 0);
        const level = roundHalfEven(Math.fround(sum * Math.fround(scales![j]))) + zeroPoint;
        return Number.isNaN(level) ? zeroPoint : Math.max(least, Math.min(127, level));
      };
    }
    default:
      return (accumulator, j, inputScale) => {
        const sum = accumulator + (offsets?.[j] ?? 0);
        const value = sum * scales![j] * inputScale + (bias?.[j] ?? 0);
        return relu && value < 0 ? 0 : value;
      };
  }
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
  const finish = epilogueOf(call, memory);
  const scales = format.bits === 4 ? valuesOf(call.scales, memory)! : [];
  const bias = valuesOf(call.bias, memory);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      if (format.bits !== 4) {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += x[rows[i * k + p]] * w[j * k + p];
        y[at[i * n + j]] = finish(sum, j, inputScales?.[i] ?? 1);
        continue;
      }
      const groups = k / format.groupSize;
      let value = bias?.[j] ?? 0;
      for (let g = 0; g < groups; g++) {
        let sum = 0;
        const end = (g + 1) * format.groupSize;
        for (let p = g * format.groupSize; p < end; p++) sum += x[rows[i * k + p]] * w[j * k + p];
        const panel = Math.floor(j / panelRows);
        const scale = scales[(panel * groups + g) * panelRows + (j % panelRows)];
        value += sum * inputScales![i * groups + g] * scale;
      }
      y[at[i * n + j]] = call.activation === "relu" && value < 0 ? 0 : value;
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
  const finish = epilogueOf(call, memory);
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
          y[outputAt[position++]] = finish(sum, o, inputScales?.[b] ?? 1);
        }
      }
    }
  }
}
