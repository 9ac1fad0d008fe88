/** The bytes of a Program equal the accesses of its kernels, counted by a device that records them. */
import { describe, expect, test } from "vitest";
import {
  backward,
  conv2d,
  gather,
  layerNorm,
  maxPool2d,
  relu,
  scaledDotProductAttention,
  type Tensor,
  tensor,
  transpose,
} from "../../src/index.js";
import { bytesOf } from "../../src/kernels/cost.js";
import { crossEntropy, Linear } from "../../src/nn/index.js";
import { Adam } from "../../src/optim/index.js";
import { cost } from "../../src/profile/index.js";
import { openRecording } from "./recording_device.js";

const device = openRecording();

/** Values that differ, so that no maximum is ambiguous. */
function values(...shape: number[]): Tensor {
  const size = shape.reduce((n, extent) => n * extent, 1);
  const data = Float32Array.from({ length: size }, (_, i) => Math.sin(i * i + shape.length));
  return tensor(data, { device }).reshape(shape);
}

async function leaves<T extends Tensor[]>(...tensors: T): Promise<T> {
  for (const each of tensors) await each.data();
  return tensors;
}

async function expectExact(fn: () => unknown): Promise<number> {
  const { length } = device.touched;
  const { programs, bytes } = await cost(device, fn);
  const seen = device.touched.slice(length);
  const stated = programs.flatMap(({ program, runs }) =>
    Array.from({ length: runs }, () => program.calls.map((call) => bytesOf(call, device.info))).flat(),
  );
  // Call by call: errors must not cancel out.
  expect(seen).toEqual(stated);
  expect(bytes).toBe(seen.reduce((sum, n) => sum + n, 0));
  return bytes;
}

describe("call by call", () => {
  test("a product with bias and ReLU, of a transposed operand", async () => {
    const [a, b] = await leaves(values(6, 5), values(7, 6));
    const layer = new Linear(7, 3, { device });
    await leaves(...layer.parameters());
    const product = await expectExact(() => transpose(a, 0, 1).matmul(transpose(b, 0, 1)));
    expect(product).toBe(4 * (30 + 42 + 35));
    await expectExact(() => relu(layer.forward(transpose(b, 0, 1))));
  });

  test("a fused expression over broadcast operands", async () => {
    const [a, row, column] = await leaves(values(8, 9), values(9), values(8, 1));
    const bytes = await expectExact(() => a.mul(row).add(column).exp());
    expect(bytes).toBe(4 * (72 + 9 + 8 + 72));
  });

  test("convolution and max-pooling with their gradients", async () => {
    const [x, w] = await leaves(values(2, 3, 8, 8), values(4, 3, 3, 3));
    x.requiresGrad = true;
    w.requiresGrad = true;
    await expectExact(() => {
      backward(maxPool2d(conv2d(x, w, undefined, { padding: 1 }), 2).sum());
      return [x.grad, w.grad];
    });
  });

  test("strides that pass over elements", async () => {
    const [x, w] = await leaves(values(2, 3, 9, 9), values(4, 3, 1, 1));
    const bytes = await expectExact(() => conv2d(x, w, undefined, { stride: 2 }));
    expect(bytes).toBe(4 * (2 * 3 * 25 + 12 + 2 * 4 * 25));
    await expectExact(() => maxPool2d(x, 2, { stride: 3 }));
    w.requiresGrad = true;
    await expectExact(() => {
      backward(conv2d(x, w, undefined, { stride: [2, 4] }).sum());
      return w.grad;
    });
  });

  test("attention with its gradient", async () => {
    const inputs = await leaves(values(2, 2, 6, 4), values(2, 2, 6, 4), values(2, 2, 6, 4));
    for (const each of inputs) each.requiresGrad = true;
    const [q, k, v] = inputs;
    await expectExact(() => {
      backward(scaledDotProductAttention(q, k, v, { causal: true }).square().sum());
      return inputs.map(({ grad }) => grad);
    });
  });

  test("attention in one kernel: what causality hides is not read", async () => {
    const [q, k, v, mask] = await leaves(
      values(2, 2, 6, 4),
      values(2, 1, 9, 4),
      values(2, 2, 9, 5),
      values(2, 1, 6, 9),
    );
    const whole = await expectExact(() => scaledDotProductAttention(q, k, v));
    expect(whole).toBe(4 * (4 * 6 * 4 + 2 * 9 * 4 + 4 * 9 * 5 + 4 * 6 * 5));
    const causal = await expectExact(() => scaledDotProductAttention(q, k, v, { causal: true }));
    expect(causal).toBe(4 * (4 * 6 * 4 + 2 * 6 * 4 + 4 * 6 * 5 + 4 * 6 * 5));
    await expectExact(() => scaledDotProductAttention(q, k, v, { mask }));
    await expectExact(() => scaledDotProductAttention(q, k, v, { mask, causal: true }));
    const [ofKeys, ofRows] = await leaves(values(9), values(6, 1));
    await expectExact(() => scaledDotProductAttention(q, k, v, { mask: ofKeys, causal: true }));
    await expectExact(() => scaledDotProductAttention(q, k, v, { mask: ofRows, causal: true }));
    const allowed = await leaves(mask.gt(0));
    const bytes = await expectExact(() => scaledDotProductAttention(q, k, v, { mask: allowed[0] }));
    expect(bytes).toBe(whole + 2 * 6 * 9);
  });

  test("rows picked from a table, and their gradient", async () => {
    const [table] = await leaves(values(20, 5));
    const index = tensor(Int32Array.of(3, 17, 0, 9, 12), { device });
    const positions = index.reshape([5, 1]).expand([5, 5]);
    const bytes = await expectExact(() => gather(table, 0, positions));
    // The picked elements, one index for each row, and the result: not the whole table.
    expect(bytes).toBe(4 * (25 + 5 + 25));
    table.requiresGrad = true;
    await expectExact(() => {
      backward(gather(table, 0, positions).square().sum());
      return table.grad;
    });
  });

  test("a training step: normalisation, cross-entropy, and Adam's update in place", async () => {
    const layer = new Linear(6, 4, { device });
    const optimizer = new Adam(layer.parameters());
    const [x] = await leaves(values(5, 6), ...layer.parameters());
    const classes = tensor(Int32Array.of(0, 3, 1, 2, 0), { device });
    await expectExact(() => {
      backward(crossEntropy(layer.forward(layerNorm(x, [6])), classes));
      optimizer.step();
    });
  });
});
