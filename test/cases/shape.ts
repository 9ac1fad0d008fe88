/** Views, joining, cutting and padding, alone and in chains that no strides can express. */

import type { DType } from "../../src/core/dtype.js";
import type { Tensor } from "../../src/graph/tensor.js";
import * as ops from "../../src/ops/index.js";
import { type Case, float, integers, tails } from "./case.js";

function on(
  op: string,
  name: string,
  shape: readonly number[],
  run: (x: Tensor) => Tensor,
  torch: string,
): Case {
  return {
    name: `${op} ${name}`,
    op,
    inputs: [float(shape)],
    run: ([x]) => run(x),
    torch,
    reductionLength: 12,
  };
}

const single: readonly Case[] = [
  on("reshape", "to rows", [2, 6], (x) => ops.reshape(x, [3, 4]), "a.reshape(3, 4)"),
  on("reshape", "with an inferred extent", [2, 3, 4], (x) => ops.reshape(x, [4, -1]), "a.reshape(4, -1)"),
  on("reshape", "to rank 0", [1, 1], (x) => ops.reshape(x, []), "a.reshape(())"),
  on("reshape", "of nothing", [0, 3], (x) => ops.reshape(x, [3, 0, 2]), "a.reshape(3, 0, 2)"),
  on("flatten", "all", [2, 3, 4], (x) => ops.flatten(x), "a.flatten()"),
  on("flatten", "from dim 1", [2, 3, 4], (x) => ops.flatten(x, 1), "a.flatten(1)"),
  on("flatten", "to dim 1", [2, 3, 4], (x) => ops.flatten(x, 0, 1), "a.flatten(0, 1)"),
  on("flatten", "of rank 0", [], (x) => ops.flatten(x), "a.flatten()"),
  on("permute", "of three", [2, 3, 4], (x) => ops.permute(x, [2, 0, 1]), "a.permute(2, 0, 1)"),
  on("permute", "of four", [2, 3, 2, 5], (x) => ops.permute(x, [0, 2, -1, 1]), "a.permute(0, 2, -1, 1)"),
  on("transpose", "outer", [2, 3, 4], (x) => ops.transpose(x, 0, 2), "a.transpose(0, 2)"),
  on("transpose", "last two", [2, 3, 4], (x) => ops.transpose(x, -1, -2), "a.transpose(-1, -2)"),
  on("squeeze", "all", [1, 3, 1, 2], (x) => ops.squeeze(x), "a.squeeze()"),
  on("squeeze", "one", [1, 3, 1, 2], (x) => ops.squeeze(x, 2), "a.squeeze(2)"),
  on("squeeze", "of an extent that is not 1", [1, 3], (x) => ops.squeeze(x, 1), "a.squeeze(1) + 0"),
  on("unsqueeze", "first", [3, 2], (x) => ops.unsqueeze(x, 0), "a.unsqueeze(0)"),
  on("unsqueeze", "last", [3, 2], (x) => ops.unsqueeze(x, -1), "a.unsqueeze(-1)"),
  on("expand", "one dim", [3, 1], (x) => ops.expand(x, [3, 4]), "a.expand(3, 4)"),
  on("expand", "with new dims", [3, 1], (x) => ops.expand(x, [2, -1, 5]), "a.expand(2, -1, 5)"),
  on("expand", "of rank 0", [], (x) => ops.expand(x, [2, 3]), "a.expand(2, 3)"),
  on("expand", "to nothing", [1, 3], (x) => ops.expand(x, [0, 3]), "a.expand(0, 3)"),
  on("slice", "from", [5, 4], (x) => ops.slice(x, 0, 2), "a[2:]"),
  on("slice", "to a negative bound", [5, 4], (x) => ops.slice(x, 1, 0, -1), "a[:, 0:-1]"),
  on("slice", "with steps", [9, 2], (x) => ops.slice(x, 0, 1, 8, 3), "a[1:8:3]"),
  on("slice", "beyond the end", [5], (x) => ops.slice(x, 0, 3, 99), "a[3:99]"),
  on("slice", "to nothing", [5], (x) => ops.slice(x, 0, 3, 3), "a[3:3]"),
  on("slice", "backwards", [7], (x) => ops.slice(x, 0, undefined, undefined, -1), "a.flip(0)"),
  on("slice", "backwards with steps", [7], (x) => ops.slice(x, 0, 5, 0, -2), "a[[5, 3, 1]]"),
  on("narrow", "middle", [3, 6], (x) => ops.narrow(x, 1, 2, 3), "a.narrow(1, 2, 3)"),
  on("narrow", "from a negative start", [3, 6], (x) => ops.narrow(x, -1, -2, 2), "a.narrow(-1, -2, 2)"),
  on("flip", "all", [3, 4], (x) => ops.flip(x), "a.flip(0, 1)"),
  on("flip", "one", [3, 4], (x) => ops.flip(x, 1), "a.flip(1)"),
  on(
    "pad",
    "both ends",
    [2, 3],
    (x) =>
      ops.pad(x, [
        [1, 2],
        [0, 3],
      ]),
    "F.pad(a, (0, 3, 1, 2))",
  ),
  on("pad", "with a value", [3], (x) => ops.pad(x, [[2, 1]], -1.5), "F.pad(a, (2, 1), value=-1.5)"),
  on("pad", "of nothing", [0], (x) => ops.pad(x, [[2, 1]], 4), "F.pad(a, (2, 1), value=4.0)"),
  on("split", "in equal parts, second", [7, 2], (x) => ops.split(x, 3)[1], "a.split(3)[1]"),
  on("split", "in equal parts, rest", [7, 2], (x) => ops.split(x, 3)[2], "a.split(3)[2]"),
  on("split", "in given sizes", [2, 6], (x) => ops.split(x, [1, 3, 2], 1)[1], "a.split((1, 3, 2), 1)[1]"),
  on(
    "split",
    "and joined again in another order",
    [2, 6],
    (x) => ops.concat(ops.split(x, [1, 3, 2], 1).reverse(), 1),
    "torch.cat(a.split((1, 3, 2), 1)[::-1], 1)",
  ),
  on(
    "reshape",
    "of a transposed tensor",
    [3, 4],
    (x) => ops.reshape(ops.transpose(x, 0, 1), [2, 6]),
    "a.T.reshape(2, 6)",
  ),
  on(
    "reshape",
    "of an expanded tensor",
    [3, 1],
    (x) => ops.reshape(ops.expand(x, [3, 4]), [2, 6]),
    "a.expand(3, 4).reshape(2, 6)",
  ),
  on(
    "reshape",
    "of arithmetic on a flipped tensor",
    [4, 6],
    (x) => ops.reshape(ops.mul(ops.flip(x, 1), ops.transpose(ops.reshape(x, [6, 4]), 0, 1)), [8, 3]),
    "(a.flip(1) * a.reshape(6, 4).T).reshape(8, 3)",
  ),
  on(
    "permute",
    "after slicing and before summing",
    [4, 5, 6],
    (x) => ops.sum(ops.permute(ops.slice(x, 1, 0, undefined, 2), [1, 2, 0]), 1),
    "a[:, ::2].permute(1, 2, 0).sum(1)",
  ),
  on(
    "expand",
    "of a product before a sum",
    [3, 1, 4],
    (x) =>
      ops.sum(
        ops.mul(
          ops.expand(ops.exp(x), [3, 5, 4]),
          ops.slice(ops.reshape(ops.transpose(x, 0, 1), [1, 3, 4]), 1, 0, 1),
        ),
        [0, 1],
      ),
    "(a.exp().expand(3, 5, 4) * a.transpose(0, 1).reshape(1, 3, 4)[:, 0:1]).sum((0, 1))",
  ),
  on(
    "pad",
    "of a transposed tensor, then sliced",
    [3, 4],
    (x) =>
      ops.slice(
        ops.pad(ops.transpose(x, 0, 1), [
          [1, 1],
          [2, 0],
        ]),
        0,
        0,
        undefined,
        2,
      ),
    "F.pad(a.T, (2, 0, 1, 1))[::2]",
  ),
];

const joined: readonly Case[] = [
  ...tails.map(
    (n): Case => ({
      name: `concat of ${n} and 3`,
      op: "concat",
      inputs: [float([n]), float([3])],
      run: (parts) => ops.concat(parts),
      torch: "torch.cat((a, b))",
    }),
  ),
  ...[0, 1, -1].map(
    (dim): Case => ({
      name: `concat along ${dim}`,
      op: "concat",
      inputs: [float([2, 3, 4]), float([2, 3, 4]), float([2, 3, 4], undefined, "flipped")],
      run: (parts) => ops.concat(parts, dim),
      torch: `torch.cat((a, b, c), ${dim})`,
    }),
  ),
  {
    name: "concat of unequal parts and nothing",
    op: "concat",
    inputs: [float([2, 3]), float([2, 0]), float([2, 5], undefined, "transposed")],
    run: (parts) => ops.concat(parts, 1),
    torch: "torch.cat((a, b, c), 1)",
  },
  {
    name: "concat of one tensor twice",
    op: "concat",
    inputs: [float([2, 3])],
    run: ([x]) => ops.concat([x, ops.neg(x)], 1),
    torch: "torch.cat((a, -a), 1)",
    reductionLength: 2,
  },
  ...[0, 1, -1].map(
    (dim): Case => ({
      name: `stack along ${dim}`,
      op: "stack",
      inputs: [float([3, 4]), float([3, 4], undefined, "transposed")],
      run: (parts) => ops.stack(parts, dim),
      torch: `torch.stack((a, b), ${dim})`,
    }),
  ),
];

const narrow: readonly DType[] = ["int32", "uint8", "int8", "bool"];

/** What is only moved can have any dtype. */
const stored: readonly Case[] = narrow.flatMap((dtype): Case[] => {
  const high = dtype === "bool" ? 2 : 100;
  const moved = (op: string, run: (x: Tensor) => Tensor, torch: string): Case => ({
    name: `${op} of ${dtype}`,
    op,
    inputs: [integers([5, 7], 0, high, dtype)],
    run: ([x]) => run(x),
    torch,
  });
  const widths = [
    [1, 0],
    [2, 3],
  ] as const;
  return [
    moved("reshape", (x) => ops.reshape(x, [7, 5]), "a.reshape(7, 5)"),
    moved("flatten", (x) => ops.flatten(ops.transpose(x, 0, 1)), "a.T.flatten()"),
    moved("permute", (x) => ops.permute(x, [1, 0]), "a.permute(1, 0)"),
    moved("transpose", (x) => ops.transpose(x, 0, 1), "a.T"),
    moved("squeeze", (x) => ops.squeeze(ops.narrow(x, 0, 2, 1), 0), "a[2]"),
    moved("unsqueeze", (x) => ops.unsqueeze(x, 1), "a.unsqueeze(1)"),
    moved("expand", (x) => ops.expand(ops.narrow(x, 0, 1, 1), [3, 7]), "a[1:2].expand(3, 7)"),
    moved("slice", (x) => ops.slice(x, 1, 1, undefined, 2), "a[:, 1::2]"),
    moved("narrow", (x) => ops.narrow(x, 1, 2, 3), "a[:, 2:5]"),
    moved("flip", (x) => ops.flip(x), "a.flip(0, 1)"),
    moved("pad", (x) => ops.pad(x, widths, 1), `F.pad(a, (2, 3, 1, 0), value=1)`),
    moved("concat", (x) => ops.concat([x, x], 1), "torch.cat((a, a), 1)"),
    moved("stack", (x) => ops.stack([x, x], 1), "torch.stack((a, a), 1)"),
    moved("split", (x) => ops.split(x, 2, 1)[3], "a.split(2, 1)[3]"),
  ];
});

export const shape: readonly Case[] = [...single, ...joined, ...stored];
