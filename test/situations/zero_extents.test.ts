/** Tensors without elements in every kind of op, and their gradients, as in PyTorch 2.15. */
import { describe, expect, it } from "vitest";
import { grad } from "../../src/autograd/backward.js";
import type { Device } from "../../src/device/device.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { sizeOf } from "../../src/core/shape.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { devices } from "../devices.js";

const nan = [Number.NaN, Number.NaN];
/** The leaves that the case under test is made of. */
const made: Tensor[] = [];
const floats = (device: Device, ...shape: number[]) => {
  const tensor = ops.tensor(new Float32Array(sizeOf(shape)).fill(1), { device, shape, requiresGrad: true });
  made.push(tensor);
  return tensor;
};
const integers = (device: Device, ...shape: number[]) => ops.zeros(shape, { device, dtype: "int32" });

/** What is computed, and what PyTorch gives for it. */
const cases: Record<string, [(device: Device) => Tensor, unknown]> = {
  "conv2d of no images": [(d) => ops.conv2d(floats(d, 0, 3, 4, 4), floats(d, 2, 3, 3, 3)), []],
  // PyTorch forgets the output's channels here; sums of nothing are 0.
  "conv2d of no channels": [
    (d) => ops.conv2d(floats(d, 1, 0, 4, 4), floats(d, 2, 0, 3, 3)).sum([2, 3]),
    [[0, 0]],
  ],
  "maxPool2d of no images": [(d) => ops.maxPool2d(floats(d, 0, 3, 4, 4), 2), []],
  "avgPool2d of no images": [(d) => ops.avgPool2d(floats(d, 0, 3, 4, 4), 2), []],
  "matmul over nothing": [
    (d) => ops.matmul(floats(d, 2, 0), floats(d, 0, 3)),
    [
      [0, 0, 0],
      [0, 0, 0],
    ],
  ],
  "matmul of no rows": [(d) => ops.matmul(floats(d, 0, 2), floats(d, 2, 3)), []],
  "linear of no features": [
    (d) => ops.linear(floats(d, 2, 0), floats(d, 3, 0), floats(d, 3)),
    [
      [1, 1, 1],
      [1, 1, 1],
    ],
  ],
  "attention without keys": [
    (d) => ops.scaledDotProductAttention(floats(d, 2, 3), floats(d, 0, 3), floats(d, 0, 4)),
    [
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ],
  ],
  "attention of width 0": [
    (d) => ops.scaledDotProductAttention(floats(d, 2, 0), floats(d, 3, 0), floats(d, 3, 2)),
    [
      [1, 1],
      [1, 1],
    ],
  ],
  "attention without queries": [
    (d) => ops.scaledDotProductAttention(floats(d, 0, 3), floats(d, 2, 3), floats(d, 2, 4)),
    [],
  ],
  sum: [(d) => floats(d, 2, 0).sum(1), [0, 0]],
  prod: [(d) => floats(d, 2, 0).prod(1), [1, 1]],
  mean: [(d) => floats(d, 2, 0).mean(1), nan],
  std: [(d) => ops.std(floats(d, 2, 0), 1), nan],
  norm2: [(d) => ops.norm2(floats(d, 2, 0), 1), [0, 0]],
  logsumexp: [(d) => ops.logsumexp(floats(d, 2, 0), 1), [-Infinity, -Infinity]],
  softmax: [(d) => ops.softmax(floats(d, 2, 0), 1), [[], []]],
  "max of no rows": [(d) => ops.max(floats(d, 0, 2), 1), []],
  "argmax of no columns": [(d) => ops.argmax(floats(d, 2, 0), 0), []],
  any: [(d) => ops.any(floats(d, 2, 0), 1), [false, false]],
  all: [(d) => ops.all(floats(d, 2, 0), 1), [true, true]],
  "crossEntropy of nothing": [(d) => ops.crossEntropy(floats(d, 0, 3), integers(d, 0)), Number.NaN],
  "its sum": [(d) => ops.crossEntropy(floats(d, 0, 3), integers(d, 0), { reduction: "sum" }), 0],
  "mseLoss of nothing": [(d) => ops.mseLoss(floats(d, 0), floats(d, 0)), Number.NaN],
  "embedding of no index": [(d) => ops.embedding(floats(d, 4, 3), integers(d, 0)), []],
  "embedding of width 0": [(d) => ops.embedding(floats(d, 4, 0), integers(d, 2)), [[], []]],
  "gather of no index": [(d) => ops.gather(floats(d, 0, 3), 0, integers(d, 0, 3)), []],
  "scatterAdd of nothing": [(d) => ops.scatterAdd(floats(d, 2), 0, integers(d, 0), floats(d, 0)), [1, 1]],
  "oneHot of nothing": [(d) => ops.oneHot(integers(d, 0), 3), []],
  "concat with nothing": [(d) => ops.concat([floats(d, 0, 2), floats(d, 1, 2)]), [[1, 1]]],
};

for (const { label, device } of devices) {
  describe(label, () => {
    for (const [name, [run, want]] of Object.entries(cases)) {
      it(name, async () => {
        made.length = 0;
        const output = run(device);
        expect(await output.tolist()).toEqual(want);
        if (!output.requiresGrad) return;
        for (const [i, gradient] of grad(output.sum(), made).entries()) {
          expect(gradient.shape).toEqual(made[i].shape);
          // Nothing depends on these elements, except for those that scatterAdd and concat pass on.
          const passed =
            name.startsWith("scatterAdd") || name.startsWith("concat") || name.startsWith("linear");
          if (!passed && !name.startsWith("attention of")) {
            for (const value of await gradient.data()) expect(Math.abs(value)).toBe(0);
          }
        }
      });
    }
  });
}
