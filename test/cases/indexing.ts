/** Picking and accumulating by index: repeated indices, shorter indices, every dtype that can be stored. */

import type { DType } from "../../src/core/dtype.js";
import * as ops from "../../src/ops/index.js";
import { type Case, float, type Input, integers, viewNames } from "./case.js";

function gatherCase(name: string, x: Input, dim: number, index: Input, more: Partial<Case> = {}): Case {
  return {
    name: `gather ${name}`,
    op: "gather",
    inputs: [x, index],
    run: ([source, at]) => ops.gather(source, dim, at),
    torch: `torch.gather(a, ${dim}, b.long())`,
    reductionLength: index.shape.at(dim) || 1,
    ...more,
  };
}

function scatterCase(
  name: string,
  x: Input,
  dim: number,
  index: Input,
  source: Input,
  more: Partial<Case> = {},
): Case {
  return {
    name: `scatterAdd ${name}`,
    op: "scatterAdd",
    inputs: [x, index, source],
    run: ([target, at, values]) => ops.scatterAdd(target, dim, at, values),
    torch: `torch.scatter_add(a, ${dim}, b.long(), c)`,
    reductionLength: (index.shape.at(dim) || 1) + 1,
    ...more,
  };
}

const narrow: readonly DType[] = ["int32", "uint8", "int8", "bool"];
const stored = (shape: readonly number[], dtype: DType) =>
  integers(shape, 0, dtype === "bool" ? 2 : 50, dtype);

const gathers: readonly Case[] = [
  gatherCase("along the last dim", float([3, 5]), 1, integers([3, 4], 0, 5)),
  gatherCase("along the first dim", float([4, 3]), 0, integers([7, 3], 0, 4)),
  gatherCase("along the middle", float([2, 4, 3]), 1, integers([2, 6, 3], 0, 4)),
  gatherCase("along a negative dim", float([2, 4, 3]), -1, integers([2, 4, 5], 0, 3)),
  gatherCase("with a shorter index", float([4, 5]), 1, integers([2, 3], 0, 5)),
  gatherCase("of one row many times", float([3, 4]), 0, integers([9, 4], 1, 2)),
  gatherCase("with no index", float([3, 4]), 1, integers([3, 0], 0, 4)),
  gatherCase("of rank 1", float([9]), 0, integers([17], 0, 9)),
  gatherCase("of single elements", float([7, 1]), 0, integers([5, 1], 0, 7)),
  gatherCase("of 1031", float([3, 1031]), 1, integers([3, 515], 0, 1031)),
  gatherCase("with a uint8 index", float([3, 5]), 1, integers([3, 4], 0, 5, "uint8")),
  ...viewNames.map((view) =>
    gatherCase(`from ${view}`, float([5, 6], undefined, view), 1, integers([5, 3], 0, 6), {
      reductionLength: 15,
    }),
  ),
  ...(["transposed", "sliced", "flipped"] as const).map((view) =>
    gatherCase(`with index ${view}`, float([5, 6]), 1, integers([5, 3], 0, 6, "int32", view)),
  ),
  ...narrow.map((dtype) => gatherCase(`of ${dtype}`, stored([3, 5], dtype), 1, integers([3, 4], 0, 5))),
];

const scatters: readonly Case[] = [
  scatterCase("along the last dim", float([3, 5]), 1, integers([3, 4], 0, 5), float([3, 4]), {}),
  scatterCase("along the first dim", float([4, 3]), 0, integers([7, 3], 0, 4), float([7, 3])),
  scatterCase("of everything onto one", float([3, 2]), 0, integers([33, 2], 2, 3), float([33, 2])),
  scatterCase("with a shorter index", float([4, 5]), 0, integers([2, 3], 0, 4), float([2, 3])),
  scatterCase("of rank 1", float([9]), 0, integers([17], 0, 9), float([17])),
  scatterCase("along the middle", float([2, 4, 3]), 1, integers([2, 6, 3], 0, 4), float([2, 6, 3])),
  scatterCase("of 1031", float([2, 100]), 1, integers([2, 1031], 0, 100), float([2, 1031])),
  scatterCase(
    "with index transposed",
    float([4, 6]),
    1,
    integers([4, 3], 0, 6, "int32", "transposed"),
    float([4, 3]),
  ),
  scatterCase("of nothing", float([4, 5]), 0, integers([0, 5], 0, 4), float([0, 5])),
  ...viewNames.map((view) =>
    scatterCase(
      `of ${view}`,
      float([5, 6], undefined, view),
      1,
      integers([5, 3], 0, 6),
      float([5, 3], undefined, view),
      {
        reductionLength: 15,
      },
    ),
  ),
  scatterCase("of int32", integers([3, 5], -9, 9), 1, integers([3, 4], 0, 5), integers([3, 4], -9, 9)),
];

const rows: readonly Case[] = [
  {
    name: "embedding of a sequence",
    op: "embedding",
    inputs: [float([7, 5]), integers([11], 0, 7)],
    run: ([weight, index]) => ops.embedding(weight, index),
    torch: "F.embedding(b.long(), a)",
    reductionLength: 11,
  },
  {
    name: "embedding of a batch",
    op: "embedding",
    inputs: [float([30, 9]), integers([4, 6], 0, 30)],
    run: ([weight, index]) => ops.embedding(weight, index),
    torch: "F.embedding(b.long(), a)",
    reductionLength: 24,
  },
  {
    name: "embedding of one index",
    op: "embedding",
    inputs: [float([7, 5]), integers([], 0, 7)],
    run: ([weight, index]) => ops.embedding(weight, index),
    torch: "F.embedding(b.long(), a)",
  },
  {
    name: "embedding from a transposed weight",
    op: "embedding",
    inputs: [float([7, 5], undefined, "transposed"), integers([3, 2], 0, 7)],
    run: ([weight, index]) => ops.embedding(weight, index),
    torch: "F.embedding(b.long(), a)",
    reductionLength: 6,
  },
  ...[0, 1, -1].map(
    (dim): Case => ({
      name: `indexSelect along ${dim}`,
      op: "indexSelect",
      inputs: [float([4, 5, 3]), integers([6], 0, 3)],
      run: ([x, index]) => ops.indexSelect(x, dim, index),
      torch: `torch.index_select(a, ${dim}, b)`,
      reductionLength: 6,
    }),
  ),
  {
    name: "indexSelect of uint8 images",
    op: "indexSelect",
    inputs: [integers([6, 3, 3], 0, 256, "uint8"), integers([4], 0, 6)],
    run: ([x, index]) => ops.indexSelect(x, 0, index),
    torch: "torch.index_select(a, 0, b)",
  },
  {
    name: "oneHot of a batch",
    op: "oneHot",
    inputs: [integers([3, 4], 0, 5)],
    run: ([index]) => ops.oneHot(index, 5),
    torch: "F.one_hot(a.long(), 5)",
  },
  ...(["uint8", "int8"] as const).map(
    (dtype): Case => ({
      name: `oneHot of ${dtype}`,
      op: "oneHot",
      inputs: [integers([9], 0, 10, dtype)],
      run: ([index]) => ops.oneHot(index, 10),
      torch: "F.one_hot(a.long(), 10)",
    }),
  ),
];

export const indexing: readonly Case[] = [...gathers, ...scatters, ...rows];
