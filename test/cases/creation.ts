/** Tensors created from values and sequences; most are read before they are stored. */

import { RuntimeScalar } from "../../src/graph/op.js";
import * as ops from "../../src/ops/index.js";
import { type Case, fixed, float, integers } from "./case.js";

/** The input only carries the device. */
const carrier = fixed(float([1]));

const dtypes = ["float32", "int32", "uint8", "int8", "bool"] as const;

export const creation: readonly Case[] = [
  ...dtypes.map(
    (dtype): Case => ({
      name: `full of ${dtype}`,
      op: "full",
      inputs: [carrier],
      run: ([{ device }]) => ops.full([2, 3], 1, { device, dtype }),
      torch: "torch.full((2, 3), 1)",
    }),
  ),
  {
    name: "zeros of rank 0",
    op: "zeros",
    inputs: [carrier],
    run: ([{ device }]) => ops.zeros([], { device }),
    torch: "torch.zeros(())",
  },
  {
    name: "ones in a product",
    op: "ones",
    inputs: [float([3, 4])],
    run: ([x]) => ops.matmul(x, ops.ones([4, 2], { device: x.device })),
    torch: "a @ torch.ones(4, 2)",
    reductionLength: 4,
    scale: 2,
  },
  ...dtypes.flatMap((dtype): Case[] => [
    {
      name: `zerosLike ${dtype}`,
      op: "zerosLike",
      inputs: [fixed(integers([3, 4], 1, 2, dtype))],
      run: ([x]) => ops.zerosLike(x),
      torch: "torch.zeros_like(a)",
    },
    {
      name: `onesLike ${dtype}`,
      op: "onesLike",
      inputs: [fixed(integers([3, 4], 0, 1, dtype))],
      run: ([x]) => ops.onesLike(x),
      torch: "torch.ones_like(a)",
    },
    {
      name: `tensor of ${dtype}`,
      op: "tensor",
      inputs: [carrier],
      run: ([{ device }]) => ops.tensor([[1, 0, 1]], { device, dtype }),
      torch: "torch.tensor([[1, 0, 1]])",
    },
    {
      name: `arange of ${dtype}`,
      op: "arange",
      inputs: [carrier],
      run: ([{ device }]) => ops.arange(1, 8, 3, { device, dtype }),
      torch: `torch.arange(1, 8, 3)${dtype === "bool" ? ".bool()" : ""}`,
    },
    {
      name: `zeros of ${dtype}`,
      op: "zeros",
      inputs: [carrier],
      run: ([{ device }]) => ops.zeros([2, 3], { device, dtype }),
      torch: "torch.zeros(2, 3)",
    },
    {
      name: `ones of ${dtype}`,
      op: "ones",
      inputs: [carrier],
      run: ([{ device }]) => ops.ones([2, 3], { device, dtype }),
      torch: "torch.ones(2, 3)",
    },
  ]),
  {
    name: "onesLike of nothing",
    op: "onesLike",
    inputs: [fixed(float([0, 4]))],
    run: ([x]) => ops.onesLike(x),
    torch: "torch.ones_like(a)",
  },
  {
    name: "arange to 7",
    op: "arange",
    inputs: [carrier],
    run: ([{ device }]) => ops.arange(7, { device }),
    torch: "torch.arange(7)",
  },
  {
    name: "arange backwards",
    op: "arange",
    inputs: [carrier],
    run: ([{ device }]) => ops.arange(9, -4, -3, { device }),
    torch: "torch.arange(9, -4, -3)",
  },
  {
    name: "arange of fractions",
    op: "arange",
    inputs: [carrier],
    run: ([{ device }]) => ops.arange(0.5, 3, 0.25, { device }),
    torch: "torch.arange(0.5, 3, 0.25)",
  },
  {
    name: "scalar times a tensor",
    op: "scalar",
    inputs: [float([5])],
    run: ([x]) => ops.mul(x, ops.scalar(new RuntimeScalar(2.5), x.device)),
    torch: "a * 2.5",
    scale: 2.5,
  },
  {
    name: "tensor read back",
    op: "tensor",
    inputs: [float([2, 3])],
    run: ([x]) =>
      ops.add(
        x,
        ops.tensor(
          [
            [1, 2, 3],
            [4, 5, 6],
          ],
          { device: x.device },
        ),
      ),
    torch: "a + torch.tensor([[1, 2, 3], [4, 5, 6]])",
    scale: 6,
  },
];
