/** matmul, and convolution with its two gradients, as plain loops. */
import { sizeOf } from "../../core/shape.js";
import type { ConvCall, MatmulCall } from "../../kernels/kernel.js";
import type { Memory } from "./expression.js";
import { reader } from "./halves.js";
import { positions } from "./strided.js";

export function matmul({ a, b, output }: MatmulCall, memory: Memory): void {
  const rank = output.view.shape.length;
  const [m, n] = output.view.shape.slice(-2);
  const k = a.view.shape[rank - 1];
  const [elementA, elementB] = [a, b].map((operand) => reader(operand, memory));
  const data = memory(output.slot);
  const [rows, column] = [new Float64Array(m * k), new Float64Array(k)];
  const [batchA, batchB, batchOut] = [a, b, output].map(({ view }) =>
    positions({ shape: view.shape.slice(0, -2), strides: view.strides.slice(0, -2), offset: view.offset }),
  );
  const [strideA, strideB, stride] = [a, b, output].map(({ view }) => view.strides.slice(-2));
  batchOut.forEach((base, batch) => {
    for (let i = 0; i < m; i++) {
      for (let p = 0; p < k; p++) rows[i * k + p] = elementA(batchA[batch] + i * strideA[0] + p * strideA[1]);
    }
    for (let j = 0; j < n; j++) {
      for (let p = 0; p < k; p++) column[p] = elementB(batchB[batch] + p * strideB[0] + j * strideB[1]);
      for (let i = 0; i < m; i++) {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += rows[i * k + p] * column[p];
        data[base + i * stride[0] + j * stride[1]] = sum;
      }
    }
  });
}

/**
 * Visits every (input element, weight, output element) triple of the convolution, and adds the product of the two operands that are read
 * to the one that is computed.
 */
export function conv(call: ConvCall, memory: Memory): void {
  const { input, weight, output, geometry, kernel } = call;
  const [x, w, y] = [input, weight, output].map(({ slot }) => memory(slot));
  const [xs, ws, ys] = [input, weight, output].map(({ view }) => view);
  const weightAt = reader(weight, memory);
  const [batch, , height, width] = xs.shape;
  const [outChannels, groupChannels, kernelHeight, kernelWidth] = ws.shape;
  const [, , outHeight, outWidth] = ys.shape;
  const outPerGroup = outChannels / geometry.groups;
  const computed = kernel === "conv" ? ys : kernel === "convGradInput" ? xs : ws;
  const result = kernel === "conv" ? y : kernel === "convGradInput" ? x : w;
  for (const position of positions(computed)) result[position] = 0;
  if (sizeOf(ys.shape) === 0) return;
  for (let b = 0; b < batch; b++) {
    for (let o = 0; o < outChannels; o++) {
      const firstChannel = Math.floor(o / outPerGroup) * groupChannels;
      for (let c = 0; c < groupChannels; c++) {
        for (let kh = 0; kh < kernelHeight; kh++) {
          for (let kw = 0; kw < kernelWidth; kw++) {
            const wAt =
              ws.offset + o * ws.strides[0] + c * ws.strides[1] + kh * ws.strides[2] + kw * ws.strides[3];
            const factor = weightAt(wAt);
            for (let oh = 0; oh < outHeight; oh++) {
              const h = oh * geometry.stride[0] - geometry.padding[0] + kh * geometry.dilation[0];
              if (h < 0 || h >= height) continue;
              for (let ow = 0; ow < outWidth; ow++) {
                const v = ow * geometry.stride[1] - geometry.padding[1] + kw * geometry.dilation[1];
                if (v < 0 || v >= width) continue;
                const xAt =
                  xs.offset +
                  b * xs.strides[0] +
                  (firstChannel + c) * xs.strides[1] +
                  h * xs.strides[2] +
                  v * xs.strides[3];
                const yAt =
                  ys.offset + b * ys.strides[0] + o * ys.strides[1] + oh * ys.strides[2] + ow * ys.strides[3];
                if (kernel === "conv") y[yAt] += x[xAt] * factor;
                else if (kernel === "convGradInput") x[xAt] += y[yAt] * factor;
                else w[wAt] += x[xAt] * y[yAt];
              }
            }
          }
        }
      }
    }
  }
}
