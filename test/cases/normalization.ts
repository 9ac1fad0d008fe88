/** layerNorm and batchNorm, with and without parameters, and the updated running statistics of batchNorm. */

import type { Tensor } from "../../src/graph/tensor.js";
import * as ops from "../../src/ops/index.js";
import { type Case, fixed, float, type Input, listed } from "./case.js";
import type { Values } from "./generate.js";

const positive: Values = { between: [0.5, 2] };

function layer(
  name: string,
  x: Input,
  inner: readonly number[],
  affine: boolean,
  more: Partial<Case> = {},
): Case {
  return {
    name: `layerNorm ${name}`,
    op: "layerNorm",
    inputs: affine ? [x, float(inner), float(inner)] : [x],
    run: ([input, weight, bias]) => ops.layerNorm(input, inner, weight, bias),
    torch: `F.layer_norm(a, (${inner.map((n) => `${n},`).join("")})${affine ? ", b, c" : ""})`,
    reductionLength: x.shape.reduce((n, extent) => n * Math.max(extent, 1), 1),
    scale: 4,
    ...more,
  };
}

const layers: readonly Case[] = [
  ...[2, 3, 4, 5, 7, 8, 9].map((n) => layer(`of rows of ${n}`, float([3, n]), [n], true)),
  layer("without parameters", float([3, 6]), [6], false),
  layer("over two dimensions", float([2, 3, 4]), [3, 4], true),
  layer("of a batch of sequences", float([2, 5, 8]), [8], true),
  layer("of rows of 257", float([2, 257]), [257], true),
  layer("of a transposed tensor", float([5, 6], undefined, "transposed"), [6], true),
  layer("of a sliced tensor", float([5, 6], undefined, "sliced"), [6], true),
  layer("of an expanded tensor", float([5, 6], undefined, "expanded"), [6], true),
  layer("of no rows", float([0, 4]), [4], true),
  layer("of rows far from zero", float([2, 9], { between: [100, 101] }), [9], true, { scale: 1000 }),
  {
    name: "layerNorm of constant rows",
    op: "layerNorm",
    inputs: [listed([3, 3, 3, 3, 0, 0, 0, 0], "float32", [2, 4])],
    run: ([x]) => ops.layerNorm(x, 4),
    torch: "F.layer_norm(a, (4,))",
    // 1/√eps amplifies the rounding of the mean.
    scale: 300,
    reductionLength: 4,
  },
  {
    name: "layerNorm with its own eps",
    op: "layerNorm",
    inputs: [float([3, 4])],
    run: ([x]) => ops.layerNorm(x, 4, undefined, undefined, 0.1),
    torch: "F.layer_norm(a, (4,), eps=0.1)",
    reductionLength: 4,
  },
];

function batch(
  name: string,
  shape: readonly number[],
  options: { training?: boolean; momentum?: number },
  more: Partial<Case> = {},
): Case {
  const c = shape[1];
  const { training = false, momentum } = options;
  return {
    name: `batchNorm ${name}`,
    op: "batchNorm",
    inputs: [float(shape), fixed(float([c])), fixed(float([c], positive)), float([c]), float([c])],
    run: ([x, mean, variance, weight, bias]) => ops.batchNorm(x, mean, variance, weight, bias, options),
    torch: `F.batch_norm(a, b, c, d, e, training=${training ? "True" : "False"}${momentum === undefined ? "" : `, momentum=${momentum}`})`,
    reductionLength: shape.reduce((n, extent) => n * extent, 1) / c,
    scale: 4,
    ...more,
  };
}

/** The running statistic that training leaves; the op's own result is not used. */
function running(which: 1 | 2, momentum: number): Case {
  return {
    name: `batchNorm running ${which === 1 ? "mean" : "variance"}, momentum ${momentum}`,
    op: "batchNorm",
    inputs: [fixed(float([4, 3, 2, 2])), fixed(float([3])), fixed(float([3], positive))],
    run: (inputs: Tensor[]) => {
      const [x, mean, variance] = inputs;
      ops.batchNorm(x, mean, variance, undefined, undefined, { training: true, momentum });
      return ops.add(inputs[which], 0);
    },
    torch: `(F.batch_norm(a, b, c, training=True, momentum=${momentum}), ${which === 1 ? "b" : "c"})[1]`,
    gradient: false,
    reductionLength: 16,
    scale: 4,
  };
}

const batches: readonly Case[] = [
  batch("training", [3, 2, 2, 2], { training: true }),
  batch("training, 5 channels", [2, 5, 3, 7], { training: true }),
  batch("training of rows", [9, 7], { training: true }),
  batch("training of sequences", [3, 4, 5], { training: true, momentum: 0.3 }),
  batch("evaluation", [3, 2, 2, 2], {}),
  batch("evaluation, 9 channels", [2, 9, 3, 5], {}),
  running(1, 0.1),
  running(2, 0.1),
  running(2, 1),
  {
    name: "batchNorm without parameters or statistics",
    op: "batchNorm",
    inputs: [float([4, 3, 2, 2])],
    run: ([x]) => ops.batchNorm(x, undefined, undefined, undefined, undefined, { training: true }),
    torch: "F.batch_norm(a, None, None, training=True)",
    reductionLength: 16,
    scale: 4,
  },
  {
    name: "batchNorm after a convolution",
    op: "batchNorm",
    inputs: [float([2, 3, 5, 5]), float([4, 3, 3, 3], { between: [-1, 1] }), float([4]), float([4])],
    run: ([x, filter, weight, bias]) => {
      const image = ops.conv2d(x, filter, undefined, { padding: 1 });
      return ops.relu(ops.batchNorm(image, undefined, undefined, weight, bias, { training: true }));
    },
    torch: "torch.relu(F.batch_norm(F.conv2d(a, b, padding=1), None, None, c, d, training=True))",
    reductionLength: 100,
    scale: 8,
  },
];

export const normalization: readonly Case[] = [...layers, ...batches];
