/** Scales, zero points and minimums of groups of weights, arranged for the kernels. */
import { ShapeError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";
import { panelRows } from "../kernels/packed.js";
import { requireFloat } from "./promotion.js";
import { permute, reshape } from "./reshape.js";
import { narrow, pad } from "./slice.js";

/**
 * Scales of weights in groups, in the order in which `quantizedLinear` reads them: float32 [out, in/groupSize] →
 * [⌈out/8⌉, in/groupSize, 8]. Realize the result once.
 *
 * @example
 * groupScales(ones([10, 4])).shape; // [2, 4, 8]
 */
export function groupScales(scales: Tensor): Tensor {
  requireFloat(scales, "groupScales");
  if (scales.rank !== 2) {
    throw new ShapeError(`scales are [out, in/groupSize], got ${formatShape(scales.shape)}`, {
      op: "groupScales",
    });
  }
  const [n, groups] = scales.shape;
  const padded = pad(scales, [
    [0, (panelRows - (n % panelRows)) % panelRows],
    [0, 0],
  ]);
  return permute(reshape(padded, [-1, panelRows, groups]), [0, 2, 1]);
}

/** The inverse of `groupScales`: converts its result, in any shape, back to [n, groups]. */
export function rowScales(arranged: Tensor, n: number): Tensor {
  const panels = Math.ceil(n / panelRows);
  const rows = permute(reshape(arranged, [panels, -1, panelRows]), [0, 2, 1]);
  return narrow(reshape(rows, [panels * panelRows, -1]), 0, 0, n);
}
