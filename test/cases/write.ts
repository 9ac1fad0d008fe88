/** Slices written at positions: along each dimension, with one start or one per entry, at both ends, in parts of texels. */
import type { DType } from "../../src/core/dtype.js";
import * as ops from "../../src/ops/index.js";
import { type Case, float, type Input, integers, listed } from "./case.js";

function written(
  name: string,
  [shape, dim, count]: readonly [readonly number[], number, number],
  start: number | readonly number[],
  { dtype = "float32", view, more }: { dtype?: DType; view?: Input["view"]; more?: Partial<Case> } = {},
): Case {
  const input = (extents: readonly number[], seen?: Input["view"]) =>
    dtype === "float32" ? float(extents, undefined, seen) : integers(extents, 0, 2, dtype, seen);
  const starts = typeof start === "number" ? listed([start], "int32", []) : listed(start, "int32");
  const along = typeof start === "number" ? "c" : `c.reshape(-1, ${shape.slice(1).map(() => 1)})`;
  const ones = shape.map((_, d) => (d === dim ? -1 : 1));
  return {
    name: `sliceScatter ${name}`,
    op: "sliceScatter",
    inputs: [input(shape), input(shape.with(dim, count), view), starts],
    run: ([x, source, first]) => ops.sliceScatter(x, source, dim, first),
    torch: `a.scatter(${dim}, (${along} + torch.arange(${count}).reshape(${ones})).expand(b.shape), b)`,
    ...more,
  };
}

export const write: readonly Case[] = [
  written("of one row of a cache each", [[2, 3, 5, 4], 2, 1], [0, 4]),
  written("of three rows of a cache each", [[2, 3, 5, 4], 2, 3], [2, 0]),
  written("of rows of whole texels", [[3, 2, 6, 8], 2, 2], [1, 0, 4]),
  written("of rows that are parts of texels", [[2, 3, 7, 5], 2, 2], [5, 2]),
  written("of all rows", [[2, 4, 8], 1, 4], 0),
  written("along the first dimension", [[6, 3, 4], 0, 2], 3),
  written("along the last dimension", [[3, 9], 1, 4], [0, 5, 2]),
  written("along the last dimension, of one element", [[5, 9], 1, 1], [0, 5, 2, 8, 3]),
  written("of one dimension", [[9], 0, 4], 5),
  written("of one element", [[1], 0, 1], 0),
  written("of one row for all", [[4, 3, 8], 1, 1], 2),
  written("of no rows", [[2, 3, 4], 1, 0], 3),
  written("of a transposed source", [[3, 6, 4], 1, 4], [0, 1, 2], { view: "transposed" }),
  written("of a flipped source", [[3, 6, 4], 1, 2], [4, 1, 2], { view: "flipped" }),
  written("of a sliced source", [[3, 6, 4], 1, 2], [4, 1, 2], { view: "sliced" }),
  written("of a broadcast source", [[3, 6, 4], 1, 2], [4, 1, 2], { view: "expanded" }),
  ...(["int32", "int8", "uint8", "bool"] as const).flatMap((dtype) => [
    written(`of ${dtype}`, [[2, 6, 8], 1, 2], [4, 1], { dtype, more: { gradient: false } }),
    written(`of ${dtype}, parts of texels`, [[2, 6, 3], 1, 2], [4, 1], { dtype, more: { gradient: false } }),
  ]),
  {
    ...written("at a number", [[3, 6, 4], 1, 2], 3),
    inputs: [float([3, 6, 4]), float([3, 2, 4])],
    run: ([x, source]) => ops.sliceScatter(x, source, 1, 3),
    torch: "torch.slice_scatter(a, b, 1, 3, 5)",
  },
];
